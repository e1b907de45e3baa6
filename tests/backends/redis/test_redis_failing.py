"""A server that is dead, frozen, silent, restarted, or cuts connections: what that costs."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from asynccache import Cache, CacheConfig, GuardConfig, RedisBackend
from asynccache._engine.clock import stopwatch
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from asynccache.testing._conformance.concurrency import Concurrency
from tests.servers.process import ServerProcess, free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer, redis_process


@pytest_asyncio.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def store(redis_server: RedisServer, proxy: Proxy) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(redis_server.url_via(proxy.port), timeout=0.3, connect_timeout=0.3)
    yield store
    await store.aclose()


@pytest.fixture
def process() -> contextlib.AbstractContextManager[ServerProcess]:
    return redis_process("--appendonly", "no")


async def test_a_dead_server_costs_no_retries() -> None:
    """redis-py's defaults take 4.5 s for this."""
    store = RedisBackend(f"redis://127.0.0.1:{free_port()}")
    start = stopwatch()
    for _ in range(20):
        with pytest.raises(BackendUnavailableError, match="no connection"):
            await store.get("k")
    with pytest.raises(BackendUnavailableError):
        await store.open()
    assert stopwatch() - start < 1
    await store.aclose()


async def test_a_silent_server_costs_one_timeout(store: RedisBackend, proxy: Proxy) -> None:
    """redis-py's defaults take 57 s for this."""
    await store.open()
    proxy.freeze()
    start = stopwatch()
    with pytest.raises(BackendTimeoutError, match="no answer in time"):
        await store.get("k")
    assert 0.25 < stopwatch() - start < 2
    proxy.thaw()
    await store.set("k", b"v")
    assert await store.get("k") == b"v"


async def test_an_increment_is_sent_once_even_if_its_answer_is_late(
    store: RedisBackend, proxy: Proxy, redis_server: RedisServer
) -> None:
    """redis-py's defaults sent it eleven times."""
    await store.delete("late")
    await store.incr("late")
    proxy.swallow = True
    with pytest.raises(BackendTimeoutError):
        await store.incr("late")
    proxy.swallow = False
    direct = RedisBackend(redis_server.url)
    assert await direct.get("late") == b"2"
    await direct.aclose()


async def test_three_hundred_gets_wait_for_few_connections(redis_server: RedisServer, proxy: Proxy) -> None:
    """redis-py's default pool fails two hundred of them."""
    store = RedisBackend(redis_server.url_via(proxy.port), max_connections=4)
    await store.set("k", b"v")
    assert await asyncio.gather(*(store.get("k") for _ in range(300))) == [b"v"] * 300
    assert proxy.accepted <= 4
    await store.aclose()


async def test_who_waits_for_a_connection_does_not_wait_for_ever(
    redis_server: RedisServer, proxy: Proxy
) -> None:
    store = RedisBackend(redis_server.url_via(proxy.port), max_connections=1, timeout=0.2)
    await store.open()
    proxy.freeze()
    start = stopwatch()
    outcomes = await asyncio.gather(*(store.get("k") for _ in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BackendTimeoutError}
    assert stopwatch() - start < 3
    proxy.thaw()
    assert await store.exists("never") is False
    await store.aclose()


async def test_a_cancelled_call_leaves_no_reply_for_the_next(store: RedisBackend, proxy: Proxy) -> None:
    """CVE-2023-28858 and 28859, as in redis-py's issue 2665: cancelled between request and reply."""
    await store.set("foo", b"foo")
    await store.set("bar", b"bar")
    proxy.delay = 0.05
    for call in (store.get("foo"), store.get_many(["foo", "bar"]), store.incr("n")):
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert await asyncio.gather(*(store.get("bar") for _ in range(3))) == [b"bar"] * 3
        assert await store.get("foo") == b"foo"


async def test_cut_connections_cost_their_calls_and_nothing_after(store: RedisBackend, proxy: Proxy) -> None:
    await store.set("k", b"v")
    for cut in (proxy.reset, proxy.half_close):
        await asyncio.gather(*(store.get("k") for _ in range(20)))
        cut()
        await asyncio.sleep(0.02)  # the news arrive while the connections are idle
        assert await asyncio.gather(*(store.get("k") for _ in range(20))) == [b"v"] * 20

    proxy.delay = 0.05
    under_way = asyncio.create_task(store.get("k"))
    await asyncio.sleep(0.02)
    proxy.reset()
    with pytest.raises(BackendUnavailableError):
        await under_way
    proxy.delay = 0.0
    assert await store.get("k") == b"v"


async def test_a_killed_server_is_back_for_a_cache_as_soon_as_it_is_back(
    process: contextlib.AbstractContextManager[ServerProcess],
) -> None:
    """Killed under load: no error reaches a caller, nobody hangs, and no stale connection costs one later."""
    with process as server:
        store = RedisBackend(f"redis://127.0.0.1:{server.port}")
        guard = GuardConfig(breaker_seconds=0.05)
        async with Cache(CacheConfig(backend=store, guard=guard)) as cache:
            going = True

            async def work(number: int) -> None:
                while going:
                    await cache.set(f"k{number}", number)
                    assert await cache.get(f"k{number}") in {number, None}

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                for number in range(16):
                    group.create_task(work(number))
                await asyncio.sleep(0.1)
                server.kill()
                await asyncio.sleep(0.1)
                assert await cache.get("k1") is None
                await asyncio.to_thread(server.restart)
                while await cache.get("k1") is None:  # noqa: ASYNC110 - nobody tells when the circuit closes
                    await asyncio.sleep(0.01)
                going = False
        await store.set("k", b"v")
        await asyncio.gather(*(store.get("k") for _ in range(8)))
        server.kill()
        await asyncio.to_thread(server.restart)
        await store.set("k", b"again")  # the first call already finds what is dead
        assert await asyncio.gather(*(store.get("k") for _ in range(8))) == [b"again"] * 8
        await store.aclose()


async def test_a_frozen_server_keeps_nobody(
    process: contextlib.AbstractContextManager[ServerProcess],
) -> None:
    with process as server:
        store = RedisBackend(f"redis://127.0.0.1:{server.port}", timeout=5.0)
        guard = GuardConfig(timeout=0.1, breaker_failures=3, breaker_seconds=0.05)
        async with Cache(CacheConfig(backend=store, guard=guard)) as cache:
            await cache.set("k", 1)
            server.freeze()
            start = stopwatch()
            assert await asyncio.gather(*(cache.get("k") for _ in range(50))) == [None] * 50
            for _ in range(50):
                assert await cache.get("k") is None
            assert stopwatch() - start < 2
            server.thaw()
            async with asyncio.timeout(10):
                while await cache.get("k") is None:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)


class TestThroughABadLine(Concurrency):
    """The public section on cancellation, through a proxy that chops replies and delays the pieces."""

    @pytest_asyncio.fixture
    async def backend(self, redis_server: RedisServer) -> AsyncIterator[RedisBackend]:
        async with Proxy(redis_server.port) as proxy:
            before = await redis_server.connections()
            proxy.chunk, proxy.delay = 700, 0.0005
            store = RedisBackend(redis_server.url_via(proxy.port), max_connections=12, timeout=10)
            yield store
            assert proxy.open <= 12
            await store.aclose()
            for _ in range(200):
                if not proxy.open and await redis_server.connections() <= before:
                    break
                await asyncio.sleep(0.01)
            assert proxy.open == 0
            assert await redis_server.connections() <= before


async def test_no_slot_is_lost_to_cancelled_calls(store: RedisBackend, proxy: Proxy) -> None:
    """After hundreds of cancelled calls, at every await there is, as many run at once as before."""
    for turns in range(300):
        task = asyncio.create_task(store.get("k") if turns % 3 else store.set_many({"k": b"v", "l": b"w"}))
        for _ in range(turns % 30):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    proxy.delay = 0.1
    start = stopwatch()
    await asyncio.gather(*(store.get("k") for _ in range(32)))
    assert stopwatch() - start < 0.3, "some had to wait for others"


async def test_closing_does_not_hang_on_a_frozen_server(store: RedisBackend, proxy: Proxy) -> None:
    await store.open()
    proxy.freeze()
    under_way = [asyncio.create_task(store.get("k")) for _ in range(50)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await store.aclose()
        outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    assert all(isinstance(outcome, BackendError) for outcome in outcomes)
    proxy.thaw()
    await store.set("k", b"open again")
    assert await store.get("k") == b"open again"
