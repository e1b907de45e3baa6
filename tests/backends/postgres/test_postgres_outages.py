"""A server that refuses, resets, freezes, dies and comes back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from asynccache import BackendTimeoutError, BackendUnavailableError, Cache, CacheConfig, GuardConfig
from asynccache._engine.clock import stopwatch
from asynccache.backends.postgres import PostgresBackend
from asynccache.errors import BackendError
from asynccache.events import Failed
from asynccache.testing import RecordedEvents
from tests.servers.postgres import PostgresProcess, PostgresServer, eventually
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


def behind(proxy: Proxy, server: PostgresServer, timeout: float = LONG, **options: Any) -> PostgresBackend:
    # sslmode: a proxy that chops makes asyncpg wait for the answer to an offer of TLS.
    url = f"{server.url_via(proxy.port)}?sslmode=disable"
    return PostgresBackend(url, table=table(), timeout=timeout, **options)


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
    backend = behind(proxy, postgres_server, connect_timeout=0.2, timeout=LONG)
    proxy.freeze()
    async with asyncio.timeout(LONG):
        with pytest.raises(BackendTimeoutError):
            await backend.get("k")
    proxy.thaw()
    connections: Any = backend._here().connections
    connections._options["timeout"] = LONG
    assert await backend.get("k") is None
    await backend.aclose()


async def test_everything_works_when_the_server_comes_later(postgres_process: PostgresProcess) -> None:
    """And a clean restart keeps the values, also of an UNLOGGED table."""
    old = PostgresBackend(postgres_process.url, table=table(), timeout=LONG)
    await old.set("k", b"old")
    postgres_process.stop()
    new = PostgresBackend(postgres_process.url, table=table(), timeout=LONG)
    for backend in (old, new):
        with pytest.raises(BackendUnavailableError):
            await backend.set("k", b"v")
    postgres_process.process.restart()
    assert await old.get("k") == b"old"
    assert await new.get("k") is None
    for backend in (old, new):
        await backend.aclose()


@pytest.mark.parametrize("unlogged", [True, False])
async def test_a_crash_under_load_and_what_is_left_of_the_data(
    postgres_process: PostgresProcess, unlogged: bool
) -> None:
    """An UNLOGGED table is empty after a crash, so nothing outdated comes back; a logged one is as it was."""
    backend = PostgresBackend(postgres_process.url, table=table(), unlogged=unlogged, timeout=LONG)
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
    postgres_process.crash()
    await asyncio.sleep(0.1)
    postgres_process.process.restart()

    async def answers() -> bool:
        try:
            await backend.get("kept")
        except BackendError:
            return False
        return True

    await eventually(answers)
    stop.set()
    async with asyncio.timeout(LONG):
        await asyncio.gather(*tasks)
    assert wrong == []
    assert await backend.get("kept") == (None if unlogged else b"v")
    await backend.set("after", b"v")
    assert await backend.get("after") == b"v"
    await backend.aclose()


async def test_one_killed_session_is_replaced(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(
        f"{postgres_server.url}?application_name=to_be_killed", table=table(), timeout=LONG
    )
    for _ in range(3):
        await backend.set("k", b"v")
        await postgres_server.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'to_be_killed'"
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
    backend = behind(proxy, postgres_server, timeout=1.5)
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
    await eventually(lambda: cache.set("k", "v", ttl=60))
    postgres_process.freeze()
    try:
        started = stopwatch()
        assert await cache.get("k") is None
        assert stopwatch() - started < LONG / 4
        await cache.get("k")
        assert any(isinstance(event.error, BackendTimeoutError) for event in events.of(Failed))
        await eventually(lambda: not backend._here().connections._busy)  # no late call holds one
    finally:
        postgres_process.thaw()

    async def hits() -> bool:
        value: object = await cache.get("k")
        return value == "v"

    await eventually(hits)
    await cache.aclose()


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
    backend = PostgresBackend(postgres_server.url, table=table(), timeout=LONG)
    await backend.open()
    session = backend._here()
    await session.fetch(None, "SET default_transaction_read_only = on")
    with pytest.raises(BackendUnavailableError, match="read-only transaction"):
        await backend.set("k", b"v")
    await backend.set("k", b"v")
    await backend.aclose()


async def test_closing_while_the_table_is_being_made_fails_those_who_wait(
    proxy: Proxy, postgres_server: PostgresServer
) -> None:
    backend = behind(proxy, postgres_server)
    proxy.freeze()
    calls = [asyncio.create_task(backend.get("k")) for _ in range(5)]
    await asyncio.sleep(0.05)
    await backend.aclose()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    proxy.thaw()
    assert await backend.get("k") is None
    await backend.aclose()
