"""The codec for whatever pydantic describes: annotated types, custom serialisers, discriminated unions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from inspect import signature
from typing import Any, Final

from asynccache.codecs._failure import cannot_decode, cannot_encode
from asynccache.codecs._models import MASK
from asynccache.errors import MissingDependencyError

__all__ = ["PydanticCodec"]

_DUMP: Final[Mapping[str, Any]] = {"round_trip": True, "by_alias": False, "warnings": "error"}


class PydanticCodec:
    """JSON by pydantic's ``TypeAdapter``, by field name. Slower than msgpack, with all of pydantic's types.

    What pydantic's own JSON loses is lost: NaN becomes null unless the model sets ``ser_json_inf_nan``,
    and without a ``type`` plain JSON comes back.

    Raises:
        MissingDependencyError: pydantic is not installed.
    """

    name: str = "pydantic"

    def __init__(self) -> None:
        try:
            adapter = import_module("pydantic").TypeAdapter
        except ImportError as exc:
            raise MissingDependencyError("pydantic", "pydantic") from exc
        self._adapter = adapter
        self._cached = lru_cache(maxsize=1024)(adapter)
        self._any: Any = adapter(Any)
        known = signature(adapter.validate_json).parameters
        self._by_name: Mapping[str, Any] = {"by_name": True, "by_alias": False} if "by_name" in known else {}

    def encode(self, value: Any) -> bytes:
        """Return ``value`` as JSON, each part by its own class; raise `CodecError` if it cannot be."""
        try:
            data: bytes = self._any.dump_json(value, **_DUMP)
            masked = MASK in data and _has_secret(self._any.dump_python(value, **_DUMP))
        except Exception as exc:
            raise cannot_encode(self.name, value) from exc
        if masked:
            raise cannot_encode(self.name, value, "pydantic's JSON masks secrets")
        return data

    def decode(self, data: bytes, type: Any = None) -> Any:
        """Return the value, validated as ``type`` if one is given; raise `CodecError` if it is not one."""
        try:
            return self._adapter_of(type).validate_json(data, **self._by_name)
        except Exception as exc:
            raise cannot_decode(self.name, type) from exc

    def _adapter_of(self, type_: Any) -> Any:
        if type_ is None:
            return self._any
        try:
            hash(type_)
        except TypeError:
            return self._adapter(type_)
        return self._cached(type_)


def _has_secret(value: Any) -> bool:
    """Return True if there is a `SecretStr` or its like in dumped data, however deep."""
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if hasattr(item, "get_secret_value"):
            return True
        if isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending += item
    return False
