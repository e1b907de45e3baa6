"""The public suites over PostgreSQL: table unlogged, table logged, behind PgBouncer, on a user's own pool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from asynccache._engine.clock import Clock, wall_clock
from asynccache.backends.postgres import PostgresBackend
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import FakeClock
from tests.conformance.store_suites import Bare, OnCache, OnSealedCache, Wrapped
from tests.servers.postgres import PostgresServer


class Postgres:
    """As it is by default."""

    store = "PostgreSQL"
    persistent: bool | None = True

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return a store on the run's server."""
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return PostgresBackend(
            server.url, table="conformance", timeout=30.0, connect_timeout=30.0, clock=clock
        )


class Logged:
    """With a table that survives a crash, and a limit on values that a test can reach."""

    store = "PostgreSQL, logged"
    persistent: bool | None = True
    max_value_bytes: int | None = 2**20

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return a store on the run's server."""
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return PostgresBackend(
            server.url,
            table="conformance_logged",
            unlogged=False,
            max_value_bytes=2**20,
            timeout=30.0,
            connect_timeout=30.0,
            clock=clock,
        )


class Pooled:
    """Through PgBouncer, which pools transactions."""

    store = "PostgreSQL, PgBouncer"
    persistent: bool | None = True

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return a store behind PgBouncer."""
        server: PostgresServer = request.getfixturevalue("pgbouncer")
        return PostgresBackend(
            server.url,
            table="conformance_pooled",
            pgbouncer=True,
            timeout=30.0,
            connect_timeout=30.0,
            clock=clock,
        )


class TestPostgres(Postgres, Bare): ...


class TestPostgresWrapped(Postgres, Wrapped): ...


class TestCacheOnPostgres(Postgres, OnCache): ...


class TestSealedCacheOnPostgres(Postgres, OnSealedCache): ...


class TestPostgresLogged(Logged, Bare): ...


class TestPostgresLoggedWrapped(Logged, Wrapped): ...


# Nothing above the store can tell who logs what, or who holds the connections: its own suites are enough.
class TestPostgresThroughPgBouncer(Pooled, Bare): ...


class TestPostgresOnAPool(Bare):
    """On a pool of the user's own."""

    store = "PostgreSQL, own pool"
    persistent: bool | None = True

    @pytest_asyncio.fixture
    async def backend(self, request: pytest.FixtureRequest) -> AsyncIterator[CacheBackendProtocol]:
        """Give the store, open."""
        self.clock = FakeClock(start=float(round(wall_clock())))
        server: PostgresServer = request.getfixturevalue("postgres_server")
        async with asyncpg.create_pool(server.url, min_size=1, max_size=4) as pool:
            backend = PostgresBackend(pool, table="conformance_pool", timeout=30.0, clock=self.clock)
            await backend.open()
            yield backend
            await backend.aclose()
