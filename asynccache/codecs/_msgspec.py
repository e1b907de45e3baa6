"""The codecs for everyday values: msgpack (the default) and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from asynccache.codecs._failure import cannot_decode, cannot_encode
from asynccache.codecs._models import MASK, dump, restore

__all__ = ["JsonCodec", "MsgpackCodec"]

_Decode = Callable[[bytes], Any]
_dump_native: Final = dump("python")
_dump_json: Final = dump("json")
_msgpack_encode: Final = msgspec.msgpack.Encoder(enc_hook=_dump_native).encode
_json_encode: Final = msgspec.json.Encoder(enc_hook=_dump_json).encode
_msgpack_any: Final[_Decode] = msgspec.msgpack.Decoder().decode
_json_any: Final[_Decode] = msgspec.json.Decoder().decode


def _new_msgpack_decoder(type_: Any) -> _Decode:
    return msgspec.msgpack.Decoder(type_, dec_hook=restore).decode


def _new_json_decoder(type_: Any) -> _Decode:
    return msgspec.json.Decoder(type_, dec_hook=restore).decode


# Building a decoder costs a hundred decodings.
_msgpack_decoder: Final = lru_cache(maxsize=1024)(_new_msgpack_decoder)
_json_decoder: Final = lru_cache(maxsize=1024)(_new_json_decoder)


def _is_hashable(type_: object) -> bool:
    try:
        hash(type_)
    except TypeError:  # Annotated[int, []]
        return False
    return True


class MsgpackCodec:
    """The default: compact, fast; plain data, dataclasses, attrs, Structs, pydantic models, nested at will.

    With a ``type`` the value comes back as that type. Without one, what msgpack does not know comes back
    as the nearest it does: tuples and sets as lists, objects as dicts, UUID, Decimal and dates as strings,
    aware datetimes in UTC. Pydantic models travel by field name; fields with ``exclude=True`` do not.
    Integers need 64 bits.
    """

    name: str = "msgpack"

    def encode(self, value: Any) -> bytes:
        """Return ``value`` as msgpack; raise `CodecError` if it cannot be told in it."""
        try:
            return _msgpack_encode(value)
        except Exception as exc:
            raise cannot_encode(self.name, value) from exc

    def decode(self, data: bytes, type: Any = None) -> Any:
        """Return the value, as ``type`` if one is given; raise `CodecError` if it is not one."""
        try:
            if type is None:
                return _msgpack_any(data)
            return (_msgpack_decoder if _is_hashable(type) else _new_msgpack_decoder)(type)(data)
        except Exception as exc:
            raise cannot_decode(self.name, type) from exc


class JsonCodec:
    """JSON, for entries that people or other programs read. As `MsgpackCodec`, with what JSON can tell.

    Keys become strings and bytes base64 unless a ``type`` brings them back. NaN and the infinities, which
    JSON would turn into null, are refused.
    """

    name: str = "json"

    def encode(self, value: Any) -> bytes:
        """Return ``value`` as JSON; raise `CodecError` if it cannot be told in it."""
        try:
            data = _json_encode(value)
            # Only where there is a null can there have been a NaN, and only where there are stars a secret.
            plain = msgspec.to_builtins(value, enc_hook=_dump_json) if b"null" in data else None
            if MASK in data:
                _msgpack_encode(value)
        except Exception as exc:
            raise cannot_encode(self.name, value) from exc
        if _has_non_finite(plain):
            raise cannot_encode(self.name, value, "JSON has no NaN and no infinity")
        return data

    def decode(self, data: bytes, type: Any = None) -> Any:
        """Return the value, as ``type`` if one is given; raise `CodecError` if it is not one."""
        try:
            if type is None:
                return _json_any(data)
            return (_json_decoder if _is_hashable(type) else _new_json_decoder)(type)(data)
        except Exception as exc:
            raise cannot_decode(self.name, type) from exc


def _has_non_finite(value: Any) -> bool:
    """Return True if there is a NaN or an infinity in plain data, however deep."""
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending += item
    return False
