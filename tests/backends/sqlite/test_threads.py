"""Callers and the two threads: cancelled, in two loops, closed, forgotten; who fails when one job does."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from asynccache import Cache, CacheConfig, GuardConfig
from asynccache.backends.sqlite import SQLiteBackend
from asynccache.backends.sqlite._reading import Reader
from asynccache.backends.sqlite._worker import Job, Outcome
from asynccache.backends.sqlite._writing import Writer
from asynccache.errors import BackendError
from asynccache.testing import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest_asyncio.fixture
async def backend(path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(path, synchronous="off", clock=FakeClock())
    yield backend
    await backend.aclose()


def threads() -> list[threading.Thread]:
    """Return the threads of all stores."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("asynccache-sqlite")]


async def ended(workers: list[threading.Thread]) -> bool:
    """Return True if all of them end."""
    for worker in workers:
        await asyncio.to_thread(worker.join, 30)
    return not any(worker.is_alive() for worker in workers)


# -- cancellation


async def test_random_cancellation_disturbs_nobody(backend: SQLiteBackend) -> None:
    """A third of what 16 tasks do is cancelled: values carry their key, counters are exact."""
    chance = random.Random(1)
    sure = dict.fromkeys(range(16), 0)
    tried = dict.fromkeys(range(16), 0)

    async def work(task: int) -> None:
        for number in range(60):
            key = f"{task}:{number % 5}"
            count = asyncio.ensure_future(backend.incr(f"n{task}"))
            others = [
                asyncio.ensure_future(backend.set(key, key.encode())),
                asyncio.ensure_future(backend.get(key)),
                asyncio.ensure_future(backend.get_many([key, "absent"])),
                asyncio.ensure_future(backend.delete(f"{task}:{number % 3}")),
            ]
            tried[task] += 1
            for operation in (count, *others):
                if chance.random() < 1 / 3:
                    asyncio.get_running_loop().call_later(chance.random() * 0.002, operation.cancel)
            await asyncio.wait([count, *others])
            sure[task] += not count.cancelled()
            right = [True, False, None, key.encode(), {}, {key: key.encode()}]
            assert all(operation.cancelled() or operation.result() in right for operation in others)

    await asyncio.gather(*map(work, range(16)))
    for task in range(16):
        counted = int(await backend.get(f"n{task}") or b"0")
        assert sure[task] <= counted <= tried[task]
        for number in range(5):
            assert await backend.get(f"{task}:{number}") in {None, f"{task}:{number}".encode()}


async def test_what_was_cancelled_before_its_turn_is_not_done(path: Path) -> None:
    """Its caller gave up while the thread waited for a lock: nothing happens later behind its back."""
    backend = SQLiteBackend(path, busy_timeout=20.0)
    await backend.set("k", b"before")
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    first = asyncio.ensure_future(backend.set("first", b"v"))  # the thread waits with this one
    await asyncio.sleep(0.02)
    abandoned = asyncio.ensure_future(backend.set("k", b"abandoned"))
    await asyncio.sleep(0)
    abandoned.cancel()
    later = asyncio.ensure_future(backend.set("later", b"v"))
    await asyncio.sleep(0)
    locker.execute("ROLLBACK")
    locker.close()

    assert await first is True
    assert await later is True
    assert await backend.get("k") == b"before"
    await backend.aclose()


async def test_writes_of_one_caller_keep_their_order(backend: SQLiteBackend) -> None:
    for _ in range(20):
        await asyncio.gather(
            backend.set("k", b"1"),
            backend.delete("k"),
            backend.add("k", b"2"),
            backend.set_many({"k": b"3"}),
            backend.set("k", b"4"),
        )
        assert await backend.get("k") == b"4"


# -- in one go


class Held:
    """Keeps a thread at its first job until everybody has asked, and counts what it then does in one go."""

    def __init__(self, session: type[Reader | Writer], patch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.release = threading.Event()
        attempt = session.attempt

        def held(own: Any, jobs: Sequence[Job]) -> list[Outcome]:
            self.release.wait(30)
            self.batches.append(len(jobs))
            return attempt(own, jobs)

        patch.setattr(session, "attempt", held)

    async def gather(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        """Return what ``calls`` return."""
        under_way = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        self.release.set()
        return await asyncio.gather(*under_way)


async def test_concurrent_writes_are_committed_together(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(Writer, monkeypatch)
    counts = await held.gather(*(backend.incr("n") for _ in range(200)))

    assert counts == list(range(1, 201))
    assert sum(held.batches) == 200
    assert len(held.batches) <= 2


async def test_concurrent_reads_are_one_statement(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.set_many({f"k{number}": b"%d" % number for number in range(0, 400, 2)})
    held = Held(Reader, monkeypatch)
    found = await held.gather(*(backend.get(f"k{number}") for number in range(400)), backend.exists("k0"))

    assert found == [b"%d" % number if number % 2 == 0 else None for number in range(400)] + [True]
    assert sum(held.batches) == 401
    assert len(held.batches) <= 2


async def test_one_wrong_question_fails_alone(backend: SQLiteBackend) -> None:
    """Those who share its transaction get what they asked for."""
    await backend.set("text", b"text")
    results = await asyncio.gather(
        backend.incr("a"),
        backend.incr("text"),
        backend.set("b", b"v"),
        backend.incr("a", 2**63 - 1),
        backend.incr("a"),
        return_exceptions=True,
    )

    assert [results[place] for place in (0, 2, 4)] == [1, True, 2]
    assert isinstance(results[1], BackendError)
    assert isinstance(results[3], BackendError)
    assert (results[1].key, results[3].key) == ("text", "a")


async def test_one_job_that_breaks_a_transaction_fails_alone(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is rolled back; the others are done again, each by itself, and counted once."""

    def broken(self: Writer, key: bytes) -> bool:
        raise sqlite3.IntegrityError("constraint failed")

    monkeypatch.setattr(Writer, "delete", broken)
    results = await asyncio.gather(
        *(backend.incr("n") for _ in range(5)), backend.delete("x"), backend.incr("n"), return_exceptions=True
    )

    assert sorted(result for result in results if isinstance(result, int)) == [1, 2, 3, 4, 5, 6]
    assert isinstance(results[5], BackendError)
    assert isinstance(results[5].__cause__, sqlite3.IntegrityError)
    assert await backend.get("n") == b"6"


async def test_one_read_that_breaks_fails_alone(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Reader, key: bytes) -> bool:
        raise MemoryError

    monkeypatch.setattr(Reader, "exists", broken)
    await backend.set("k", b"v")
    results = await asyncio.gather(
        backend.get("k"), backend.exists("k"), backend.get("k"), return_exceptions=True
    )

    assert (results[0], results[2]) == (b"v", b"v")
    assert isinstance(results[1], BackendError)


async def test_a_bug_reaches_its_caller_and_the_thread_goes_on(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Reader) -> bool:
        return True

    monkeypatch.setattr(Reader, "exists", wrong)
    with pytest.raises(TypeError):
        await backend.exists("k")

    assert await backend.get("k") is None


# -- event loops


def test_one_store_in_two_event_loops(path: Path) -> None:
    """One after the other, and at the same time in two threads; counters are exact."""
    backend = SQLiteBackend(path, synchronous="off")

    async def count() -> None:
        for number in range(100):
            await backend.incr("n")
            await backend.set(f"k{number}", b"v")
            assert await backend.get(f"k{number}") == b"v"

    asyncio.run(count())
    pair = [threading.Thread(target=asyncio.run, args=(count(),)) for _ in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()

    async def end() -> bytes | None:
        value = await backend.get("n")
        await backend.aclose()
        return value

    assert asyncio.run(end()) == b"300"


def test_a_loop_that_ends_with_operations_under_way(path: Path) -> None:
    """Their answers reach nobody, and the thread serves the next loop."""
    backend = SQLiteBackend(path, synchronous="off")
    loop = asyncio.new_event_loop()
    left_behind: list[asyncio.Future[bool]] = []

    async def leave() -> None:
        left_behind.extend(asyncio.ensure_future(backend.set(f"k{number}", b"v")) for number in range(50))
        await asyncio.sleep(0)

    loop.run_until_complete(leave())
    for task in left_behind:
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def next_loop() -> None:
        await backend.set("k", b"v")
        assert await backend.get("k") == b"v"
        await backend.aclose()

    asyncio.run(next_loop())


# -- life


async def test_construction_does_nothing(path: Path) -> None:
    SQLiteBackend(path)
    await SQLiteBackend(path).aclose()

    assert list(path.parent.iterdir()) == []
    assert threads() == []


async def test_closing_ends_the_threads(backend: SQLiteBackend) -> None:
    await backend.set("k", b"v")
    await backend.get("k")
    workers = threads()
    assert len(workers) == 2
    await asyncio.gather(backend.aclose(), backend.aclose())
    assert await ended(workers)

    assert await backend.get("k") == b"v"
    assert [worker.name for worker in threads()] == ["asynccache-sqlite-reader"]


async def test_what_was_asked_for_before_closing_is_done(path: Path, backend: SQLiteBackend) -> None:
    writes = [asyncio.ensure_future(backend.set(f"k{number}", b"v")) for number in range(100)]
    await asyncio.sleep(0)
    await backend.aclose()

    assert await asyncio.gather(*writes) == [True] * 100
    assert len(await backend.get_many([f"k{number}" for number in range(100)])) == 100


async def test_a_store_that_is_forgotten_leaves_no_thread(path: Path) -> None:
    """Nobody closed it: its threads end and close the file when it is collected."""
    backend = SQLiteBackend(path, synchronous="off")
    await backend.set("k", b"v")
    await backend.get("k")
    workers = threads()
    assert len(workers) == 2
    del backend
    gc.collect()

    assert await ended(workers)
    assert [file.name for file in path.parent.iterdir()] == ["cache.db"]


async def test_a_cache_on_a_locked_file_answers_in_time(path: Path) -> None:
    """A set fails open when the busy timeout is over, reads go on, closing does not hang."""
    locker = sqlite3.connect(path)
    config = CacheConfig(backend=SQLiteBackend(path, busy_timeout=0.3), guard=GuardConfig(timeout=5.0))
    async with asyncio.timeout(30), Cache(config) as cache:
        await cache.set("k", "v", ttl=60)
        locker.close()
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        assert await cache.get("k") == "v"
        assert await cache.set("other", "w", ttl=60) is False
        assert await cache.get("k") == "v"
        locker.execute("ROLLBACK")
        locker.close()
        assert await cache.set("other", "w", ttl=60) is True
        assert await cache.get("other") == "w"
