"""What the server refuses, and what else is special about its answers."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from asynccache import RedisBackend
from asynccache._engine.clock import stopwatch
from asynccache.backends.redis._keys import lease_key
from asynccache.errors import BackendError, BackendUnavailableError
from tests.servers.redis import RedisServer, redis_process

MIB = 2**20


@pytest_asyncio.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(redis_server.fresh_url())
    yield store
    await store.aclose()


@pytest_asyncio.fixture
async def plain(store: RedisBackend, redis_server: RedisServer) -> AsyncIterator[Redis]:
    """The driver's client on the same database."""
    database = int(repr(store).rstrip(">").rpartition("/")[2])
    async with Redis(host=redis_server.host, port=redis_server.port, db=database) as client:
        yield client


@pytest.fixture
def port() -> Iterator[int]:
    """A server that the test may spoil."""
    with redis_process() as server:
        yield server.port


async def test_keys_and_values_are_stored_as_they_are(store: RedisBackend, plain: Redis) -> None:
    await store.set("ключ {x}", b"\x00\xff")
    await store.incr("n", 5)
    assert await plain.get("ключ {x}") == b"\x00\xff"
    assert await plain.incr("n") == 6


async def test_a_get_is_one_get(store: RedisBackend, plain: Redis) -> None:
    """No script, no second command, no other connection."""
    await store.get("warm")
    async with plain.monitor() as monitor:
        await store.get("k")
        await plain.echo("end")
        seen: list[str] = []
        async for command in monitor.listen():
            seen.append(command["command"])
            if seen[-1].startswith("ECHO"):
                break
    greetings = ("HELLO", "SELECT", "CLIENT", "ECHO")  # of the connection that sent the last
    assert [command for command in seen if not command.startswith(greetings)] == ["GET k"]


async def test_bulk_reads_are_one_command(store: RedisBackend, plain: Redis) -> None:
    await plain.config_resetstat()
    await store.set_many({f"{number}": b"v" for number in range(200)}, 60)
    await store.get_many([f"{number}" for number in range(200)])
    stats: dict[str, Any] = await plain.info("commandstats")
    assert stats["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in stats
    assert stats["cmdstat_evalsha"]["calls"] <= 2  # the second where the server had not seen it


async def test_the_server_really_lets_values_expire(store: RedisBackend) -> None:
    """The suites take the time off; here it passes."""
    await store.set("k", b"v", 0.05)
    await store.set("short", b"v", 0.000_1)  # not zero
    assert await store.get("k") == b"v"
    start = stopwatch()
    while await store.get("k") is not None:
        assert stopwatch() - start < 5
        await asyncio.sleep(0.005)
    assert stopwatch() - start > 0.02
    assert await store.get("short") is None


@pytest.mark.parametrize("ttl, px", [(0.000_1, 1), (1.0014, 1001), (1.0016, 1002), (1e300, 2**62)])
async def test_lives_are_whole_milliseconds(store: RedisBackend, plain: Redis, ttl: float, px: int) -> None:
    token = await store.acquire_lease("l", 60)
    assert token is not None
    await store.set("long", b"v")
    await store.touch("long", ttl)
    await store.set("k", b"v", ttl)
    for key in ("k", "long"):
        left = await plain.pttl(key)
        assert px - 500 <= left <= px or left == -2


async def test_what_is_no_integer_raises_and_stays(store: RedisBackend, plain: Redis) -> None:
    token = await store.acquire_lease("k", 60)
    assert token is not None
    await plain.set("k", b"text")
    with pytest.raises(BackendError, match="not an integer") as raised:
        await store.incr("k")
    assert (type(raised.value), raised.value.backend, raised.value.key) == (BackendError, "redis", "k")
    assert await store.get("k") == b"text"
    assert await store.fill("k", b"filled", None, token) is True  # nothing was written: the lease stands


@pytest.mark.parametrize(
    "there, delta, initial", [(b"9223372036854775807", 1, 0), (None, 2**62, 2**62), (b"-9", -(2**63), 0)]
)
async def test_counters_end_at_64_bits(
    store: RedisBackend, there: bytes | None, delta: int, initial: int
) -> None:
    if there is not None:
        await store.set("n", there)
    with pytest.raises(BackendError) as raised:
        await store.incr("n", delta, initial=initial)
    assert type(raised.value) is BackendError
    assert await store.get("n") == there


async def test_other_types_are_answers_not_outages(store: RedisBackend, plain: Redis) -> None:
    """A list of somebody else's under our key: plain errors for reading, and set and delete replace it."""
    await plain.rpush("k", "a")
    for call in (store.get("k"), store.incr("k")):
        with pytest.raises(BackendError, match="WRONGTYPE") as raised:
            await call
        assert type(raised.value) is BackendError
    assert await store.get_many(["k", "other"]) == {}
    assert await store.exists("k") is True
    assert await store.add("k", b"v") is False
    assert await store.set("k", b"v") is True
    assert await store.get("k") == b"v"


async def test_a_full_server_refuses_and_what_was_there_is_gone(port: int) -> None:
    async with Redis(port=port) as plain:
        store = RedisBackend(f"redis://127.0.0.1:{port}")
        for key in ("a", "b", "c", "d", "e"):
            await store.set(key, b"old")
        token = await store.acquire_lease("c", 60)
        assert token is not None
        await plain.config_set("maxmemory-policy", "noeviction")
        await plain.config_set("maxmemory", 1)
        assert await store.set("a", b"new") is False
        assert await store.set_many({"b": b"new", "f": b"new"}) == {"b", "f"}
        assert await store.fill("c", b"new", None, token) is False
        assert await store.get_many(["a", "b", "c", "d", "f"]) == {"d": b"old"}
        for call in (store.add("new", b"v"), store.incr("counter"), store.acquire_lease("g", 60)):
            with pytest.raises(BackendError, match="maxmemory") as raised:
                await call
            assert type(raised.value) is BackendError
        assert await store.delete_many(["d", "e"]) == {"d", "e"}
        await store.clear("a")
        await plain.config_set("maxmemory", 0)
        assert await store.fill("c", b"late", None, token) is False, "the lease went with the refused fill"
        assert await store.set("a", b"new") is True
        await store.aclose()


async def test_a_batch_does_not_outgrow_a_full_server(port: int) -> None:
    """A server makes room before a command, not within it: 16 MiB arrive as many commands."""
    async with Redis(port=port) as plain:
        await plain.config_set("maxmemory-policy", "allkeys-lru")
        await plain.config_set("maxmemory", 8 * MIB)
        store = RedisBackend(f"redis://127.0.0.1:{port}", timeout=10)
        values = {f"{number}": secrets.token_bytes(2**16) for number in range(256)}
        assert await store.set_many(values) == set()
        info: dict[str, Any] = await plain.info()
        assert info["evicted_keys"] > 100
        found = await store.get_many(list(values))
        assert 0 < len(found) < 128
        assert all(values[key] == value for key, value in found.items())
        await store.aclose()


async def test_values_over_the_limit_are_not_sent(redis_server: RedisServer) -> None:
    store = RedisBackend(redis_server.fresh_url(), max_value_bytes=10)
    large, key = b"x" * 11, "k"
    for call in (lambda: store.set(key, large), lambda: store.set_many({key: large, "l": b"fits"})):
        await store.set(key, b"old")
        assert await call() in (False, {key})
        assert await store.get(key) is None
    assert await store.get("l") == b"fits"
    assert await store.add(key, large) is False
    await store.set(key, b"stale")
    token = await store.acquire_lease(key, 60)
    assert token is not None
    assert await store.fill(key, large, None, "invented") is False
    assert await store.get(key) == b"stale"
    assert await store.fill(key, large, None, token) is False
    assert await store.get(key) is None
    assert await store.acquire_lease(key, 60) is not None
    await store.aclose()


async def test_a_server_that_forgot_its_scripts_is_told_again(store: RedisBackend, plain: Redis) -> None:
    for step in range(2):
        await plain.script_flush()
        assert await store.set("k", b"v") is True
        assert await store.incr(f"n{step}", 41) == 41
        await plain.script_flush()
        assert await store.set_many({f"{number}": b"v" for number in range(600)}) == set()
        await plain.script_flush()
        assert len(await store.delete_many([f"{number}" for number in range(600)])) == 600


async def test_a_replica_is_no_place_to_write(port: int) -> None:
    store = RedisBackend(f"redis://127.0.0.1:{port}")
    await store.set("k", b"v")
    async with Redis(port=port) as plain:
        await plain.replicaof("127.0.0.1", port)
        for call in (store.set("k", b"w"), store.delete("k"), store.set_many({"k": b"w"})):
            with pytest.raises(BackendUnavailableError, match="replica"):
                await call
    await store.aclose()


async def test_a_server_that_cannot_save_says_so() -> None:
    """MISCONF is an answer: the server lives, and reading goes on."""
    with redis_process() as server:
        store = RedisBackend(f"redis://127.0.0.1:{server.port}")
        plain = Redis(port=server.port)
        await plain.config_set("save", "3600 1000000")
        shutil.rmtree(server.folder)
        server.folder.mkdir()  # another one: the server's has no name any more
        await store.set("k", b"v")
        await plain.bgsave()
        while (await plain.info("persistence"))["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with pytest.raises(BackendError, match="MISCONF") as raised:
            await store.set("k", b"w")
        assert type(raised.value) is BackendError
        assert await store.get("k") == b"v"
        await store.aclose()
        await plain.aclose()
        server.kill()  # asked politely it would try to save once more


@pytest.mark.parametrize("credentials", ["", ":wrong@", "app:wrong@", "nobody:s3cr@"])
async def test_wrong_credentials_are_said_to_be_wrong(redis_acl: str, credentials: str) -> None:
    host = redis_acl.rpartition("@")[2]
    store = RedisBackend(f"redis://{credentials}{host}")
    for call in (store.open, lambda: store.get("k"), lambda: store.get_many(["k", "l"]), store.health):
        with pytest.raises(BackendUnavailableError, match="the user or the password is wrong"):
            await call()
    await store.aclose()


async def test_a_command_that_is_not_permitted_is_an_answer(redis_acl: str) -> None:
    store = RedisBackend(redis_acl, channel="not ours")
    with pytest.raises(BackendError, match="permissions") as raised:
        await store.publish(b"m")
    assert type(raised.value) is BackendError
    await store.aclose()


@pytest.mark.parametrize("tokens", ["", "x", "\ud800", "é"])
async def test_strange_tokens_hold_nothing(store: RedisBackend, tokens: str) -> None:
    assert await store.acquire_lease("k", 60) is not None
    assert await store.fill("k", b"v", None, tokens) is False
    await store.release_lease("k", tokens)
    assert await store.acquire_lease("k", 60) is None
    for call in (store.fill("k", b"v", None, 1), store.release_lease("k", None)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="token"):
            await call


async def test_leases_leave_nothing_behind(store: RedisBackend, plain: Redis) -> None:
    token = await store.acquire_lease("k", 60)
    assert token is not None
    assert await plain.keys() == [lease_key(b"k")]
    assert 0 < await plain.pttl(lease_key(b"k")) <= 60_000
    assert await store.fill("k", b"v", None, token) is True
    assert await plain.keys() == [b"k"]


async def test_what_speaks_another_language_is_no_redis() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = RedisBackend(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        for call in (store.get("k"), store.set("k", b"v"), store.get_many(["k", "l"]), store.open()):
            with pytest.raises(BackendUnavailableError, match="Protocol error"):
                await call
    await store.aclose()
