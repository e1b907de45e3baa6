"""`Serializer`: what the engine asks to turn a value into the payload of an entry and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from asynccache.codecs._compression import Compressor
from asynccache.codecs._failure import cannot_decode
from asynccache.codecs._models import restore
from asynccache.codecs._msgspec import JsonCodec, MsgpackCodec
from asynccache.codecs._raw import RawCodec
from asynccache.errors import CodecError, ConfigurationError, MissingDependencyError
from asynccache.protocols import Codec

__all__ = ["COUNTER", "Serializer"]

COUNTER: Final = "int"
"""The codec field of integers stored as plain decimals, which stores can count with."""
_COUNTABLE: Final = range(-(2**63), 2**63)
"""What every store counts in."""


class Serializer:
    """Encodes with one codec, decodes with the one an entry names. Safe to share; holds no values.

    Entries written with msgpack, json or raw are always readable, so that the codec may be changed under a
    running application; pickle and pydantic only where they are configured.

    Args:
        codec: Writes new entries.
        compressor: Compresses them; None leaves them as they are. Compressed ones are read either way.
        readable: Further codecs to read with.
        max_value_bytes: The most that is compressed, and that what is read may decompress to.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        compressor: Compressor | None = None,
        readable: Iterable[Codec] = (),
        max_value_bytes: int,
    ) -> None:
        self.codec = codec
        self.compressor = compressor
        self.max_value_bytes = max_value_bytes
        known: tuple[Codec, ...] = (MsgpackCodec(), JsonCodec(), RawCodec(), *readable, codec)
        self._codecs = {each.name: each for each in known}
        self._decompressor = compressor
        for name in self._codecs:
            if not name or name == COUNTER or "+" in name:
                raise ConfigurationError(f"a codec cannot be named {name!r}")

    def encode(self, value: Any, *, counters: bool = False) -> tuple[str, bytes]:
        """Return the codec field and the payload of an entry.

        Args:
            value: Any value the codec takes.
            counters: Write an exact 64-bit ``int`` as a plain decimal. Not where the entry needs its header,
                for tags or encryption: a plain decimal has none.

        Raises:
            CodecError: the codec cannot encode it.
        """
        if counters and type(value) is int and value in _COUNTABLE:
            return COUNTER, b"%d" % value
        payload = self.codec.encode(value)
        # What is too large stays so, for the engine to refuse: compressed it might pass, and never be read.
        if self.compressor is not None and len(payload) <= self.max_value_bytes:
            packed = self.compressor.compress(payload)
            if packed is not None:
                return self.codec.name + Compressor.suffix, packed
        return self.codec.name, payload

    def decode(self, codec: str, payload: bytes, type: Any = None) -> Any:
        """Return the value of an entry.

        Args:
            codec: The entry's codec field.
            payload: The entry's payload.
            type: What the value is to be; None for as it comes.

        Raises:
            CodecError: the codec is not configured, the payload is damaged, or the value is no ``type``.
        """
        reader = self._codecs.get(codec)
        if reader is not None:
            return reader.decode(payload, type)
        if codec == COUNTER:
            return _counter(payload, type)
        name = codec.removesuffix(Compressor.suffix)
        reader = self._codecs.get(name)
        if reader is None:
            raise CodecError(f"codec {codec!r} is not configured")
        return reader.decode(self._decompress(payload), type)

    def _decompress(self, payload: bytes) -> bytes:
        if self._decompressor is None:
            try:
                self._decompressor = Compressor(max_value_bytes=self.max_value_bytes)
            except MissingDependencyError as exc:
                raise CodecError(str(exc)) from exc
        return self._decompressor.decompress(payload)

    def __repr__(self) -> str:
        return f"<Serializer {self.codec.name}{Compressor.suffix if self.compressor is not None else ''}>"


def _counter(payload: bytes, type_: Any) -> Any:
    try:
        number = int(payload)
        return number if type_ is None or type_ is int else msgspec.convert(number, type_, dec_hook=restore)
    except Exception as exc:
        raise cannot_decode(COUNTER, type_) from exc
