"""The cap: what is deleted when the file is full, what is spared, and what becomes of the space."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asynccache.backends.sqlite import SQLiteBackend
from asynccache.backends.sqlite._reading import Used
from asynccache.backends.sqlite._room import Room
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from asynccache.testing import FakeClock

MIB = 2**20
SLACK = MIB // 8 + 64 * 4096
VALUE = b"v" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def backend(path: Path, clock: FakeClock) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(path, max_bytes=MIB, synchronous="off", clock=clock)
    yield backend
    await backend.aclose()


async def rows_left(path: Path, backend: SQLiteBackend) -> int:
    """Return how many values are in the file, useless ones included."""
    await backend.aclose()
    connection = sqlite3.connect(path)
    [number] = connection.execute("SELECT count(*) FROM entries").fetchone()
    connection.close()
    return int(number)


@pytest.mark.parametrize("size", [0, 10, 1000, 5000, MIB // 8])
async def test_the_file_stays_under_its_cap(path: Path, backend: SQLiteBackend, size: int) -> None:
    """Three times what fits is written, in each way there is; the newest is there, the oldest is not."""
    number = max(3 * MIB // (size + 120), 60)
    for start in range(0, number, 100):
        keys = [f"{position:06d}" for position in range(start, min(start + 100, number))]
        await backend.set_many({key: bytes(size) for key in keys[:50]})
        for key in keys[50:]:
            await backend.set(key, bytes(size))
        health = await backend.health()
        assert health.details["bytes"] <= MIB + MIB // 16
        assert health.details["file_bytes"] <= MIB + SLACK

    assert await backend.get(f"{number - 1:06d}") == bytes(size)
    assert await backend.get("000000") is None


async def test_most_of_the_cap_is_used(backend: SQLiteBackend) -> None:
    for number in range(2000):
        await backend.set(f"k{number}", VALUE)

    assert (await backend.health()).details["bytes"] > 0.8 * MIB
    assert len(await backend.get_many([f"k{number}" for number in range(2000)])) > 600


async def test_what_was_read_since_is_spared(backend: SQLiteBackend) -> None:
    """A few keys in constant use stay while ten times the cap passes through."""
    hot = [f"hot{number}" for number in range(20)]
    await backend.set_many(dict.fromkeys(hot, VALUE))
    for number in range(8000):
        if number % 100 == 0:
            await backend.get(hot[0])
            await backend.get_many(hot[1:])
            await backend.set_many({f"k{number + part}": VALUE for part in range(100)})

    assert await backend.get_many(hot) == dict.fromkeys(hot, VALUE)
    assert await backend.get("k0") is None


async def test_everything_in_use_is_evicted_nevertheless(backend: SQLiteBackend) -> None:
    """If all that is there was read, half of the oldest goes: writing never stops."""
    for number in range(3000):
        await backend.set(f"k{number}", VALUE)
        await backend.get(f"k{number}")

    assert await backend.get("k2999") == VALUE
    assert (await backend.health()).details["bytes"] <= MIB + MIB // 16


def test_the_memory_of_what_was_read_is_bounded() -> None:
    used = Used()
    for number in range(200_000):
        used.note((b"%d" % number,))

    assert used.take(b"199999") is True
    assert used.take(b"199999") is False
    assert len(used._hashes) <= 2**15 + 1


async def test_what_has_expired_goes_before_what_has_not(backend: SQLiteBackend, clock: FakeClock) -> None:
    await backend.set_many({f"old{number}": VALUE for number in range(100)})
    await backend.set_many({f"short{number}": VALUE for number in range(600)}, 5.0)
    clock.advance(5.0)
    await backend.set_many({f"new{number}": VALUE for number in range(300)})

    assert len(await backend.get_many([f"old{number}" for number in range(100)])) == 100
    assert len(await backend.get_many([f"new{number}" for number in range(300)])) == 300


async def test_expired_rows_are_swept_by_later_writes(
    path: Path, backend: SQLiteBackend, clock: FakeClock
) -> None:
    """A write deletes at most about twice as much as was written: no single one pays for all."""
    await backend.set_many({f"short{number}": b"v" for number in range(200)}, 5.0)
    await backend.set_many({f"long{number}": b"v" for number in range(10)}, 50.0)
    for lease in range(40):
        await backend.acquire_lease(f"lease{lease}", 5.0)
    clock.advance(5.0)
    for number in range(32 * 4):
        await backend.set("k", b"%d" % number)

    assert await rows_left(path, backend) == 11
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    connection.close()


async def test_space_is_given_back_to_the_disk(path: Path, clock: FakeClock) -> None:
    """After a clear the file shrinks, a little with every look at how much is used."""
    backend = SQLiteBackend(path, max_bytes=16 * MIB, synchronous="off", clock=clock)
    await backend.set_many({f"k{number}": bytes(4000) for number in range(2000)})
    await backend.clear("k")
    full = (await backend.health()).details["file_bytes"]
    for number in range(60):
        await backend.set("large", bytes(MIB + number))

    assert full > 7 * MIB
    assert (await backend.health()).details["file_bytes"] < full / 2
    await backend.aclose()


async def test_a_smaller_cap_than_before(path: Path, clock: FakeClock) -> None:
    """A file that is larger than its new cap is brought under it by what is written next."""
    large = SQLiteBackend(path, max_bytes=8 * MIB, synchronous="off", clock=clock)
    await large.set_many({f"k{number}": VALUE for number in range(5000)})
    await large.aclose()
    small = SQLiteBackend(path, max_bytes=MIB, synchronous="off", clock=clock)
    await small.set("new", VALUE)

    assert await small.get("new") == VALUE
    assert (await small.health()).details["bytes"] <= MIB + MIB // 16
    await small.aclose()


async def test_two_processes_share_one_cap(path: Path, clock: FakeClock) -> None:
    """Each looks often enough not to be fooled by what the other writes."""
    pair = [SQLiteBackend(path, max_bytes=MIB, synchronous="off", clock=clock) for _ in range(2)]
    for number in range(1500):
        for store in pair:
            await store.set(f"{id(store)}:{number}", VALUE)
    assert (await pair[0].health()).details["file_bytes"] <= MIB + SLACK
    for store in pair:
        assert await store.get(f"{id(store)}:1499") == VALUE
        await store.aclose()


# -- refused


async def test_a_value_over_the_limit(backend: SQLiteBackend) -> None:
    """It is refused by every way of storing, and what was there is gone, its lease too."""
    large = bytes(MIB // 8 + 1)
    for key in ("a", "b", "c"):
        await backend.set(key, b"old")
    token = await backend.acquire_lease("a", 60.0)
    other = await backend.acquire_lease("c", 60.0)
    assert token is not None
    assert other is not None

    assert await backend.set("a", large) is False
    assert await backend.set_many({"b": large, "d": b"v"}) == {"b"}
    assert await backend.fill("c", large, None, other) is False
    assert await backend.add("e", large) is False
    assert await backend.fill("a", b"outdated", None, token) is False
    assert await backend.get_many(list("abcde")) == {"d": b"v"}
    assert await backend.acquire_lease("c", 60.0) is not None


async def test_a_key_over_the_limit(backend: SQLiteBackend) -> None:
    key = "k" * (MIB // 8 + 1)
    assert await backend.set(key, b"v") is False
    assert await backend.get(key) is None


# -- no space left


class Cramped(SQLiteBackend):
    """A store on a disk that is full when the file has 200 pages."""

    def fill_disk(self, path: Path, pages: int) -> None:
        """Let SQLite report what it reports when the disk is full."""
        original = Room.prepare

        def prepare(room: Room, connection: sqlite3.Connection) -> None:
            original(room, connection)
            connection.execute(f"PRAGMA max_page_count = {pages}")

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Room, "prepare", prepare)


async def test_a_full_disk_makes_room_by_eviction(path: Path, clock: FakeClock) -> None:
    """The cap is out of reach, so nothing is evicted for it; SQLITE_FULL evicts, and the write succeeds."""
    backend = Cramped(path, max_bytes=MIB, synchronous="off", clock=clock)
    backend.fill_disk(path, 250)
    try:
        for number in range(1000):
            assert await backend.set(f"k{number}", VALUE) is True
            assert await backend.incr("n") == number + 1 or number > 100
        assert await backend.get("k999") == VALUE
    finally:
        backend.patch.undo()
        await backend.aclose()


async def test_a_full_disk_that_eviction_does_not_help(path: Path, clock: FakeClock) -> None:
    """It is an answer, not an outage: a plain BackendError for what needed room; reads and deletes go on."""
    backend = Cramped(path, max_bytes=64 * MIB, synchronous="off", clock=clock)
    await backend.set("small", b"v")
    await backend.aclose()
    backend.fill_disk(path, 20)
    try:
        with pytest.raises(BackendError, match="full") as caught:
            await backend.set("large", bytes(MIB))
        assert not isinstance(caught.value, BackendUnavailableError | BackendTimeoutError)
        assert caught.value.key == "large"
        assert await backend.get("small") in {b"v", None}
        assert await backend.delete("small") in {True, False}
        assert await backend.set("small", b"again") is True
        assert await backend.get("small") == b"again"
    finally:
        backend.patch.undo()
        await backend.aclose()
