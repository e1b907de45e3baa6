"""Pydantic models and a few standard classes inside msgspec's values; pydantic is never imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, Final, Literal

__all__ = ["MASK", "dump", "is_model", "restore"]

MASK: Final = b"*" * 10
"""What pydantic writes to JSON for a `SecretStr`: the value is gone, which no codec may let happen."""

_AS_TEXT: Final = (
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
    PurePath,
)


def is_model(cls: object) -> bool:
    """Return True for a pydantic model class, by its looks."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_fields__") and hasattr(cls, "model_validate")


def dump(mode: Literal["python", "json"]) -> Callable[[Any], Any]:
    """Return msgspec's ``enc_hook``; ``mode`` is pydantic's: what the wire format holds natively."""

    def enc_hook(value: Any) -> Any:
        cls = value.__class__
        if is_model(cls):
            # Field names, whatever aliases the model has; a value that contradicts its field is an error.
            return value.model_dump(mode=mode, round_trip=True, by_alias=False, warnings="error")
        if isinstance(value, _AS_TEXT) or _is_url(cls):
            return str(value)
        raise NotImplementedError(f"Encoding objects of type {cls.__qualname__} is unsupported")

    return enc_hook


def restore(cls: Any, data: Any) -> Any:
    """Return ``data`` as an instance of ``cls``: msgspec's ``dec_hook``."""
    if is_model(cls):
        # Not strict: the wire has no type for UUID or Decimal, and the data is our own.
        return cls.model_validate(data, strict=False, **_by_name(cls))
    if isinstance(cls, type):
        if issubclass(cls, _AS_TEXT) and isinstance(data, str):
            return cls(data)
        if isinstance(data, cls):
            return data
    raise NotImplementedError(f"cannot make {cls!r}")


def _is_url(cls: type) -> bool:
    return cls.__module__.startswith(("pydantic.", "pydantic_core.")) and hasattr(cls, "unicode_string")


@cache
def _by_name(cls: Any) -> Mapping[str, bool]:
    """Return the arguments that make ``model_validate`` go by field names (pydantic 2.11 and later)."""
    known = inspect.signature(cls.model_validate).parameters
    return {"by_name": True, "by_alias": False} if "by_name" in known else {}
