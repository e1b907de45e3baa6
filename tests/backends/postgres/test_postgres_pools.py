"""A pool of the user's own, and PgBouncer: what others set up is used as it is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from asynccache import BackendUnavailableError, Cache, CacheConfig, ConfigurationError, GuardConfig
from asynccache.backends.postgres import PostgresBackend
from asynccache.errors import BackendError
from tests.servers.postgres import PostgresProcess, PostgresServer, eventually

LONG = 20.0
if TYPE_CHECKING:
    Pool = asyncpg.Pool[Any]
else:
    Pool = asyncpg.Pool


def table() -> str:
    return f"t_{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def pool(postgres_server: PostgresServer) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(postgres_server.url, min_size=1, max_size=2) as pool:
        yield pool


async def test_closing_the_store_leaves_the_pool_open(pool: Pool) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.set("k", b"v")
    await backend.aclose()
    await backend.aclose()
    assert await pool.fetchval("SELECT 1") == 1
    assert await backend.get("k") == b"v"
    assert "a pool of the user's own" in repr(backend)
    details = (await backend.health()).details
    assert details["connections"] == pool.get_size()
    assert details["idle_connections"] <= pool.get_size()


async def test_a_pool_with_ways_of_its_own(postgres_server: PostgresServer) -> None:
    """Serializable by default, nothing prepared, records and connections of the user's own classes."""

    class Row(asyncpg.Record):
        pass

    class Line(asyncpg.Connection):
        pass

    settings = {"default_transaction_isolation": "serializable"}
    async with asyncpg.create_pool(
        postgres_server.url,
        min_size=1,
        max_size=4,
        statement_cache_size=0,
        server_settings=settings,
        record_class=Row,
        connection_class=Line,
    ) as pool:
        backend = PostgresBackend(pool, table=table(), timeout=LONG)
        assert sorted(await asyncio.gather(*(backend.incr("n") for _ in range(30)))) == list(range(1, 31))
        await asyncio.gather(*(backend.set_many({"a": b"v", "b": b"v"}) for _ in range(10)))
        assert await backend.delete_many(["a", "b", "c"]) == {"a", "b"}
        await backend.clear("n")
        assert await backend.get("n") is None
        await backend.aclose()


async def test_more_calls_than_the_pool_has_connections_wait(pool: Pool) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.set("k", b"v")
    assert await asyncio.gather(*(backend.get("k") for _ in range(100))) == [b"v"] * 100
    assert pool.get_size() <= 2


async def test_cancelled_calls_leave_the_pool_whole(pool: Pool) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.set("k", b"v")
    for _ in range(5):
        calls = [asyncio.create_task(backend.get("k")) for _ in range(6)]
        await asyncio.sleep(0.001)
        for call in calls[::2]:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(outcome == b"v" for outcome in outcomes[1::2])
    async with asyncio.timeout(LONG):
        assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(10))) == [1] * 10


async def test_a_frozen_server_costs_one_deadline_here_as_well(postgres_process: PostgresProcess) -> None:
    async with asyncpg.create_pool(postgres_process.url, min_size=1, max_size=2) as pool:
        backend = PostgresBackend(pool, table=table(), timeout=LONG)
        guard = GuardConfig(timeout=0.2, breaker_failures=2, breaker_seconds=0.1)
        cache = Cache(CacheConfig(backend=backend, guard=guard))
        await eventually(lambda: cache.set("k", "v", ttl=60))
        postgres_process.freeze()
        try:
            async with asyncio.timeout(LONG / 4):
                assert await cache.get("k") is None
                call = asyncio.create_task(backend.get("k"))
                await asyncio.sleep(0.05)
                call.cancel()
                await asyncio.wait({call})  # it does not wait until the server confirms that
        finally:
            postgres_process.thaw()

        async def hits() -> bool:
            value: object = await cache.get("k")
            return value == "v"

        await eventually(hits)
        await cache.aclose()
        assert await pool.fetchval("SELECT 1") == 1


async def test_dropping_a_connection_ends_our_oldest_call_only(
    pool: Pool, postgres_server: PostgresServer
) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.open()
    own = asyncio.create_task(pool.fetchval("SELECT pg_sleep(0.2), 1"))
    stuck = asyncio.create_task(backend._here().fetch(None, "SELECT pg_sleep(15)"))
    connections: Any = backend._here().connections
    await eventually(lambda: connections._busy)
    backend.drop_connection()
    with pytest.raises(BackendUnavailableError):
        await stuck
    await own
    await postgres_server.wake_sleepers()
    backend.drop_connection()
    assert await backend.get("k") is None


async def test_a_pool_that_is_closed_is_an_unavailable_store(postgres_server: PostgresServer) -> None:
    pool = await asyncpg.create_pool(postgres_server.url, min_size=1, max_size=1)
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.set("k", b"v")
    await pool.close()
    with pytest.raises(BackendUnavailableError, match="closed"):
        await backend.get("k")


async def test_a_table_that_cannot_be_made_leaves_the_pool_whole(pool: Pool) -> None:
    name = table()
    await pool.execute(f"CREATE VIEW {name} AS SELECT 1")
    backend = PostgresBackend(pool, table=name, timeout=LONG)
    for _ in range(5):
        with pytest.raises(BackendUnavailableError, match="not a table of asynccache"):
            await backend.get("k")
    assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(5))) == [1] * 5


async def test_a_pool_of_another_loop_is_refused_clearly(pool: Pool) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    await backend.set("k", b"v")

    async def use() -> None:
        await backend.get("k")

    with pytest.raises(ConfigurationError, match="belongs to another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(use()))
    assert await backend.get("k") == b"v"


async def test_a_subscription_takes_a_connection_and_the_pool_gets_a_clean_one_back(pool: Pool) -> None:
    backend = PostgresBackend(pool, table=table(), timeout=LONG)
    heard: list[bytes] = []

    async def listen() -> None:
        heard.extend([await anext(backend.subscribe())])
        await asyncio.Event().wait()

    ear = asyncio.create_task(listen())
    async with asyncio.timeout(LONG):
        while not heard:
            await backend.publish(b"m")
            await asyncio.sleep(0.02)
    ear.cancel()
    await asyncio.wait({ear})
    listening = await asyncio.gather(*(pool.fetch("SELECT pg_listening_channels()") for _ in range(2)))
    assert listening == [[], []]
    await backend.aclose()


async def test_pgbouncer_shares_three_sessions_among_many_clients(pgbouncer: PostgresServer) -> None:
    """Statements of two stores alternate on each session; nothing is prepared that the next would miss."""
    backends = [PostgresBackend(pgbouncer.url, table=table(), pgbouncer=True, timeout=LONG) for _ in range(3)]
    for number, backend in enumerate(backends):
        await backend.set("k", b"%d" % number)

    async def work(number: int, backend: PostgresBackend) -> None:
        for _ in range(5):
            assert await backend.get("k") == b"%d" % number
            assert await backend.get_many(["k", "absent"]) == {"k": b"%d" % number}
            await backend.set("k", b"%d" % number)

    await asyncio.gather(*(work(number, backends[number]) for number in range(3) for _ in range(8)))
    for backend in backends:
        await backend.aclose()


async def test_pgbouncer_with_a_pool_of_the_users_own(pgbouncer: PostgresServer) -> None:
    async with asyncpg.create_pool(pgbouncer.url, min_size=1, max_size=4, statement_cache_size=0) as pool:
        backend = PostgresBackend(pool, table=table(), pgbouncer=True, timeout=LONG)
        assert await asyncio.gather(*(backend.incr("n") for _ in range(20)))
        assert await backend.get("n") == b"20"
        await backend.aclose()


async def test_a_cancelled_call_through_pgbouncer_harms_nobody(pgbouncer: PostgresServer) -> None:
    backend = PostgresBackend(pgbouncer.url, table=table(), pgbouncer=True, timeout=LONG)
    await backend.set_many({f"k{n}": b"%d" % n for n in range(20)})
    for _ in range(3):
        calls = [asyncio.create_task(backend.get(f"k{n}")) for n in range(20)]
        await asyncio.sleep(0.005)
        for call in calls[::3]:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            assert outcome == b"%d" % number or isinstance(outcome, asyncio.CancelledError | BackendError)
            assert not isinstance(outcome, BackendError)
    await backend.aclose()
