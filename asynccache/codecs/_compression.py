"""Compression with zstd (RFC 8878), bounded when reading: 6 kB can pretend to be 200 MB."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

from asynccache.errors import CodecError, ConfigurationError, MissingDependencyError

__all__ = ["Compressor"]

_WINDOW_LOGS: Final = (21, 27)
"""What our own writers need at least, and the most a reader grants: 2 MiB and 128 MiB of memory."""


def _zstd() -> Any:
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as exc:
        raise MissingDependencyError("backports.zstd", "zstd") from exc


class Compressor:
    """zstd for payloads. The entry's codec field says ``msgpack+zstd``; the payload itself has no mark.

    Do not compress where an attacker can put text beside a secret in one value and see its size (BREACH).

    Args:
        level: 1 (fast) to 19 (small).
        min_bytes: Shorter payloads are left alone.
        max_value_bytes: The most that anything may decompress to.

    Raises:
        ConfigurationError: an argument is out of range.
        MissingDependencyError: Python is older than 3.14 and backports.zstd is not installed.
    """

    suffix: Final = "+zstd"
    """Appended to the codec's name in an entry."""

    def __init__(self, *, max_value_bytes: int, level: int = 3, min_bytes: int = 1024) -> None:
        if type(level) is not int or not 1 <= level <= 19:
            raise ConfigurationError(f"level must be an int from 1 to 19, not {level!r}")
        for name, value in (("min_bytes", min_bytes), ("max_value_bytes", max_value_bytes)):
            if type(value) is not int or value < 0:
                raise ConfigurationError(f"{name} must be a non-negative int, not {value!r}")
        self._zstd = _zstd()
        self.level = level
        self.min_bytes = min_bytes
        self.max_value_bytes = max_value_bytes
        # A frame asks for its window before it shows any content.
        low, high = _WINDOW_LOGS
        window = min(max(low, max_value_bytes.bit_length()), high)
        self._options = {self._zstd.DecompressionParameter.window_log_max: window}

    def compress(self, payload: bytes) -> bytes | None:
        """Return ``payload`` compressed, or None if that would not make it smaller."""
        if len(payload) < self.min_bytes:
            return None
        packed: bytes = self._zstd.compress(payload, self.level)
        return packed if len(packed) < len(payload) else None

    def decompress(self, data: bytes) -> bytes:
        """Return what was compressed, without ever producing more than ``max_value_bytes``.

        Raises:
            CodecError: it is not one whole zstd frame, or its content is larger.
        """
        try:
            reader = self._zstd.ZstdDecompressor(options=self._options)
            # One byte more than allowed, and no more, tells "too large" from "exactly full".
            payload: bytes = reader.decompress(data, max_length=self.max_value_bytes + 1)
        except self._zstd.ZstdError as exc:
            raise CodecError("zstd cannot decompress the stored bytes") from exc
        if len(payload) > self.max_value_bytes:
            raise CodecError(f"the stored bytes decompress to more than {self.max_value_bytes} bytes")
        if not reader.eof or reader.unused_data:
            raise CodecError("the stored bytes are not one whole zstd frame")
        return payload

    def __repr__(self) -> str:
        return f"Compressor(level={self.level}, min_bytes={self.min_bytes})"
