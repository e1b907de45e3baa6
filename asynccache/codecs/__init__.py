"""Values as bytes: codecs, compression and authenticated encryption. Nothing here does I/O.

A `Serializer` is what the engine uses: it records in each entry which codec wrote it, so that changing
the configuration never makes an entry be read by the wrong one. Decoding is bounded, and whatever
goes wrong is a `CodecError`, which the engine treats as a miss.
"""

from __future__ import annotations

from asynccache.codecs._compression import Compressor
from asynccache.codecs._immutable import is_immutable
from asynccache.codecs._msgspec import JsonCodec, MsgpackCodec
from asynccache.codecs._pickle import PickleCodec
from asynccache.codecs._pydantic import PydanticCodec
from asynccache.codecs._raw import RawCodec
from asynccache.codecs._sealing import AESGCMSealer, generate_key
from asynccache.codecs._serializer import Serializer
from asynccache.errors import ConfigurationError
from asynccache.protocols import Codec

__all__ = [
    "AESGCMSealer",
    "Compressor",
    "JsonCodec",
    "MsgpackCodec",
    "PickleCodec",
    "PydanticCodec",
    "RawCodec",
    "Serializer",
    "codec_named",
    "generate_key",
    "is_immutable",
]


def codec_named(name: str) -> Codec:
    """Return the built-in codec called ``name``.

    Raises:
        ConfigurationError: there is none.
        MissingDependencyError: it needs a package that is not installed.
    """
    match name:
        case "msgpack":
            return MsgpackCodec()
        case "json":
            return JsonCodec()
        case "pydantic":
            return PydanticCodec()
        case "raw":
            return RawCodec()
        case "pickle":
            return PickleCodec()
        case _:
            raise ConfigurationError(
                f"codec must be msgpack, json, pydantic, raw, pickle or a Codec object, not {name!r}"
            )
