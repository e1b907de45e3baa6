"""Connections: how many, for whom, until when; and callers who leave."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from asynccache import BackendTimeoutError, BackendUnavailableError
from asynccache._engine.batching import Batched
from asynccache._engine.clock import stopwatch
from asynccache._engine.guard import Guard
from asynccache.backends.postgres import PostgresBackend
from tests.servers.postgres import PostgresServer, eventually
from tests.servers.proxy import Proxy

LONG = 20.0
"""Seconds after which something hangs."""


def table() -> str:
    return f"t_{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as proxy:
        yield proxy


def behind(proxy: Proxy, server: PostgresServer, timeout: float = LONG, **options: Any) -> PostgresBackend:
    # sslmode: a proxy that chops makes asyncpg wait for the answer to an offer of TLS.
    url = f"{server.url_via(proxy.port)}?sslmode=disable"
    return PostgresBackend(url, table=table(), timeout=timeout, **options)


async def test_three_hundred_calls_at_once_wait_for_ten_connections(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    before = await postgres_server.connections()
    await backend.set_many({f"k{n}": b"%d" % n for n in range(300)})
    values = await asyncio.gather(*(backend.get(f"k{n}") for n in range(300)))
    assert values == [b"%d" % n for n in range(300)]
    assert before < await postgres_server.connections() <= before + 10
    await backend.aclose()


async def test_waiting_for_a_connection_ends(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), pool_size=1, timeout=LONG)
    await backend.open()
    connections: Any = backend._here().connections
    connections._timeout = 0.1
    async with connections.connection():  # the only one is busy
        with pytest.raises(BackendTimeoutError, match="no connection of 1 was free"):
            await backend.get("k")
    connections._timeout = LONG
    assert await backend.get("k") is None
    await backend.aclose()


async def test_dropping_a_connection_ends_the_oldest_call_and_no_other(
    postgres_server: PostgresServer,
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    await backend.open()
    session = backend._here()
    connections: Any = session.connections
    stuck = asyncio.create_task(session.fetch(None, "SELECT pg_sleep(15)"))
    await eventually(lambda: len(connections._busy) == 1)
    other = asyncio.create_task(session.fetch(None, "SELECT pg_sleep(0.2)"))
    await eventually(lambda: len(connections._busy) == 2)
    backend.drop_connection()
    with pytest.raises(BackendUnavailableError):
        await stuck
    await other
    await postgres_server.wake_sleepers()
    backend.drop_connection()  # nothing is under way
    assert await backend.get("k") is None
    await backend.aclose()


async def test_the_server_gives_up_what_we_gave_up(postgres_server: PostgresServer) -> None:
    """Or sessions that wait for a lock, with nobody to tell, would use up its connections."""
    name = table()
    backend = PostgresBackend(postgres_server.url, table=name, timeout=2.5)
    await backend.open()
    import asyncpg

    before = await postgres_server.connections()
    connection = await asyncpg.connect(postgres_server.url)

    async def all_wait() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        [row] = await postgres_server.query(waiting)
        return bool(row[0] == 5)

    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {name}")
            calls = [asyncio.create_task(backend.get("k")) for _ in range(5)]
            await eventually(all_wait)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            await postgres_server.at_most(before + 1)
    finally:
        await connection.close()
        await backend.aclose()


async def test_random_cancellation_through_a_slow_proxy_harms_nobody(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    """16 tasks, a third of the calls cancelled: values carry their key, counters are exact."""
    proxy.chunk, proxy.delay = 40, 0.0002
    backend = behind(proxy, postgres_server, timeout=LONG)
    baseline = await postgres_server.connections()
    keys = [f"key{n}" for n in range(16)]
    await backend.set_many({key: f"{key}|".encode() * 50 for key in keys})
    finished = attempted = cancelled = 0
    answers: list[int] = []

    async def one(draw: Random) -> None:
        nonlocal finished, attempted
        key = draw.choice(keys)
        kind = draw.random()
        if kind < 0.5:
            value = await backend.get(key)
            assert value is not None
            assert value == f"{key}|".encode() * (len(value) // (len(key) + 1))
        elif kind < 0.7:
            await backend.set(key, f"{key}|".encode() * draw.randrange(1, 100))
        elif kind < 0.85:
            asked = draw.sample(keys, 4)
            found = await backend.get_many(asked)
            assert set(found) == set(asked)
            assert all(value.startswith(f"{key}|".encode()) for key, value in found.items())
        else:
            attempted += 1
            answers.append(await backend.incr("n"))
            finished += 1

    async def work(seed: int) -> None:
        nonlocal cancelled
        draw = Random(seed)
        for _ in range(15):
            call = asyncio.create_task(one(draw))
            if draw.random() < 1 / 3:
                await asyncio.sleep(draw.random() * 0.02)
                call.cancel()
            await asyncio.wait({call})
            if call.cancelled():
                cancelled += 1
            else:
                call.result()

    async with asyncio.timeout(6 * LONG):
        await asyncio.gather(*map(work, range(16)))
    assert cancelled
    assert len(set(answers)) == len(answers) == finished
    assert finished <= await backend.incr("n", 0) <= attempted
    await backend.aclose()
    await postgres_server.at_most(baseline)


async def test_a_cancelled_caller_neither_loses_a_connection_nor_the_one_being_made(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    """Connecting takes longer than the callers wait; the connection is there for the next."""
    backend = behind(proxy, postgres_server, pool_size=1, timeout=LONG, connect_timeout=LONG)
    proxy.freeze()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await backend.get("k")
    proxy.thaw()
    async with asyncio.timeout(LONG):
        assert await backend.get("k") is None
    assert proxy.accepted == 1
    await backend.aclose()


async def test_two_loops_have_connections_of_their_own(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    await backend.set("k", b"v")
    before = await postgres_server.connections()

    async def use() -> bytes | None:
        await backend.set("other", b"w")
        return await backend.get("k")

    values = await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(use())) for _ in range(3)))
    assert values == [b"v"] * 3
    assert await backend.get("other") == b"w"
    gc.collect()  # a connection that was left open warns now, and warnings are errors
    # Nobody closed the store in those loops, which have ended.
    await postgres_server.at_most(before)
    await backend.aclose()


async def test_closing_ends_every_loops_connections(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    before = await postgres_server.connections()
    here = asyncio.get_running_loop()
    used, closed = asyncio.Event(), asyncio.Event()

    async def use() -> None:
        await backend.set("k", b"v")
        here.call_soon_threadsafe(used.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(closed.wait(), here))
        await eventually(lambda: not len(backend._here().connections))

    thread = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(use())))
    await used.wait()
    await backend.set("k", b"w")
    await backend.aclose()
    closed.set()
    await thread
    await postgres_server.at_most(before)


async def test_what_is_unused_for_long_is_closed(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    connections: Any = backend._here().connections
    connections._idle_seconds = 1.0
    await asyncio.gather(*(backend.get("k") for _ in range(20)))
    assert len(connections) > 1
    await eventually(lambda: not len(connections))
    assert await backend.get("k") is None
    await backend.aclose()


async def test_guarded_and_batched_a_hundred_callers_share_statements(
    postgres_server: PostgresServer,
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    store = Batched(Guard(backend, stopwatch, timeout=LONG))
    await asyncio.gather(*(store.set(f"k{n}", b"%d" % n, 60) for n in range(100)))
    assert await asyncio.gather(*(store.get(f"k{n}") for n in range(100))) == [b"%d" % n for n in range(100)]
    assert len(backend._here().connections) <= 2
    await store.aclose()
