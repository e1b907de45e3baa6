"""The eight attacks that succeed on aiomcache 0.8.2, against ours: right answers, and nobody is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asynccache import MemcachedBackend
from asynccache.errors import BackendError, BackendTimeoutError
from tests.servers.memcached import MemcachedServer
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy

PATIENCE = 20.0


async def cancelled(call: Awaitable[object], after: float = 0.03) -> None:
    """Begin ``call`` and cancel it while its answer is under way."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(after)
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_1_a_cancelled_count_is_not_answered_to_the_next(
    store: MemcachedBackend, remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Bob's counter is not answered with Alice's, nor ever after off by one."""
    await store.set(mark + "alice", b"41")
    await store.set(mark + "bob", b"1000")
    await remote.open()
    proxy.delay = 0.06
    for _ in range(3):
        await cancelled(remote.incr(mark + "alice"))
    proxy.delay = 0.0

    assert [await remote.incr(mark + "bob") for _ in range(3)] == [1001, 1002, 1003]
    assert int(await store.get(mark + "alice") or b"") in range(41, 45)


async def test_2_a_cancelled_add_gives_nobody_somebody_elses_lock(
    store: MemcachedBackend, remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Of two who want what is taken none is told that it is his."""
    await store.set(mark + "lock b", b"somebody else's")
    await remote.open()
    proxy.delay = 0.06
    await cancelled(remote.add(mark + "lock a", b"mine"), after=0.09)
    proxy.delay = 0.0

    assert [await remote.add(mark + "lock b", b"mine") for _ in range(3)] == [False] * 3
    assert await store.get(mark + "lock b") == b"somebody else's"


async def test_3_a_cancelled_get_does_not_shift_the_answers(
    store: MemcachedBackend, remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Later reads return what is there now, not what was there one read ago."""
    await store.set(mark + "k", b"0")
    await remote.open()
    proxy.delay = 0.06
    await cancelled(remote.get(mark + "k"))
    proxy.delay = 0.0
    for number in range(1, 5):
        await store.set(mark + "k", b"%d" % number)
        assert await remote.get(mark + "k") == b"%d" % number


async def test_4_a_value_smuggles_no_answer(
    store: MemcachedBackend, remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """A value that spells answers, cancelled at any point of its way, is not read as one."""
    name = f"{mark}session:admin"
    evil = f"VALUE {name} 0 4\r\nEVIL\r\nEND\r\n".encode()
    await store.set(mark + "k", evil * 400)
    await store.set(name, b"good")
    await remote.open()
    proxy.chunk = 997
    proxy.delay = 0.001
    for step in range(12):
        await cancelled(remote.get(mark + "k"), after=0.002 * step)
        assert await remote.get(name) == b"good"
    assert proxy.accepted == 1, "a cancelled call need not cost a connection"


async def test_5_a_server_that_closes_does_not_freeze_the_loop(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """An end of file is an error for who waits, at once, not a loop without an await."""
    await remote.open()
    proxy.delay = 0.05
    under_way = [asyncio.ensure_future(remote.incr(f"{mark}{number}")) for number in range(8)]
    await asyncio.sleep(0.02)
    proxy.half_close()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    proxy.delay = 0.0

    assert all(isinstance(outcome, int | BackendError) for outcome in outcomes)
    assert await remote.set(mark + "k", b"goes on") is True


async def test_6_no_waiter_is_lost_when_the_server_dies(
    start_memcached: Callable[..., ServerProcess], mark: str
) -> None:
    """Killed under load, restarted: every task hears of it, and every task goes on."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    went_on = 0

    async def work(task: int) -> None:
        nonlocal went_on
        step = failures = 0
        while not (failures and step > failures + 20):
            step += 1
            try:
                await store.set(f"{mark}{task}", b"%d" % step * 500)
            except BackendError:
                failures = step
                await asyncio.sleep(0.01)
        went_on += 1

    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            tasks = [asyncio.create_task(work(task)) for task in range(12)]
            await asyncio.sleep(0.05)
            server.kill()
            await asyncio.sleep(0.05)
            server.restart()
            await asyncio.gather(*tasks)
    await store.aclose()

    assert went_on == 24


@pytest.mark.parametrize("many", [False, True], ids=["alone", "in bulk"])
@pytest.mark.parametrize(
    "key",
    [
        "é" * 126,
        "x" * 251,
        "",
        "a\r\nflush_all",
        "a b",
        "a\x00b",
        "a\n",
        "\x7f",
        "\u0085",
        "\u00a0",
        "a noreply",
    ],
    ids=ascii,
)
async def test_7_a_key_smuggles_no_command(
    store: MemcachedBackend, memcached_server: MemcachedServer, mark: str, key: str, *, many: bool
) -> None:
    """What memcached takes for no key is not sent, and no value is ever carried out as a command."""
    victim = mark + "victim"
    await store.set(victim, b"safe")
    flushes = await flushed(memcached_server)
    for value in (f"set {victim} 0 0 4\r\nEVIL", "flush_all", f"delete {victim}"):
        for name in (key, key and mark + key):
            try:
                if many:
                    await store.set_many({name: value.encode()})
                    assert await store.get_many([name]) == {name: value.encode()}
                    await store.delete_many([name])
                else:
                    await store.set(name, value.encode())
                    assert await store.get(name) == value.encode()
                    await store.delete(name)
            except ValueError:
                assert not name
    assert await store.get(victim) == b"safe"
    assert await flushed(memcached_server) == flushes


async def flushed(server: MemcachedServer) -> bytes:
    stats = await server.ask(b"stats\r\n", b"END\r\n")
    return next(line for line in stats.splitlines() if b"cmd_flush" in line)


async def test_8_a_silent_server_is_not_waited_for_for_ever(
    remote: MemcachedBackend, proxy: Proxy, mark: str
) -> None:
    """Without a deadline of the caller's own: an error after the timeout, and life afterwards."""
    await remote.set(mark + "k", b"v")
    proxy.freeze()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BackendTimeoutError, match="no answer"):
            await remote.incr(mark + "n")
        with pytest.raises(BackendTimeoutError, match="no answer"):
            await remote.get(mark + "k")
    proxy.thaw()
    async with asyncio.timeout(PATIENCE):
        while await remote.set(mark + "k", b"again") is not True:
            pass
    assert await remote.get(mark + "k") == b"again"
