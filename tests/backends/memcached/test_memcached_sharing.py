"""Several processes on one server: leases, counters and versions between them; TLS, passwords, health."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from asynccache import MemcachedBackend
from asynccache.errors import BackendError, BackendUnavailableError, ConfigurationError
from tests.servers.certificates import issue
from tests.servers.memcached import MemcachedServer
from tests.servers.process import ServerProcess, free_port

READS_OUR_FILES = ("-u", "root")
"""Folders of tests are closed to others; where we are not root this says nothing."""


@pytest_asyncio.fixture
async def others(memcached_server: MemcachedServer) -> AsyncIterator[list[MemcachedBackend]]:
    """Give the stores of four processes: each with a connection of its own."""
    stores = [MemcachedBackend(memcached_server.url) for _ in range(4)]
    yield stores
    for store in stores:
        await store.aclose()


async def test_counters_of_several_processes_are_exact(others: list[MemcachedBackend], mark: str) -> None:
    """Each increment is answered with a number of its own, above and below zero."""

    async def count(store: MemcachedBackend, delta: int) -> list[int]:
        return [await store.incr(mark + "n", delta) for _ in range(40)]

    for delta in (1, -1):
        answers = await asyncio.gather(*(count(store, delta) for store in others))
        start = 0 if delta == 1 else 160
        expected = {start + delta * number for number in range(1, 161)}
        assert {answer for each in answers for answer in each} == expected
    assert await others[0].get(mark + "n") == b"0"


@pytest.mark.parametrize(
    "start,delta", [(2**63 - 1, 1), (-(2**63), -1), (0, 2**63), (2**62, 2**62), (0, 10**30)]
)
async def test_counters_stay_within_64_bits(
    store: MemcachedBackend, mark: str, start: int, delta: int
) -> None:
    """What would not fit is refused, and changes nothing: memcached alone would wrap around."""
    await store.set(mark + "n", b"%d" % start)
    with pytest.raises(BackendError, match="64 bits"):
        await store.incr(mark + "n", delta)
    assert await store.get(mark + "n") == b"%d" % start
    with pytest.raises(BackendError, match="64 bits"):
        await store.incr(mark + "new", delta, initial=start)
    assert await store.exists(mark + "new") is False


async def test_adds_and_leases_have_one_winner(others: list[MemcachedBackend], mark: str) -> None:
    for number in range(20):
        won = await asyncio.gather(*(store.add(f"{mark}a{number}", b"v") for store in others))
        assert won.count(True) == 1
        tokens = await asyncio.gather(*(store.acquire_lease(f"{mark}l{number}", 10.0) for store in others))
        assert tokens.count(None) == 3


@pytest.mark.parametrize("how", ["set", "delete", "incr", "add", "set_many", "delete_many", "swap"])
@pytest.mark.parametrize("before", [b"5", None], ids=["with a value", "without"])
async def test_another_process_voids_a_lease(
    others: list[MemcachedBackend], mark: str, how: str, before: bytes | None
) -> None:
    """What was computed before the change is not stored after it."""
    one, other, key = others[0], others[1], mark + "k"
    if before is not None:
        await one.set(key, before)
    token = await one.acquire_lease(key, 10.0)
    assert token is not None
    match how:
        case "set":
            await other.set(key, b"9")
        case "delete":
            assert await other.delete(key) is (before is not None)
        case "incr":
            await other.incr(key, 4, initial=5)
        case "add":
            if await other.add(key, b"9") is False:
                return  # it changed nothing
        case "set_many":
            await other.set_many({key: b"9"})
        case "delete_many":
            await other.delete_many([key])
        case _:
            held = await other.get_versioned(key)
            if held is None:
                return
            assert await other.compare_and_swap(key, b"9", None, held[1]) is True

    assert await one.fill(key, b"outdated", None, token) is False
    assert await other.get(key) == (None if how.startswith("delete") else b"9")


async def test_touching_keeps_a_lease(others: list[MemcachedBackend], mark: str) -> None:
    """It changes no value, so what is computed is not outdated by it."""
    await others[0].set(mark + "k", b"stale", 60.0)
    token = await others[0].acquire_lease(mark + "k", 10.0)
    assert token is not None
    assert await others[1].touch(mark + "k", 90.0) is True
    assert await others[0].fill(mark + "k", b"fresh", None, token) is True


async def test_a_version_means_nothing_after_a_restart(start_memcached: Callable[..., ServerProcess]) -> None:
    """The server's version numbers begin again, so that an old one could be met a second time."""
    server = start_memcached()
    store = MemcachedBackend(f"memcached://127.0.0.1:{server.port}")
    versions: list[str] = []
    for _ in range(2):
        server.kill()
        server.restart()
        assert await store.set("k", b"v") is True
        held = await store.get_versioned("k")
        assert held is not None
        versions.append(held[1])
    first, second = versions

    assert first.split()[1] == second.split()[1], "the same number, by another server"
    assert await store.compare_and_swap("k", b"w", None, first) is False
    assert await store.compare_and_swap("k", b"w", None, second) is True
    await store.aclose()


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "a b c",
        " ",
        "other {number} {expiry}",
        "{connection} 0 {expiry}",
        "{connection} {number}",
        "{connection} {number} never",
        "{connection} {number} nan",
        "{connection} {number} {expiry} ",
        "{connection} \u0661 {expiry}",
        "{connection} 1\r\nflush_all {expiry}",
    ],
    ids=ascii,
)
async def test_invented_versions(store: MemcachedBackend, mark: str, version: str) -> None:
    await store.set(mark + "k", b"v")
    held = await store.get_versioned(mark + "k")
    assert held is not None
    connection, number, expiry = held[1].split(" ")
    version = version.format(connection=connection, number=number, expiry=expiry)
    assert await store.compare_and_swap(mark + "k", b"w", None, version) is False
    assert await store.get(mark + "k") == b"v"


async def test_health(memcached_server: MemcachedServer, mark: str) -> None:
    """What each server says of itself; one that is out of reach is named."""
    dead = f"127.0.0.1:{free_port()}"
    store = MemcachedBackend(f"{memcached_server.url},{dead}")
    await store.set(mark + "k", b"v")
    await store.get(mark + "k")
    health = await store.health()
    await store.aclose()

    assert (health.healthy, health.backend_type) == (True, "memcached")
    assert health.details["persistence"] == "none"
    up = health.details["servers"][f"{memcached_server.host}:{memcached_server.port}"]
    assert up["reachable"] is True
    assert up["version"].split(".")[0].isdigit()
    assert up["item_size_max"] == 2**20
    assert up["entries"] >= 1
    assert 0 < up["bytes"] < up["max_bytes"]
    assert up["evictions"] == 0
    assert up["uptime_seconds"] >= 0
    assert 0 <= up["hit_ratio"] <= 1
    assert health.details["servers"][dead]["reachable"] is False
    assert dead in health.details["servers"][dead]["error"]


async def test_asking_for_health_first(memcached_server: MemcachedServer) -> None:
    """What it connects is closed like everything else."""
    before = await memcached_server.connections()
    store = MemcachedBackend(memcached_server.url)
    assert (await store.health()).healthy is True
    assert await memcached_server.connections() == before + 1
    connection = store._lane().servers[0].connection
    await store.aclose()
    assert connection is not None
    assert connection.closed.done()


async def test_tls(start_memcached: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """Encrypted and checked: an authority that is not trusted is refused."""
    issue(tmp_path)
    chain, key = tmp_path / "server.pem", tmp_path / "server.key"
    server = start_memcached("-Z", "-o", f"ssl_chain_cert={chain},ssl_key={key}", *READS_OUR_FILES)
    url = f"memcacheds://localhost:{server.port}"
    trusting = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    store = MemcachedBackend(url, ssl=trusting)
    values = {f"k{number}": b"%d" % number * 20_000 for number in range(20)}
    await store.set_many(values)
    assert await store.get_many(list(values)) == values
    assert await asyncio.gather(*map(store.get, values)) == list(values.values())
    await store.aclose()

    for mistaken in (MemcachedBackend(url), MemcachedBackend(f"memcached://localhost:{server.port}")):
        with pytest.raises(BackendUnavailableError):
            await mistaken.get("k1")
        await mistaken.aclose()


async def test_a_password(start_memcached: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """ASCII authentication (``-Y``); a wrong password is refused, and never shown."""
    users = tmp_path / "users"
    users.write_text("app:p@ss/word\n")
    server = start_memcached("-Y", str(users), *READS_OUR_FILES)
    store = MemcachedBackend(f"memcached://app:p%40ss%2Fword@127.0.0.1:{server.port}")
    await store.set("k", b"v")
    assert await store.get("k") == b"v"
    await store.aclose()

    for credentials in ("app:sesame@", ""):
        mistaken = MemcachedBackend(f"memcached://{credentials}127.0.0.1:{server.port}")
        with pytest.raises(BackendUnavailableError) as caught:
            await mistaken.get("k")
        assert "sesame" not in str(caught.value) + repr(mistaken)
        await mistaken.aclose()


def test_tls_needs_the_scheme() -> None:
    with pytest.raises(ConfigurationError, match="memcacheds://"):
        MemcachedBackend("memcached://a", ssl=ssl.create_default_context())
