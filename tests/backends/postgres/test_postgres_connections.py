"""Connections to a server that refuses, resets, freezes, dies and comes back; and callers who leave."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from asynccache import BackendTimeoutError, BackendUnavailableError, Cache, CacheConfig, GuardConfig
from asynccache._engine.batching import Batched
from asynccache._engine.clock import stopwatch
from asynccache._engine.guard import Guard
from asynccache.backends.postgres import PostgresBackend
from asynccache.errors import BackendError
from asynccache.events import Failed
from asynccache.testing import RecordedEvents
from tests.servers.postgres import PostgresProcess, PostgresServer
from tests.servers.process import free_port
from tests.servers.proxy import Proxy

LONG = 20.0
"""Seconds after which something hangs."""


def table() -> str:
    return f"t_{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as proxy:
        yield proxy


def behind(proxy: Proxy, server: PostgresServer, **options: Any) -> PostgresBackend:
    # sslmode: a proxy that chops makes asyncpg wait for the answer to an offer of TLS.
    return PostgresBackend(f"{server.url_via(proxy.port)}?sslmode=disable", table=table(), **options)


async def test_three_hundred_calls_at_once_wait_for_ten_connections(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    before = await postgres_server.connections()
    await backend.set_many({f"k{n}": b"%d" % n for n in range(300)})
    values = await asyncio.gather(*(backend.get(f"k{n}") for n in range(300)))
    assert values == [b"%d" % n for n in range(300)]
    assert before < await postgres_server.connections() <= before + 10
    await backend.aclose()


async def test_waiting_for_a_connection_ends(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), pool_size=1, timeout=0.2)
    await backend.open()
    async with backend._here().connections.connection():  # the only one is busy
        with pytest.raises(BackendTimeoutError, match="no connection of 1 was free"):
            await backend.get("k")
    assert await backend.get("k") is None
    await backend.aclose()


async def test_a_dead_server_is_unavailable_at_once_for_everyone() -> None:
    backend = PostgresBackend(
        f"postgresql://u@127.0.0.1:{free_port()}/db", timeout=LONG, connect_timeout=LONG
    )
    with pytest.raises(BackendUnavailableError, match="ConnectionRefusedError"):
        await backend.open()
    async with asyncio.timeout(LONG / 2):
        outcomes = await asyncio.gather(*(backend.get("k") for _ in range(100)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    await backend.aclose()


async def test_a_server_that_accepts_and_says_nothing_is_given_up(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    backend = behind(proxy, postgres_server, connect_timeout=0.2, timeout=0.5)
    proxy.freeze()
    async with asyncio.timeout(LONG):
        with pytest.raises(BackendTimeoutError):
            await backend.get("k")
    proxy.thaw()
    assert await backend.get("k") is None
    await backend.aclose()


async def test_everything_works_when_the_server_comes_later(postgres_process: PostgresProcess) -> None:
    postgres_process.process.stop()
    backend = PostgresBackend(postgres_process.url, table=table())
    with pytest.raises(BackendUnavailableError):
        await backend.set("k", b"v")
    postgres_process.process.restart()
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    await backend.aclose()


@pytest.mark.parametrize("unlogged", [True, False])
async def test_a_crash_under_load_and_what_is_left_of_the_data(
    postgres_process: PostgresProcess, unlogged: bool
) -> None:
    """An UNLOGGED table is empty after a crash, so nothing outdated comes back; a logged one is as it was."""
    backend = PostgresBackend(postgres_process.url, table=table(), unlogged=unlogged)
    await backend.set("kept", b"v")
    wrong: list[object] = []
    stop = asyncio.Event()

    async def work(task: int) -> None:
        step = 0
        while not stop.is_set():
            key = f"key{task}"
            step += 1
            try:
                await backend.set(key, f"{key}:{step}".encode())
                value = await backend.get(key)
            except BackendError as error:
                if not isinstance(error, BackendUnavailableError | BackendTimeoutError):
                    wrong.append(error)
                await asyncio.sleep(0.01)
            else:
                if value is not None and not value.startswith(f"{key}:".encode()):
                    wrong.append((key, value))

    tasks = [asyncio.create_task(work(task)) for task in range(8)]
    await asyncio.sleep(0.1)
    await asyncio.to_thread(postgres_process.crash)
    await asyncio.sleep(0.1)
    await asyncio.to_thread(postgres_process.process.restart)
    async with asyncio.timeout(LONG):
        while True:
            try:
                kept = await backend.get("kept")
                break
            except BackendError:
                await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*tasks)
    assert wrong == []
    assert kept == (None if unlogged else b"v")
    await backend.set("after", b"v")
    assert await backend.get("after") == b"v"
    await backend.aclose()


async def test_one_killed_session_is_replaced(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(f"{postgres_server.url}?application_name=to_be_killed", table=table())
    for _ in range(3):
        await backend.set("k", b"v")
        await postgres_server.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'to_be_killed'"
        )
        await asyncio.sleep(0.01)
        assert await backend.get("k") == b"v"
    await backend.aclose()


async def test_reset_connections_fail_what_is_under_way_and_nothing_later(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    backend = behind(proxy, postgres_server)
    await backend.set("k", b"v")
    proxy.freeze()
    calls = [asyncio.create_task(backend.get("k")) for _ in range(20)]
    await asyncio.sleep(0.05)
    proxy.reset()
    proxy.thaw()
    async with asyncio.timeout(LONG):
        await asyncio.wait(calls)
    for call in calls:
        error = call.exception()
        assert call.result() == b"v" if error is None else isinstance(error, BackendUnavailableError)
    assert await backend.get("k") == b"v"
    await backend.aclose()


async def test_a_half_closed_connection_is_replaced(proxy: Proxy, postgres_server: PostgresServer) -> None:
    backend = behind(proxy, postgres_server)
    await backend.set("k", b"v")
    proxy.half_close()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(LONG):
        assert await backend.get("k") == b"v"
    await backend.aclose()


async def test_lost_answers_end_in_time_and_are_not_repeated(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    """An increment whose answer is lost was counted once; a driver that repeats would count again."""
    backend = behind(proxy, postgres_server, timeout=0.3)
    assert await backend.incr("n") == 1
    proxy.swallow = True
    with pytest.raises(BackendTimeoutError):
        await backend.incr("n")
    proxy.swallow = False
    assert await backend.incr("n") == 3
    await backend.aclose()


async def test_a_frozen_server_costs_the_cache_one_deadline(postgres_process: PostgresProcess) -> None:
    """Asyncpg's own pool would still be waiting for a cancelled call after 25 seconds."""
    events = RecordedEvents()
    backend = PostgresBackend(postgres_process.url, table=table(), timeout=LONG, connect_timeout=LONG)
    guard = GuardConfig(timeout=0.2, breaker_failures=2, breaker_seconds=0.1)
    cache = Cache(CacheConfig(backend=backend, guard=guard, observers=[events]))
    await cache.open()
    await cache.set("k", "v", ttl=60)
    postgres_process.freeze()
    try:
        started = stopwatch()
        assert await cache.get("k") is None
        assert stopwatch() - started < LONG / 4
        await cache.get("k")
        assert any(isinstance(event.error, BackendTimeoutError) for event in events.of(Failed))
        async with asyncio.timeout(LONG):
            while backend._here().connections._busy:  # type: ignore[union-attr]  # no late call holds one
                await asyncio.sleep(0.01)
    finally:
        postgres_process.thaw()
    async with asyncio.timeout(LONG):
        while await cache.get("k") != "v":
            await asyncio.sleep(0.05)
    await cache.aclose()


async def test_dropping_a_connection_ends_the_oldest_call_and_no_other(
    postgres_server: PostgresServer,
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    await backend.open()
    session = backend._here()
    stuck = asyncio.create_task(session.fetch(None, "SELECT pg_sleep(15)"))
    await asyncio.sleep(0.05)
    other = asyncio.create_task(session.fetch(None, "SELECT pg_sleep(0.2)"))
    await asyncio.sleep(0.05)
    backend.drop_connection()
    with pytest.raises(BackendUnavailableError):
        await stuck
    await other
    backend.drop_connection()  # nothing is under way
    assert await backend.get("k") is None
    await backend.aclose()


async def test_the_server_gives_up_what_we_gave_up(postgres_server: PostgresServer) -> None:
    """Or sessions that wait for a lock, with nobody to tell, would use up its connections."""
    name = table()
    backend = PostgresBackend(postgres_server.url, table=name, timeout=0.3)
    await backend.open()
    import asyncpg

    before = await postgres_server.connections()
    connection = await asyncpg.connect(postgres_server.url)
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {name}")
        calls = [asyncio.create_task(backend.get("k")) for _ in range(5)]
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        async with asyncio.timeout(LONG):
            while await postgres_server.connections() > before + 1:
                await asyncio.sleep(0.02)
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
    async with asyncio.timeout(LONG):
        while await postgres_server.connections() > baseline:
            await asyncio.sleep(0.02)


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
    backend = PostgresBackend(postgres_server.url, table=table())
    await backend.set("k", b"v")
    before = await postgres_server.connections()

    async def use() -> bytes | None:
        await backend.set("other", b"w")
        return await backend.get("k")

    values = await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(use())) for _ in range(3)))
    assert values == [b"v"] * 3
    assert await backend.get("other") == b"w"
    gc.collect()  # a connection that was left open warns now, and warnings are errors
    async with asyncio.timeout(LONG):  # nobody closed the store in those loops, which have ended
        while await postgres_server.connections() > before:
            await asyncio.sleep(0.02)
    await backend.aclose()


async def test_closing_ends_every_loops_connections(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=table())
    before = await postgres_server.connections()
    here = asyncio.get_running_loop()
    used, closed = asyncio.Event(), asyncio.Event()

    async def use() -> None:
        await backend.set("k", b"v")
        here.call_soon_threadsafe(used.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(closed.wait(), here))
        async with asyncio.timeout(LONG):
            while len(backend._here().connections):
                await asyncio.sleep(0.01)

    thread = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(use())))
    await used.wait()
    await backend.set("k", b"w")
    await backend.aclose()
    closed.set()
    await thread
    async with asyncio.timeout(LONG):
        while await postgres_server.connections() > before:
            await asyncio.sleep(0.02)


async def test_what_is_unused_for_long_is_closed(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table())
    connections: Any = backend._here().connections
    connections._idle_seconds = 0.05
    await asyncio.gather(*(backend.get("k") for _ in range(20)))
    assert len(connections) > 1
    async with asyncio.timeout(LONG):
        while len(connections):
            await asyncio.sleep(0.01)
    assert await backend.get("k") is None
    await backend.aclose()


async def test_a_server_without_room_is_shared_by_those_who_have_a_connection(
    postgres_process: PostgresProcess,
) -> None:
    """More calls than the role may have connections: they wait for each other and none fails."""
    role = table()
    await postgres_process.query(f"CREATE ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT 2")
    await postgres_process.query(f"ALTER ROLE {role} NOSUPERUSER")
    await postgres_process.query(f"CREATE SCHEMA {role} AUTHORIZATION {role}")
    url = postgres_process.url.replace("asynccache@", f"{role}@")
    backend = PostgresBackend(url, table=role, schema=role, timeout=LONG)
    await backend.set("k", b"v")
    assert await asyncio.gather(*(backend.get("k") for _ in range(200))) == [b"v"] * 200
    assert len(backend._here().connections) <= 2
    await backend.aclose()


async def test_a_standby_that_reads_only_is_unavailable_to_writers_and_left(
    postgres_server: PostgresServer,
) -> None:
    """After a failover a new connection may lead to the new primary; the old one would refuse for ever."""
    backend = PostgresBackend(postgres_server.url, table=table())
    await backend.open()
    session = backend._here()
    await session.fetch(None, "SET default_transaction_read_only = on")
    with pytest.raises(BackendUnavailableError, match="read-only transaction"):
        await backend.set("k", b"v")
    await backend.set("k", b"v")
    await backend.aclose()


async def test_guarded_and_batched_a_hundred_callers_share_statements(
    postgres_server: PostgresServer,
) -> None:
    backend = PostgresBackend(postgres_server.url, table=table())
    store = Batched(Guard(backend, stopwatch, timeout=LONG))
    await asyncio.gather(*(store.set(f"k{n}", b"%d" % n, 60) for n in range(100)))
    assert await asyncio.gather(*(store.get(f"k{n}") for n in range(100))) == [b"%d" % n for n in range(100)]
    assert len(backend._here().connections) <= 2
    await store.aclose()
