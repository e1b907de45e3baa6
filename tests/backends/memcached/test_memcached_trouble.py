"""A server that is dead, frozen, silent, restarted, or cuts connections: what it costs; that it passes."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest
import pytest_asyncio

from asynccache import Cache, CacheConfig, GuardConfig, MemcachedBackend
from asynccache._engine.clock import stopwatch
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from asynccache.testing._conformance.concurrency import Concurrency
from tests.servers.memcached import MemcachedServer
from tests.servers.process import ServerProcess, free_port
from tests.servers.proxy import Proxy

PATIENCE = 20.0


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``condition`` holds: nothing tells when a server has noticed something."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


async def test_a_dead_server_is_told_at_once() -> None:
    store = MemcachedBackend(f"memcached://127.0.0.1:{free_port()}")
    start = stopwatch()
    with pytest.raises(BackendUnavailableError, match=r"127\.0\.0\.1"):
        await store.open()
    for call in (
        lambda: store.get("k"),
        lambda: store.set("k", b"v"),
        lambda: store.delete("k"),
        lambda: store.get_many(["k", "l"]),
        lambda: store.set_many({"k": b"v"}),
        lambda: store.delete_many(["k"]),
        lambda: store.add("k", b"v"),
        lambda: store.incr("k"),
        lambda: store.touch("k", 1.0),
        lambda: store.acquire_lease("k", 1.0),
        lambda: store.get_versioned("k"),
    ):
        with pytest.raises(BackendUnavailableError) as caught:
            await call()
        assert caught.value.backend == "memcached"
        assert caught.value.__cause__ is not None
    with pytest.raises(BackendUnavailableError) as caught:
        await store.get("the key")
    assert caught.value.key == "the key"
    assert (await store.health()).healthy is False
    assert stopwatch() - start < 5
    await store.aclose()
    await store.aclose()


async def test_it_recovers_by_itself_when_the_server_comes_later(
    start_memcached: Callable[..., ServerProcess],
) -> None:
    """A store that was never opened, or in vain, works as soon as there is a server."""
    server = start_memcached()
    server.kill()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    with pytest.raises(BackendUnavailableError):
        await store.get("k")
    server.restart()

    assert await store.set("k", b"v") is True
    assert await store.get("k") == b"v"
    server.kill()  # and with it all data
    server.restart()
    assert await store.get("k") is None
    assert await store.set("k", b"again") is True
    await store.aclose()


async def test_who_answers_is_no_memcached(memcached_server: MemcachedServer, mark: str) -> None:
    """A port that speaks another protocol is an unavailable store, and gets no data."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(1000))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        store = MemcachedBackend(f"memcached://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(BackendUnavailableError, match="no memcached"):
            await store.set(mark + "k", b"secret")
        await store.aclose()
    assert received == b"version\r\n"


async def test_a_frozen_server(start_memcached: Callable[..., ServerProcess]) -> None:
    """SIGSTOP: connections stay and are even accepted, and nobody answers."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}", timeout=0.2, connect_timeout=0.7)
    await store.set("k", b"v")
    server.freeze()
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            outcomes = await asyncio.gather(*(store.get("k") for _ in range(300)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {BackendTimeoutError}
    server.thaw()

    assert await store.get("k") == b"v"
    await store.aclose()


async def test_what_a_hung_server_had_received_does_not_undo_what_comes_later(
    start_memcached: Callable[..., ServerProcess],
) -> None:
    """A set that timed out is still in the server's buffers; a delete after it must win."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}", timeout=0.1, connect_timeout=0.7)
    keys = [f"k{number}" for number in range(400)]
    await store.open()
    for _ in range(2):
        server.freeze()
        sets = [store.set(key, b"old" * 1000) for key in keys]
        outcomes = await asyncio.gather(*sets, return_exceptions=True)
        assert all(isinstance(outcome, BackendError) for outcome in outcomes)
        deletes = [asyncio.ensure_future(store.delete_many(keys)) for _ in range(2)]
        await asyncio.sleep(0)
        server.thaw()
        await asyncio.gather(*deletes, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await store.delete_many(keys)
                    break
                except BackendError:
                    await asyncio.sleep(0.01)
        assert await store.get_many(keys) == {}
        await asyncio.sleep(0.02)  # nor later
        assert await store.get_many(keys) == {}
    await store.aclose()


async def test_a_connection_waits_for_the_end_of_one_that_was_given_up(
    memcached_server: MemcachedServer, mark: str
) -> None:
    """As long as the server has it, it may still carry out what came on it."""
    reader, writer = await asyncio.open_connection(memcached_server.host, memcached_server.port)
    writer.write(b"version\r\n")
    await reader.readline()
    host, port = writer.get_extra_info("sockname")
    store = MemcachedBackend(memcached_server.url, connect_timeout=0.3)
    server = store._lane().servers[0]
    server._predecessors.add(f"tcp:{host}:{port}")
    with pytest.raises(BackendTimeoutError, match="no answer within"):
        await store.get(mark + "k")
    writer.close()
    await writer.wait_closed()

    assert await store.get(mark + "k") is None
    assert not server._predecessors
    await store.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_the_server_calls_our_end_what_we_do(
    start_memcached: Callable[..., ServerProcess], host: str
) -> None:
    """Else the check above would find nothing, and nobody would notice."""
    if host == "[::1]" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    server = start_memcached(*(["-l", "::1"] if host == "[::1]" else []))
    store = MemcachedBackend(f"memcached://{host}:{server.port}")
    await store.open()
    connection = store._lane().servers[0].connection
    assert connection is not None
    seen = {value for name, value in (await connection.stats("conns")).items() if name.endswith(":addr")}
    await store.aclose()

    assert connection.seen_as in seen


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_an_aborted_connection_with_a_write_under_way_is_remembered(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """One that only read can have left nothing to be carried out."""
    await remote.open()
    server = remote._lane().servers[0]
    for call, remembered in ((lambda: remote.get(mark + "k"), 0), (lambda: remote.delete(mark + "k"), 1)):
        proxy.freeze()
        with pytest.raises(BackendTimeoutError):
            await call()
        assert len(server._predecessors) == remembered
        proxy.thaw()
        async with asyncio.timeout(PATIENCE):
            assert await remote.get(mark + "k") is None
        assert not server._predecessors


async def test_reset_connections_cost_nothing_but_another_one(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """What may be done twice is done again; what may not is an error."""
    await remote.set(mark + "k", b"v")
    for _ in range(5):
        proxy.reset()
        assert await remote.get(mark + "k") == b"v"
        proxy.reset()
        assert await remote.set(mark + "k", b"v") is True
    proxy.reset()
    assert await remote.delete(mark + "k") in {True, False}
    assert proxy.open == 1


async def test_an_idle_connection_that_the_server_closed(
    start_memcached: Callable[..., ServerProcess],
) -> None:
    """Servers close idle connections (idle_timeout); nobody notices."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    assert await store.incr("n") == 1
    server.kill()

    async def noticed() -> bool:
        return not store._lane().servers[0].ready()

    await eventually(noticed)
    server.restart()

    assert await store.incr("n") == 1  # not even what may not be done twice
    await store.aclose()


async def test_an_increment_that_may_have_arrived_is_not_repeated(
    store: MemcachedBackend, remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    await remote.incr(mark + "n")
    server = remote._lane().servers[0]

    async def counting() -> bool:
        connection = server.connection
        return connection is not None and any(reply.changes for reply in connection._due)

    proxy.delay = 0.1
    for _ in range(3):
        call = asyncio.ensure_future(remote.incr(mark + "n"))
        await eventually(counting)
        proxy.reset()  # the second of its two requests, the one that counts, is under way
        with pytest.raises(BackendUnavailableError):
            await call

    assert int(await store.get(mark + "n") or b"") <= 4


async def test_three_hundred_callers_share_one_connection(
    memcached_server: MemcachedServer, mark: str
) -> None:
    """Nobody is turned away, nobody waits for a pool, and afterwards the server has as many as before."""
    before = await memcached_server.connections()
    store = MemcachedBackend(memcached_server.url)
    items = {f"{mark}{number}": b"%d" % number * 1000 for number in range(300)}
    await asyncio.gather(*(store.set(key, value) for key, value in items.items()))
    assert await asyncio.gather(*map(store.get, items)) == list(items.values())
    assert await memcached_server.connections() == before + 1
    await store.aclose()

    async def back() -> bool:
        return await memcached_server.connections() == before

    await eventually(back)


async def test_more_than_the_network_takes_is_not_piled_up(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Writers wait for room, all of them get it, and those who are cancelled meanwhile leave nothing."""
    await remote.open()
    proxy.freeze()
    values = {f"{mark}{number}": b"%d" % number * 300_000 for number in range(40)}
    sets = [asyncio.ensure_future(remote.set(key, value)) for key, value in values.items()]
    await asyncio.sleep(0.01)
    transport = remote._lane().servers[0].home.connection._transport
    assert transport is not None
    assert transport.get_write_buffer_size() < 4 * 2**20
    for cancelled in sets[20:25]:
        cancelled.cancel()
    proxy.thaw()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*sets, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes[20:25]] == [asyncio.CancelledError] * 5
    assert outcomes[:20] + outcomes[25:] == [True] * 35
    assert await remote.get(f"{mark}39") == values[f"{mark}39"]


async def test_closing_ends_what_is_under_way(remote: MemcachedBackend, proxy: Proxy, mark: str) -> None:
    """Also an attempt to connect."""
    await remote.open()
    proxy.freeze()
    calls = [asyncio.ensure_future(remote.get(mark + "k")) for _ in range(5)]
    await asyncio.sleep(0.01)
    await remote.aclose()
    connecting = asyncio.ensure_future(remote.get(mark + "k"))
    await asyncio.sleep(0.01)
    await remote.aclose()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*calls, connecting, return_exceptions=True)
    proxy.thaw()

    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    assert await remote.get(mark + "k") is None


def test_a_loop_that_ends_takes_its_connections_along(memcached_server: MemcachedServer, mark: str) -> None:
    """Nobody has to close what `asyncio.run` used: no warning, nothing left, and the next loop works."""
    store = MemcachedBackend(memcached_server.url)
    before = asyncio.run(memcached_server.connections())
    for number in range(3):
        asyncio.run(store.set(f"{mark}{number}", b"v"))
        gc.collect()

    async def back() -> bool:
        return await memcached_server.connections() == before

    asyncio.run(eventually(back))
    assert asyncio.run(store.get(mark + "2")) == b"v"


async def test_a_cache_answers_whatever_the_server_does(
    start_memcached: Callable[..., ServerProcess],
) -> None:
    """Through the facade: no exception, and nothing takes much longer than the guard allows."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    config = CacheConfig(backend=store, guard=GuardConfig(timeout=0.2, breaker_seconds=0.05))
    async with Cache(config) as cache:
        await cache.set("k", "v")
        for trouble in (server.freeze, server.kill):
            trouble()
            start = stopwatch()
            await asyncio.gather(*(cache.get("k") for _ in range(100)))
            assert await cache.set("k", "w") is False
            assert stopwatch() - start < 5
        server.restart()

        async def works() -> bool:
            return await cache.set("k", "x") and await cache.get("k") == "x"

        await eventually(works)


class TestBehindABadNetwork(Concurrency):
    """A third of all calls is cancelled at random moments, while a proxy chops and delays every answer."""

    @pytest_asyncio.fixture
    async def backend(self, memcached_server: MemcachedServer) -> AsyncIterator[MemcachedBackend]:
        """Give the store; afterwards the one connection is still the first."""
        async with Proxy(memcached_server.port) as proxy:
            proxy.chunk = 4001
            proxy.delay = 0.0002
            store = MemcachedBackend(memcached_server.url_via(proxy.port), timeout=PATIENCE)
            yield store
            assert proxy.accepted <= 2, "cancellation costs no connection; one is another loop's"
            assert proxy.open == 1
            await store.aclose()


async def test_cancelled_at_random_with_answers_in_crumbs(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Cut anywhere, inside a number or a line end: values carry their key, and each count is given once."""
    await remote.open()
    proxy.chunk = 3
    answers: list[int] = []
    attempts = 0

    async def read(key: str) -> None:
        value = await remote.get(key)
        assert value is None or value.decode() in {key, key + "END\r\n" * 5}

    async def read_many(key: str) -> None:
        for name, value in (await remote.get_many([key, key + "+", f"{mark}0"])).items():
            assert value.decode() in {name, name + "END\r\n" * 5}

    async def count(_: str) -> None:
        nonlocal attempts
        attempts += 1
        answers.append(await remote.incr(mark + "n"))

    async def work(draw: Random) -> None:
        for step in range(25):
            key = f"{mark}{draw.randrange(8)}"
            value = (key + "END\r\n" * 5 * (step % 2)).encode()
            calls = (read(key), read_many(key), count(key), remote.set(key, value), remote.delete(key))
            chosen = draw.randrange(len(calls))
            for place, call in enumerate(calls):
                if place != chosen:
                    call.close()
            task = asyncio.ensure_future(calls[chosen])
            if draw.random() < 1 / 3:
                await asyncio.sleep(draw.random() * 0.005)
                task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(work(Random(seed)) for seed in range(16)))
    assert len(set(answers)) == len(answers) > 10
    assert len(answers) <= await remote.incr(mark + "n", 0) <= attempts
    assert (proxy.accepted, proxy.open) == (1, 1)
