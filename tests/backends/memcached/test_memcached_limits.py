"""Sizes, times, and what other clients store: memcached's own limits, and what becomes of them here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asynccache import MemcachedBackend
from asynccache.errors import BackendError
from asynccache.testing import FakeClock
from tests.servers.memcached import MemcachedServer
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy

MIB = 2**20
DAY = 86_400.0


async def left(server: MemcachedServer, name: str) -> int:
    """Return how many seconds the server itself gives an item; -1: for ever."""
    answer = await server.ask(f"mg {name} t\r\n".encode())
    return int(answer.removeprefix(b"HD t"))


async def test_what_is_too_large_is_not_even_sent(
    store: MemcachedBackend, memcached_server: MemcachedServer, mark: str
) -> None:
    """A value of 1 MiB is refused, alone or among others, and the old one is gone; the largest is stored."""
    assert store.max_value_bytes == MIB - 1024
    large, fits = b"x" * MIB, b"y" * store.max_value_bytes
    keys = [mark + "a", mark + "b", mark + "c d"]
    for key in keys:
        assert await store.set(key, b"old") is True
    async with Proxy(memcached_server.port) as proxy:
        remote = MemcachedBackend(memcached_server.url_via(proxy.port))
        assert await remote.set(keys[0], large) is False
        assert await remote.set_many({keys[1]: large, keys[2]: fits}) == {keys[1]}
        assert await remote.add(keys[0], large) is False
        token = await remote.acquire_lease(keys[1], 10.0)
        assert token is not None
        assert await remote.fill(keys[1], large, None, token) is False
        assert await remote.acquire_lease(keys[1], 10.0) is not None
        held = await remote.get_versioned(keys[2])
        assert held is not None
        assert await remote.compare_and_swap(keys[2], large, None, held[1]) is False
        await remote.aclose()
    assert await store.get_many(keys) == {keys[2]: fits}


async def test_the_largest_value_can_be_leased_under_the_longest_name(
    store: MemcachedBackend, mark: str
) -> None:
    """There is room for our head whatever it holds."""
    value = b"z" * store.max_value_bytes
    for key in ((mark + "k" * 250)[:250], (mark + " " * 256)[:256]):  # as it is, and as a digest
        assert await store.set(key, value, 60.0) is True
        assert await store.acquire_lease(key, 10.0) is not None
        assert await store.get(key) == value


async def test_a_key_longer_than_an_item_is_refused(store: MemcachedBackend) -> None:
    """The full key is kept beside the value, so it counts."""
    assert await store.set("k" * (2 * MIB), b"v") is False
    assert await store.get("k" * (2 * MIB)) is None
    assert await store.set("k" * 900_000, b"v") is True
    assert await store.get("k" * 900_000) == b"v"
    assert await store.get("k" * 900_001) is None


@pytest.mark.parametrize("size,limit", [("64k", 64 * 1024), ("4m", 4 * MIB)])
async def test_the_server_says_what_it_takes(
    start_memcached: Callable[..., ServerProcess], size: str, limit: int
) -> None:
    """``-I`` is asked for at the first connection, also without `open`."""
    server = start_memcached("-I", size, "-o", f"slab_chunk_max={limit // 4}")
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    assert await store.set("k", b"x" * (limit - 1024)) is True
    assert store.max_value_bytes == limit - 1024
    assert await store.get("k") == b"x" * (limit - 1024)
    assert await store.set("k", b"x" * (limit - 1023)) is False
    assert await store.get("k") is None
    await store.aclose()


async def test_a_limit_of_ones_own(memcached_server: MemcachedServer, mark: str) -> None:
    store = MemcachedBackend.from_url(memcached_server.url + "?max_value_bytes=1kib")
    assert store.max_value_bytes == 1024
    assert await store.set(mark + "k", b"x" * 1024) is True
    assert await store.set(mark + "k", b"x" * 1025) is False
    assert await store.get(mark + "k") is None
    await store.aclose()


async def test_a_server_that_restarts_with_a_smaller_limit(
    start_memcached: Callable[..., ServerProcess],
) -> None:
    """The server's refusal means the same as ours."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    await store.set("k", b"old")
    store._lane().servers[0].item_size = 4 * MIB  # as a server was that another one replaced
    value = b"x" * (2 * MIB)
    assert await store.set("k", value) is False
    assert await store.get("k") is None
    assert await store.set_many({"k": value, "l": b"v"}) == {"k"}
    assert await store.get_many(["k", "l"]) == {"l": b"v"}
    with pytest.raises(BackendError, match="too large"):
        await store.add("k", value)
    held = await store.get_versioned("l")
    assert held is not None
    assert await store.compare_and_swap("l", value, None, held[1]) is False
    assert await store.get("l") == b"v"
    await store.aclose()


async def test_a_full_server_that_may_not_evict(start_memcached: Callable[..., ServerProcess]) -> None:
    """``-M``: an answer, not an outage; and nothing old is left under the key."""
    server = start_memcached("-M", "-m", "2")
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    await store.set("k", b"old")
    fillers = (store.set(f"filler{number}", b"x" * 500_000) for number in range(40))
    outcomes = await asyncio.gather(*fillers, return_exceptions=True)
    errors = [outcome for outcome in outcomes if outcome is not True]
    assert errors
    assert {type(error) for error in errors} == {BackendError}
    with pytest.raises(BackendError, match="out of memory"):
        await store.set_many({f"more{number}": b"x" * 500_000 for number in range(10)})
    assert await store.delete("k") in {True, False}
    await store.aclose()


@pytest.mark.parametrize(
    "ttl,at_least,at_most",
    [
        (0.001, 1, 2),
        (1.0, 1, 2),
        (30 * DAY - 60, 30 * DAY - 61, 30 * DAY - 58),
        (30 * DAY, 30 * DAY - 1, 30 * DAY + 4),  # memcached reads more than 30 days as a date in 1970
        (31 * DAY, 31 * DAY - 1, 31 * DAY + 4),
        (365 * DAY, 365 * DAY - 1, 365 * DAY + 4),
        (100_000 * DAY, -1, -1),
        (None, -1, -1),
    ],
)
async def test_how_long_the_server_keeps_it(
    store: MemcachedBackend,
    memcached_server: MemcachedServer,
    mark: str,
    ttl: float | None,
    at_least: float,
    at_most: float,
) -> None:
    """At least until its expiry, and not much longer: what has expired takes up no room."""
    await store.set(mark + "k", b"v", ttl)
    assert at_least <= await left(memcached_server, mark + "k") <= at_most
    await store.set(mark + "k", b"v", 60.0)
    assert await store.touch(mark + "k", ttl) is True
    assert at_least <= await left(memcached_server, mark + "k") <= at_most


async def test_what_the_server_still_has_is_not_there(
    store: MemcachedBackend, memcached_server: MemcachedServer, clock: FakeClock, mark: str
) -> None:
    """Expiry is a matter of the clock: the server's sweeping may be as late as it likes."""
    key = mark + "k"
    await store.set(key, b"5", 3600.0)
    await store.acquire_lease(key, 1.0)
    clock.advance(3600.0)
    assert await left(memcached_server, key) > 0

    assert await store.get(key) is None
    assert await store.get_many([key]) == {}
    assert await store.exists(key) is False
    assert await store.get_versioned(key) is None
    assert await store.touch(key, 60.0) is False
    assert await store.incr(key, initial=100) == 101
    assert await store.delete(key) is True


FOREIGN = [
    (0, b"5"),
    (0, b""),
    (16, b"text"),
    (2, b"5"),
    (0xAC5CAC01, b"short"),
    (0xAC5CAC80, b"x" * 40),
    (0xAC5CAC41, b"x" * 40),
]


@pytest.mark.parametrize("flags,data", FOREIGN)
async def test_what_others_stored_is_a_miss(
    store: MemcachedBackend, memcached_server: MemcachedServer, mark: str, flags: int, data: bytes
) -> None:
    """It is read by nobody here, counted on by nobody, and replaced like nothing."""
    key = mark + "k"
    plant = b"set %b %d 0 %d\r\n%b\r\n" % (key.encode(), flags, len(data), data)

    async def planted() -> None:
        assert await memcached_server.ask(plant) == b"STORED\r\n"

    await planted()
    assert await store.get(key) is None
    assert await store.get_many([key]) == {}
    assert await store.exists(key) is False
    assert await store.touch(key, 60.0) is False
    assert await store.get_versioned(key) is None
    assert await store.delete(key) is False
    await planted()
    assert await store.delete_many([key]) == set()
    await planted()
    assert await store.incr(key) == 1
    await planted()
    assert await store.add(key, b"v") is True
    assert await store.get(key) == b"v"
    await planted()
    token = await store.acquire_lease(key, 10.0)
    assert token is not None
    assert await store.fill(key, b"w", None, token) is True
    assert await store.get(key) == b"w"


async def test_nothing_beside_ours_is_touched(
    store: MemcachedBackend, memcached_server: MemcachedServer, mark: str
) -> None:
    """What other programs keep on the server survives everything we do."""
    await memcached_server.ask(f"set {mark}foreign 7 0 4\r\nkeep\r\n".encode())
    keys = [f"{mark}{number}" for number in range(50)]
    await store.set_many(dict.fromkeys(keys, b"v"), 0.001)
    await store.delete_many(keys)
    await store.aclose()

    answer = await memcached_server.ask(f"get {mark}foreign\r\n".encode(), b"END\r\n")
    assert answer == f"VALUE {mark}foreign 7 4\r\nkeep\r\nEND\r\n".encode()


async def test_a_digest_that_two_keys_share_is_a_miss(
    store: MemcachedBackend, memcached_server: MemcachedServer, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """Nobody can make one; if somebody could, he would get nothing: the full key is compared."""
    from asynccache.backends.memcached import _backend

    name = (mark + "digest").encode()

    def alike(key: str) -> tuple[bytes, bytes]:
        return name, key.encode()

    monkeypatch.setattr(_backend, "locate", alike)
    await store.set("one", b"1")
    assert await store.get("other") is None
    assert await store.get_many(["other"]) == {}
    assert await store.exists("other") is False
    assert await store.get("one") == b"1"


async def test_many_keys_in_one_request(store: MemcachedBackend, mark: str) -> None:
    """Thousands of long names, and more bytes than are written in one go."""
    names = {f"{mark}{number:04}".ljust(200, "n"): b"%d" % number for number in range(3000)}
    assert await store.set_many(names) == set()
    assert await store.get_many(list(names)) == names
    assert await store.delete_many(list(names)) == names.keys()
    large = {f"{mark}{number}": b"%d" % number * 450_000 for number in range(12)}
    assert await store.set_many(large) == set()
    found = await asyncio.gather(*map(store.get, large))
    assert all(value == wanted for value, wanted in zip(found, large.values(), strict=True))
