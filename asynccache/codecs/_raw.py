"""The codec for values that are bytes already."""

from __future__ import annotations

from typing import Any

from asynccache.codecs._failure import cannot_decode, cannot_encode

__all__ = ["RawCodec"]


class RawCodec:
    """Bytes as they are, for images, pages and what the application has encoded itself."""

    name: str = "raw"

    def encode(self, value: Any) -> bytes:
        """Return ``value``; raise `CodecError` unless it is bytes."""
        if type(value) is not bytes:
            raise cannot_encode(self.name, value, "it takes bytes only; encode a str first, or use msgpack")
        return value

    def decode(self, data: bytes, type: Any = None) -> bytes:
        """Return ``data``; raise `CodecError` if a ``type`` other than bytes is asked for."""
        if type not in (None, bytes, Any, object):
            raise cannot_decode(self.name, type, "it gives bytes only")
        return bytes(data)
