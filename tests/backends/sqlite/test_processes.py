"""Several processes on one file: counted exactly, killed at any moment, locked out, forked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from asynccache.backends.sqlite import SQLiteBackend
from asynccache.errors import BackendTimeoutError, BackendUnavailableError

TASKS = 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest_asyncio.fixture
async def backend(path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(path, busy_timeout=20.0)
    yield backend
    await backend.aclose()


COUNT = """
import asyncio, sys
from asynccache import SQLiteBackend

async def main():
    backend = SQLiteBackend(sys.argv[1], busy_timeout=20.0)
    async def count(task):
        for number in range(20):
            await backend.incr("n")
            await backend.set(f"{sys.argv[2]}-{task}-{number}", b"v")
    await asyncio.gather(*(count(task) for task in range(4)))
    print(await backend.add("only-one", sys.argv[2].encode()))
    await backend.aclose()

asyncio.run(main())
"""


async def test_processes_that_start_at_once_count_together(path: Path, backend: SQLiteBackend) -> None:
    """Nobody has made the file: four processes create it, and lose nothing to each other."""
    command = [sys.executable, "-c", COUNT, str(path)]
    pipe = asyncio.subprocess.PIPE
    children = [await asyncio.create_subprocess_exec(*command, str(child), stdout=pipe) for child in range(4)]
    added = [await child.communicate() for child in children]

    assert [child.returncode for child in children] == [0] * 4
    assert sorted(output for output, _ in added) == [b"False\n"] * 3 + [b"True\n"]
    assert await backend.get("n") == b"320"
    keys = [f"{child}-{task}-{number}" for child in range(4) for task in range(4) for number in range(20)]
    assert await backend.get_many(keys) == dict.fromkeys(keys, b"v")


async def test_what_one_process_removes_is_gone_for_the_other_at_once(path: Path) -> None:
    one, other = SQLiteBackend(path), SQLiteBackend(path)
    for number in range(50):
        await one.set("k", b"%d" % number)
        assert await other.get("k") == b"%d" % number
        assert await other.delete("k") is True
        assert await one.get("k") is None
    token = await one.acquire_lease("k", 60.0)
    assert token is not None
    assert await other.acquire_lease("k", 60.0) is None
    await other.delete("k")
    assert await one.fill("k", b"outdated", None, token) is False
    assert await other.get("k") is None
    await one.aclose()
    await other.aclose()


# -- SIGKILL

WRITE = """
import asyncio, os, sys
from asynccache import SQLiteBackend

TASKS = int(sys.argv[2])

async def write(backend, task, life):
    say = lambda text: os.write(1, text.encode())
    for number in range(1_000_000):
        count = await backend.incr(f"n{task}")
        say(f"{task} {count}\\n")
        key = f"{task}:{number % 50}"
        value = f"{key}/{life}/".encode() * 100
        if number % 3:
            await backend.set(key, value, 3600.0)
        else:
            await backend.set_many({f"{key}:{part}": f"{key}:{part}/".encode() * 300 for part in range(9)})
        if number % 7 == 0:
            await backend.delete_many([f"{key}:{part}" for part in range(9)])
        if number % 31 == 0:
            await backend.clear(f"{task}:1")

async def main(life):
    backend = SQLiteBackend(sys.argv[1], busy_timeout=20.0, max_bytes=2**20)
    await asyncio.gather(*(write(backend, task, life) for task in range(TASKS)))

for life in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(main(life.strip()))
    os.write(1, f"pid {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@contextlib.contextmanager
def nursery(path: Path) -> Generator[subprocess.Popen[bytes]]:
    """Give a process that forks a writer for every line it reads."""
    nurse = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), str(TASKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with nurse:
        yield nurse
        assert nurse.stdin is not None
        nurse.stdin.close()


def test_no_instant_is_a_bad_one_to_be_killed(path: Path) -> None:
    """Twelve processes die while they write, evict and clear: nothing acknowledged is lost."""
    chance = random.Random(5)
    counted = dict.fromkeys(range(TASKS), 0)
    lives = 12
    with nursery(path) as nurse:
        assert nurse.stdin is not None
        assert nurse.stdout is not None
        for life in range(lives):
            nurse.stdin.write(b"%d\n" % life)
            nurse.stdin.flush()
            left, pid = chance.randrange(1, 250), 0
            for line in nurse.stdout:
                if line == b"dead\n":
                    break
                first, second = line.split()
                if first == b"pid":
                    pid = int(second)
                else:
                    counted[int(first)] = int(second)
                    left -= 1
                if pid and left <= 0:
                    os.kill(pid, signal.SIGKILL)
                    left = 1_000_000
            connection = sqlite3.connect(path)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute("SELECT key, value FROM entries").fetchall()
            connection.close()
            for key, value in rows:
                if re.fullmatch(rb"n\d+", key):
                    task, number = int(key[1:]), int(value)
                    # One increment of each task may have been committed without anybody hearing of it.
                    assert counted[task] <= number <= counted[task] + 1
                    counted[task] = number
                else:
                    assert set(value.split(b"/")[:-1:1]) <= {key, *(b"%d" % past for past in range(life + 1))}
                    assert value.startswith(key + b"/")
    assert sum(counted.values()) > lives
    assert not list(path.parent.glob("*.corrupt*"))


# -- locks


async def test_while_another_process_holds_the_lock_reads_go_on(path: Path) -> None:
    """A write gives up after the busy timeout; when the lock is gone everything is as before."""
    backend = SQLiteBackend(path, busy_timeout=0.05)
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")

    writes = [asyncio.ensure_future(backend.set(f"k{number}", b"w")) for number in range(20)]
    counts = [asyncio.ensure_future(backend.incr("n")) for _ in range(5)]
    assert await backend.get("k") == b"v"
    assert await backend.exists("k") is True
    assert (await backend.health()).healthy is True
    for refused in (*writes, *counts):
        with pytest.raises(BackendTimeoutError, match="another process") as caught:
            await refused
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    locker.execute("ROLLBACK")
    locker.close()

    assert await backend.incr("n") == 1
    assert await backend.get("k3") is None
    await backend.aclose()


async def test_a_write_waits_for_a_short_lock(path: Path, backend: SQLiteBackend) -> None:
    await backend.set("k", b"v")
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(backend.set("k", b"w"))
    assert await backend.get("k") == b"v"
    locker.execute("COMMIT")
    locker.close()

    assert await write is True
    assert await backend.get("k") == b"w"


async def test_a_long_reader_elsewhere_stops_nobody(path: Path, backend: SQLiteBackend) -> None:
    """It goes on seeing what it saw first, and we what is true."""
    await backend.set("k", b"old")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    query = "SELECT value FROM entries WHERE key = x'6b'"
    assert reader.execute(query).fetchone() == (b"old",)
    await backend.set("k", b"new")

    assert await backend.get("k") == b"new"
    assert reader.execute(query).fetchone() == (b"old",)
    reader.close()


async def test_a_file_that_is_locked_altogether(path: Path) -> None:
    """While another program keeps the file to itself, opening fails, in time."""
    first = SQLiteBackend(path)
    await first.set("k", b"v")
    await first.aclose()
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    backend = SQLiteBackend(path, busy_timeout=0.05)
    for attempt in (backend.open(), backend.get("k"), backend.set("k", b"w")):
        with pytest.raises((BackendTimeoutError, BackendUnavailableError)):
            await attempt
    locker.execute("ROLLBACK")
    locker.close()

    assert await backend.get("k") == b"v"
    await backend.aclose()


# -- fork

FORK = """
import asyncio, os, sys
from asynccache import SQLiteBackend

backend = SQLiteBackend(sys.argv[1], busy_timeout=20.0)

async def parent():
    await backend.set("k", b"parent")
    assert await backend.get("k") == b"parent"

async def child():
    assert await backend.get("k") == b"parent"
    for _ in range(20):
        await backend.incr("n")
    await backend.set("child", b"here")
    await backend.aclose()

async def again():
    assert await backend.get("child") == b"here"
    for _ in range(20):
        await backend.incr("n")
    assert await backend.get("n") == b"60"
    await backend.aclose()

asyncio.run(parent())
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        asyncio.run(child())
        sys.exit(0)  # with everything Python does at the end of a process
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
asyncio.run(again())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
async def test_a_forked_process_uses_no_connection_of_its_parent(path: Path) -> None:
    """A backend in use is forked, as servers with a preloaded application do: both go on, each on its own."""
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORK, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
