"""Servers that are dead, frozen, killed, slow; connections that break; callers that leave."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest

from asynccache import Cache, CacheConfig, GuardConfig
from asynccache.backends.mongodb import MongoDBBackend
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from tests.servers.mongo import MongoServer, mongo_process
from tests.servers.process import ServerProcess, free_port
from tests.servers.proxy import Proxy

GENEROUS = 20.0
"""Seconds within which everything here has ended, however busy the machine is."""


@pytest.fixture(scope="module")
def process() -> Iterator[ServerProcess]:
    """Give a server that tests may freeze and kill; they leave it running."""
    with mongo_process() as process:
        yield process


def url_of(process: ServerProcess) -> str:
    return f"mongodb://127.0.0.1:{process.port}/app"


async def recovered(backend: MongoDBBackend) -> None:
    """Wait until the store answers again."""
    async with asyncio.timeout(GENEROUS):
        while True:
            try:
                await backend.set("recovered", b"v")
                break
            except BackendError:
                await asyncio.sleep(0.05)


# PyMongo cancels its monitors when it is closed; one that is connecting drops its socket, for `gc` to close.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_a_server_that_is_not_there_is_unavailable() -> None:
    backend = MongoDBBackend(f"mongodb://127.0.0.1:{free_port()}", timeout=0.3, connect_timeout=0.3)
    for call in (backend.open, lambda: backend.get("k"), lambda: backend.set("k", b"v"), backend.health):
        async with asyncio.timeout(GENEROUS):
            with pytest.raises(BackendUnavailableError):
                await call()
    await backend.aclose()
    gc.collect()


async def test_a_frozen_server_costs_a_timeout_and_no_more(process: ServerProcess) -> None:
    backend = MongoDBBackend(url_of(process), timeout=0.3)
    await backend.set("k", b"v")
    await backend.set("n", b"0")
    process.freeze()
    try:
        async with asyncio.timeout(GENEROUS):
            for call in (lambda: backend.get("k"), lambda: backend.get_many(["k", "l"]), backend.health):
                with pytest.raises(BackendError) as caught:
                    await call()
                assert isinstance(caught.value, BackendTimeoutError | BackendUnavailableError)
            newcomer = MongoDBBackend(url_of(process), timeout=0.3)
            with pytest.raises(BackendUnavailableError):
                await newcomer.open()
            await newcomer.aclose()
            with pytest.raises(BackendError):
                await backend.incr("n")
            await backend.aclose()
    finally:
        process.thaw()
    await recovered(backend)
    assert await backend.incr("n") in {1, 2}
    await backend.aclose()


async def test_a_cache_on_a_frozen_server_answers_within_its_deadline(process: ServerProcess) -> None:
    config = CacheConfig(backend=MongoDBBackend(url_of(process)), guard=GuardConfig(timeout=0.25))
    async with Cache(config) as cache:
        await cache.set("k", "v")
        process.freeze()
        try:
            async with asyncio.timeout(GENEROUS):
                assert await asyncio.gather(*(cache.get("k") for _ in range(50))) == [None] * 50
                assert await cache.get_or_set("k", computed) == "computed"
        finally:
            process.thaw()


async def computed() -> str:
    return "computed"


async def test_a_server_killed_and_restarted_under_load_is_used_again(process: ServerProcess) -> None:
    backend = MongoDBBackend(url_of(process), timeout=1)
    wrong: list[object] = []
    succeeded = [0] * 8
    over = asyncio.Event()
    lives = 1

    async def work(task: int) -> None:
        step = 0
        while not over.is_set():
            step += 1
            key = f"{task}:{step % 5}"
            life = lives
            try:
                await backend.set(key, f"{key}|{step}".encode())
                value = await backend.get(key)
            except BackendError:
                await asyncio.sleep(0.01)
                continue
            # What was set just before is gone where it had not reached the journal, or an older one is back.
            lost = lives != life and (value is None or value.startswith(f"{key}|".encode()))
            if value != f"{key}|{step}".encode() and not lost:
                wrong.append((key, value))
            succeeded[task] += 1

    async def until_all_have(more: int) -> None:
        goal = [count + more for count in succeeded]
        behind = goal
        while behind:
            await asyncio.sleep(0.01)
            behind = [wanted for count, wanted in zip(succeeded, goal, strict=True) if count < wanted]

    workers = [asyncio.create_task(work(task)) for task in range(8)]
    async with asyncio.timeout(2 * GENEROUS):
        await until_all_have(5)
        lives += 1
        process.kill()
        await asyncio.to_thread(process.restart)
        await until_all_have(5)
        over.set()
        await asyncio.gather(*workers)
    assert wrong == []
    await backend.aclose()


async def test_with_a_journal_a_crash_takes_nothing_back(process: ServerProcess) -> None:
    backend = MongoDBBackend(f"{url_of(process)}?journal=true", timeout=GENEROUS)
    await backend.set("removed", b"v")
    await asyncio.gather(*(backend.set(f"kept {number}", b"v") for number in range(50)))
    await backend.delete("removed")
    process.kill()
    await asyncio.to_thread(process.restart)
    await recovered(backend)

    assert await backend.get("removed") is None
    assert len(await backend.get_many([f"kept {number}" for number in range(50)])) == 50
    await backend.aclose()


@pytest.fixture
async def proxied(mongo_server: MongoServer) -> AsyncIterator[tuple[Proxy, MongoDBBackend]]:
    async with Proxy(mongo_server.port) as proxy:
        separator = "&" if mongo_server.options else "?"
        url = f"{mongo_server.url_via(proxy.port)}{separator}directConnection=true"
        backend = MongoDBBackend(url, timeout=GENEROUS, bus=False)
        await backend.open()
        yield proxy, backend
        await backend.aclose()


async def test_connections_that_are_reset_fail_their_callers_only(
    proxied: tuple[Proxy, MongoDBBackend],
) -> None:
    proxy, backend = proxied
    await backend.set("k", b"v")
    for break_off in (proxy.reset, proxy.half_close):
        proxy.delay = 0.2
        gets = [asyncio.create_task(backend.get("k")) for _ in range(5)]
        await asyncio.sleep(0.05)
        break_off()
        outcomes = await asyncio.gather(*gets, return_exceptions=True)
        assert all(outcome == b"v" or isinstance(outcome, BackendUnavailableError) for outcome in outcomes)
        proxy.delay = 0.0
        await recovered(backend)
        assert await backend.get("k") == b"v"


async def test_random_cancellation_gives_no_wrong_value_and_loses_no_count(
    mongo_server: MongoServer, proxied: tuple[Proxy, MongoDBBackend]
) -> None:
    proxy, backend = proxied
    proxy.chunk, proxy.delay = 40, 0.0005
    keys = [f"key{number}" for number in range(16)]
    finished: list[int] = []
    attempted = 0
    wrong: list[object] = []

    async def get(key: str) -> None:
        judge(key, await backend.get(key))

    async def get_many(key: str) -> None:
        for found, value in (await backend.get_many([key, *keys[:4]])).items():
            judge(found, value)

    async def store(key: str) -> None:
        await backend.set(key, f"{key}|".encode() * 30)

    async def count(_: str) -> None:
        nonlocal attempted
        attempted += 1
        finished.append(await backend.incr("counter"))

    def judge(key: str, value: bytes | None) -> None:
        if value is not None and value != f"{key}|".encode() * 30:
            wrong.append((key, value[:80]))

    async def work(draw: Random) -> None:
        for _ in range(20):
            call = asyncio.ensure_future(draw.choice([get, get, get_many, store, count])(draw.choice(keys)))
            if draw.random() < 1 / 3:
                await asyncio.sleep(draw.random() * 0.02)
                call.cancel()
            await asyncio.wait({call})
            if not call.cancelled():
                call.result()

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(Random(seed)) for seed in range(16)))
    assert wrong == []
    assert len(set(finished)) == len(finished)
    assert len(finished) <= await backend.incr("counter", 0) <= attempted
    await backend.aclose()
    await mongo_server.let_go()
    async with asyncio.timeout(GENEROUS):
        while proxy.open:  # noqa: ASYNC110 - connections end without an event
            await asyncio.sleep(0)


async def test_a_caller_that_leaves_while_a_connection_is_made_leaves_none_behind(
    mongo_server: MongoServer,
) -> None:
    async with Proxy(mongo_server.port) as proxy:
        url = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        for turns in range(40):
            backend = MongoDBBackend(url, timeout=GENEROUS, bus=False)
            await backend.get("k")
            callers = [asyncio.create_task(backend.get("k")) for _ in range(6)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for caller in callers[::2]:
                caller.cancel()
            await asyncio.wait(callers)
            assert [caller.result() for caller in callers[1::2]] == [None] * 3
            await backend.aclose()
        async with asyncio.timeout(GENEROUS):
            while proxy.open:  # noqa: ASYNC110 - connections end without an event
                await asyncio.sleep(0)


async def test_more_callers_than_connections_wait_for_their_turn(mongo_server: MongoServer) -> None:
    url = mongo_server.fresh_url()
    separator = "&" if "?" in url else "?"
    backend = MongoDBBackend(f"{url}{separator}maxPoolSize=5", timeout=GENEROUS, bus=False)
    await backend.set_many({f"k{number}": b"%d" % number for number in range(300)})
    values = await asyncio.gather(*(backend.get(f"k{number}") for number in range(300)))
    assert values == [b"%d" % number for number in range(300)]
    assert await mongo_server.connections() <= 5 + 2  # the driver watches its server by two of its own
    await backend.aclose()


async def test_clearing_may_take_longer_than_other_operations(
    proxied: tuple[Proxy, MongoDBBackend], mongo_server: MongoServer
) -> None:
    proxy, patient = proxied
    await patient.set("k", b"v")
    url = f"mongodb://{mongo_server.userinfo}127.0.0.1:{proxy.port}/{patient._settings.database}"
    query = "&".join(["directConnection=true", *filter(None, [mongo_server.options])])
    backend = MongoDBBackend(f"{url}?{query}", timeout=0.4, bus=False)
    assert await backend.get("k") == b"v"
    proxy.delay = 0.6
    with pytest.raises(BackendError):
        await backend.get("k")
    started = time.perf_counter()
    async with asyncio.timeout(GENEROUS):
        while True:
            try:
                await backend.clear("k")
                break
            except BackendUnavailableError:  # the driver has not found the server again yet
                assert time.perf_counter() - started < GENEROUS
    proxy.delay = 0.0
    await recovered(patient)
    assert await patient.get("k") is None
    await backend.aclose()


def test_nothing_warns_where_nobody_closes(mongo_server: MongoServer, recwarn: Any) -> None:
    backend = MongoDBBackend(mongo_server.fresh_url(), bus=False)

    async def use() -> None:
        await backend.set("k", b"v")

    asyncio.run(use())
    asyncio.run(use())
    assert list(recwarn) == []
