"""How a codec says that it failed: naming itself and the types, never the value."""

from __future__ import annotations

from typing import Any

from asynccache.errors import CodecError

__all__ = ["cannot_decode", "cannot_encode"]


def _name(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) and not hasattr(type_, "__args__") else repr(type_)


def cannot_encode(codec: str, value: object, why: str = "") -> CodecError:
    """Return the error for a value that ``codec`` does not take."""
    return CodecError(f"{codec} cannot encode a value of type {_name(type(value))}{why and ': '}{why}")


def cannot_decode(codec: str, type_: Any, why: str = "") -> CodecError:
    """Return the error for bytes that ``codec`` cannot read as ``type_``."""
    wanted = "" if type_ is None else f" as {_name(type_)}"
    return CodecError(f"{codec} cannot decode the stored bytes{wanted}{why and ': '}{why}")
