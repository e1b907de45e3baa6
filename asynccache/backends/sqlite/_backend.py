"""`SQLiteBackend`: what callers see of the two threads."""

from __future__ import annotations

import builtins
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from asynccache._engine.arguments import check_count, check_integer, check_value, lifetime
from asynccache._engine.clock import Clock, stopwatch, wall_clock
from asynccache._engine.urls import parse_size, query_options, split_url
from asynccache.backends.sqlite._failures import FAILURES, failure
from asynccache.backends.sqlite._file import CacheFile
from asynccache.backends.sqlite._reading import Reader, Used
from asynccache.backends.sqlite._room import Room
from asynccache.backends.sqlite._worker import Worker
from asynccache.backends.sqlite._writing import Writer
from asynccache.errors import ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import seconds
from asynccache.protocols import BackendHealth

__all__ = ["SQLiteBackend"]

_MIB: Final = 2**20
_LEAST_BYTES: Final = _MIB // 4
_SQLITE_LIMIT: Final = 900_000_000
"""A row of SQLite holds 10^9 bytes, key and value together."""
_OLDEST: Final = (3, 24, 0)
_SYNCHRONOUS: Final = ("off", "normal", "full")


class SQLiteBackend:
    """A store in a file of this machine: it survives restarts, and processes share it.

    Reads and writes have a thread and a connection each: a read waits for no writer, of this process or
    another. What concurrent tasks write at one time is one transaction.

    A value is never returned at or after its expiry. When ``max_bytes`` are used, what has expired is
    deleted, then what was written first, except what this process has read since. A damaged file is renamed
    to ``….corrupt`` and the cache starts empty; what is not a cache of ours is refused and left as it is.

    Args:
        path: The file, or ``sqlite:///relative.db``, ``sqlite:////absolute.db``. Its folder has to exist.
        max_bytes: Cap on the file, at least 262,144. The write-ahead log beside it takes some more.
        max_value_bytes: Larger values are refused; None: an eighth of ``max_bytes``.
        busy_timeout: Seconds a write waits while other processes write.
        synchronous: ``normal``: a power cut may take the last writes, the end of a process takes none.
            ``full``: nor does a power cut; every write waits for the disk. ``off``: a power cut may damage
            the file.
        clock: Seconds since the epoch; also called in the store's threads.

    Raises:
        ConfigurationError: an argument is not what it must be.
    """

    owns_io = True
    """Operations run in threads of the store's own: a caller that is cancelled merely leaves."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 256 * _MIB,
        max_value_bytes: int | None = None,
        busy_timeout: float = 1.0,
        synchronous: str = "normal",
        clock: Clock = wall_clock,
    ) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:  # pragma: no cover - older than any Python we run on
            raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old: 3.24 is needed")
        check_count(max_bytes, "max_bytes", _LEAST_BYTES)
        most = min(max_bytes // 8, _SQLITE_LIMIT)
        if max_value_bytes is not None:
            check_count(max_value_bytes, "max_value_bytes", 1)
            if max_value_bytes > most:
                raise ConfigurationError(f"max_value_bytes may be {most} here: an eighth of max_bytes")
            most = max_value_bytes
        if synchronous not in _SYNCHRONOUS:
            raise ConfigurationError(f"synchronous must be {', '.join(_SYNCHRONOUS)}, not {synchronous!r}")
        if not callable(clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"clock must be callable, not {clock!r}")
        self._max_bytes = max_bytes
        self._max_value_bytes = most
        self._clock = clock
        self._file = CacheFile(_located(path), seconds(busy_timeout, "busy_timeout", zero=True), synchronous)
        used = Used()
        room = Room(max_bytes, used)
        # Of what the threads hold nothing refers to this object, so that it can be collected, and they end.
        self._reader = Worker("asynccache-sqlite-reader", partial(Reader, self._file, clock, used))
        self._writer = Worker("asynccache-sqlite-writer", partial(Writer, self._file, clock, room))

    @classmethod
    def from_url(cls, url: str, **options: Any) -> SQLiteBackend:
        """Return a store for ``sqlite:///relative.db?max_bytes=1gb&synchronous=full``.

        Args:
            url: Three slashes before a relative path, four before an absolute one; options may be left out.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: there is no path, or an option is unknown, malformed or repeated.
        """
        parsers: dict[str, Callable[[str, str], Any]] = {
            "max_bytes": parse_size,
            "max_value_bytes": parse_size,
            "busy_timeout": _parse_seconds,
            "synchronous": lambda text, _name: text.lower(),
        }
        if unknown := options.keys() - parsers.keys() - {"clock"}:
            raise ConfigurationError(
                f"unknown option {min(unknown)!r}: sqlite:// takes {', '.join(parsers)}, clock"
            )
        path, _, query = url.partition("?")
        return cls(path, **query_options(query.partition("#")[0], parsers, options, "sqlite"))

    def __repr__(self) -> str:
        return f"<SQLiteBackend {self._file.path!r}>"

    # -- reading ---------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        data = check_key(key).encode()
        try:
            value: bytes | None = await self._reader.submit(Reader.get, data)
        except FAILURES as error:
            raise failure(error, "get", key) from error
        return value

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        names = {check_key(key).encode(): key for key in keys}
        if not names:
            return {}
        found = await self._ask(Reader.get_many, "get_many", None, list(names))
        return {names[data]: found[data] for data in names if data in found}

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        there: bool = await self._ask(Reader.exists, "exists", key, check_key(key).encode())
        return there

    # -- writing ---------------------------------------------------------------------------------------

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, replacing what was there; False if it is too large, and then nothing is there.

        Raises:
            TypeError: ``value`` is not ``bytes``, or ``key`` not a ``str``.
            InvalidKeyError: ``key`` is empty or cannot be written as UTF-8.
            BackendError: the disk is full, or the file cannot be written; which one the kind of it tells.
        """
        data = check_key(key).encode()
        check_value(value)
        until = self._until(ttl)
        if not self._fits(data, value):
            await self._do(Writer.delete, "set", key, data)
            return False
        await self._do(Writer.set, "set", key, data, bytes(value), until)
        return True

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused because their value is too large."""
        accepted: dict[bytes, bytes] = {}
        refused: dict[bytes, str] = {}
        for key, value in items.items():
            data = check_key(key).encode()
            check_value(value)
            if self._fits(data, value):
                accepted[data] = bytes(value)
            else:
                refused[data] = key
        until = self._until(ttl)
        if refused:
            await self._do(Writer.delete_many, "set_many", None, list(refused))
        if accepted:
            await self._do(Writer.set_many, "set_many", None, accepted, until)
        return {*refused.values()}

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        there: bool = await self._do(Writer.delete, "delete", key, check_key(key).encode())
        return there

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there."""
        names = {check_key(key).encode(): key for key in keys}
        if not names:
            return {*()}
        there = await self._do(Writer.delete_many, "delete_many", None, list(names))
        return {names[data] for data in there}

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        data = check_key(key).encode()
        touched: bool = await self._do(Writer.touch, "touch", key, data, self._until(ttl))
        return touched

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        data = check_key(key).encode()
        check_value(value)
        until = self._until(ttl)
        if not self._fits(data, value):
            return False
        added: bool = await self._do(Writer.add, "add", key, data, bytes(value), until)
        return added

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, or the result would not fit in 64 bits.
        """
        data = check_key(key).encode()
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        value: int = await self._do(Writer.incr, "incr", key, data, delta, initial, self._until(ttl))
        return value

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``.

        What is there at the call is gone when it returns. Others write in between: it is many transactions.
        """
        start = check_key(prefix, "prefix").encode()
        end = start[:-1] + bytes((start[-1] + 1,))  # UTF-8 has no byte 255
        await self._do(Writer.void_range, "clear", prefix, start, end)
        position: bytes | None = start
        while position is not None:
            position = await self._do(Writer.clear_some, "clear", prefix, position, end)

    # -- leases ----------------------------------------------------------------------------------------

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        data = check_key(key).encode()
        token: str | None = await self._do(Writer.acquire, "acquire_lease", key, data, seconds(ttl, "ttl"))
        return token

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or if too large."""
        data = check_key(key).encode()
        check_value(value)
        content = bytes(value) if self._fits(data, value) else None
        filled: bool = await self._do(Writer.fill, "fill", key, data, content, self._until(ttl), token)
        return filled

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        await self._do(Writer.end, "release_lease", key, check_key(key).encode(), token)

    # -- life ------------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Describe the file: its versions and sizes. It reads; it does not wait for a writer."""
        started = stopwatch()
        details = await self._ask(Reader.describe, "health", None)
        latency = (stopwatch() - started) * 1000
        details |= {
            "max_bytes": self._max_bytes,
            "max_value_bytes": self._max_value_bytes,
            "eviction_policy": "fifo with a second chance for what this process has read",
            "persistence": f"file, synchronous={self._file.synchronous}",
        }
        return BackendHealth(healthy=True, backend_type="sqlite", latency_ms=latency, details=details)

    async def open(self) -> None:
        """Open the file, and create it if need be.

        Without it the first operation does so.

        Raises:
            BackendUnavailableError: the folder does not exist, or the file cannot be opened.
            BackendTimeoutError: another process has locked it.
            ConfigurationError: what is there is not a cache of ours, or was written by a newer version.
        """
        await self._do(Writer.ready, "open", None)
        await self._ask(Reader.ready, "open", None)

    async def aclose(self) -> None:
        """Do what has been asked for, close the file, end the threads. The store may be used again."""
        await self._reader.aclose()
        await self._writer.aclose()

    def _until(self, ttl: float | None) -> float:
        return inf if ttl is None else self._clock() + lifetime(ttl)

    def _fits(self, key: bytes, value: bytes) -> bool:
        return len(value) <= self._max_value_bytes and len(key) <= self._max_value_bytes

    async def _ask(self, work: Callable[..., Any], operation: str, key: str | None, *args: Any) -> Any:
        try:
            return await self._reader.submit(work, *args)
        except FAILURES as error:
            raise failure(error, operation, key) from error

    async def _do(self, work: Callable[..., Any], operation: str, key: str | None, *args: Any) -> Any:
        try:
            return await self._writer.submit(work, *args)
        except FAILURES as error:
            raise failure(error, operation, key) from error


def _located(given: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file given by its path or its URL."""
    if not isinstance(given, str | os.PathLike):
        raise ConfigurationError(f"path must be a str or a Path, not {type(given).__name__}")
    path = os.fspath(given)
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryComparison] - a path of bytes
        raise ConfigurationError("path must be a str or a Path, not bytes")
    if path.lower().startswith("sqlite:"):
        parts = split_url(path)
        if parts.netloc:
            raise ConfigurationError(
                "sqlite:// takes no host: three slashes before a relative path, four before an absolute one"
            )
        if parts.query or parts.fragment:
            raise ConfigurationError("options in a URL are for from_url, and a fragment means nothing here")
        path = unquote(parts.path.removeprefix("/"))
    if not path or "\0" in path or path.endswith(("/", os.sep)):
        raise ConfigurationError("sqlite:// needs the path of a file, such as sqlite:///cache.db")
    if path.startswith(":memory:"):
        raise ConfigurationError("a cache in memory is memory://, which is faster: sqlite:// needs a file")
    return str(Path(path).absolute())


def _parse_seconds(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not isfinite(value):
        raise ConfigurationError(f"{name} must be a number of seconds, not {text!r}")
    return value
