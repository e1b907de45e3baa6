"""The public suites over `SQLiteBackend`."""

from __future__ import annotations

import pytest

from asynccache._engine.clock import Clock
from asynccache.backends.sqlite import SQLiteBackend
from asynccache.protocols import CacheBackendProtocol
from tests.conformance.store_suites import Bare, OnCache, OnSealedCache, Wrapped
from tests.servers.sqlite import SQLiteFolder

MIB = 2**20


class File:
    """A file of its own for each test, with a limit on values within reach."""

    store = "SQLite"
    persistent: bool | None = True
    max_value_bytes: int | None = 2 * MIB

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return the store."""
        folder: SQLiteFolder = request.getfixturevalue("sqlite_server")
        path = folder.fresh_path()
        return SQLiteBackend(path, max_value_bytes=self.max_value_bytes, synchronous="off", clock=clock)


class Small(File):
    """A file in which little more than a test's values fits."""

    store = "SQLite, 16 MiB"
    max_value_bytes: int | None = MIB

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return the store."""
        folder: SQLiteFolder = request.getfixturevalue("sqlite_server")
        return SQLiteBackend.from_url(
            f"{folder.fresh_url()}?max_bytes=16mib&max_value_bytes=1mib&synchronous=off", clock=clock
        )


class TestSQLite(File, Bare): ...


class TestSQLiteWrapped(File, Wrapped): ...


class TestCacheOnSQLite(File, OnCache): ...


class TestSealedCacheOnSQLite(File, OnSealedCache): ...


class TestSmallSQLite(Small, Bare): ...
