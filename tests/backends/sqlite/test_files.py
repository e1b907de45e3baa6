"""The cache file: whose it is, who may read it, what becomes of a damaged, removed or outdated one."""

# ruff: noqa: ASYNC240  (a test may wait for the disk)

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asynccache.backends.sqlite import SQLiteBackend
from asynccache.backends.sqlite._schema import APPLICATION_ID, MIGRATIONS, migrate, version
from asynccache.errors import BackendUnavailableError, ConfigurationError
from asynccache.testing import FakeClock

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest_asyncio.fixture
async def backend(path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(path, clock=FakeClock())
    yield backend
    await backend.aclose()


async def filled(path: Path) -> None:
    """Leave a cache file with 200 values of 1 KiB."""
    backend = SQLiteBackend(path, clock=FakeClock())
    await backend.set_many({f"k{number}": b"%04d" % number * 256 for number in range(200)})
    await backend.aclose()


def ask(path: Path, statement: str) -> object:
    """Return the first row that ``statement`` gives."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchone()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


# -- who may read it


async def test_only_the_owner_may_read_the_files(path: Path, backend: SQLiteBackend) -> None:
    await backend.set("k", b"v")

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}


async def test_the_log_is_folded_into_the_file_at_the_end(path: Path, backend: SQLiteBackend) -> None:
    await backend.set("k", b"v")
    await backend.aclose()

    assert [file.name for file in path.parent.iterdir()] == ["cache.db"]


async def test_a_file_system_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    backend = SQLiteBackend(path)
    await backend.set("k", b"v")

    assert await backend.get("k") == b"v"
    await backend.aclose()


# -- whose it is


async def refused(path: Path) -> None:
    """Demand that nothing can be done with the file, and that nothing was done to it."""
    before = path.read_bytes()
    backend = SQLiteBackend(path)
    for attempt in (backend.open(), backend.get("k"), backend.set("k", b"v"), backend.clear("k")):
        with pytest.raises(ConfigurationError, match="left as it is"):
            await attempt
    await backend.aclose()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_foreign_database_is_refused(path: Path) -> None:
    ask(path, "CREATE TABLE customers (name)")

    await refused(path)


async def test_a_foreign_database_with_tables_of_the_same_names_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()

    await refused(path)


async def test_an_empty_database_with_a_foreign_mark_is_refused(path: Path) -> None:
    ask(path, "PRAGMA application_id = 252006673")  # Fossil's

    await refused(path)


@pytest.mark.parametrize("content", [b"x", b"print('hello')\n" * 500, b"SQLite format 3\0", bytes(PAGE)])
async def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    await refused(path)


async def test_an_empty_file_becomes_a_cache(path: Path, backend: SQLiteBackend) -> None:
    path.touch()
    await backend.set("k", b"v")

    assert await backend.get("k") == b"v"


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "absent" / "cache.db")
    for attempt in (backend.open(), backend.get("k"), backend.set("k", b"v")):
        with pytest.raises(BackendUnavailableError, match="absent"):
            await attempt
    (tmp_path / "absent").mkdir()

    assert await backend.set("k", b"v") is True
    await backend.aclose()


async def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path)
    with pytest.raises(BackendUnavailableError):
        await backend.open()
    await backend.aclose()


async def test_the_file_may_be_a_link(path: Path, tmp_path: Path) -> None:
    await filled(tmp_path / "real.db")
    path.symlink_to(tmp_path / "real.db")
    backend = SQLiteBackend(path)

    assert await backend.get("k7") == b"0007" * 256
    await backend.aclose()


# -- damage


@pytest.mark.parametrize("damage", ["tables", "values", "truncated", "all but the header"])
async def test_a_damaged_cache_is_set_aside_and_the_application_works(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the damage shows at once or when something is read, whatever is answered is right."""
    await filled(path)
    size = path.stat().st_size
    if damage == "tables":
        overwrite(path, 100, b"\xff" * (PAGE - 100))
    elif damage == "values":
        overwrite(path, 2 * PAGE, b"\x5a" * (size - 2 * PAGE))
    elif damage == "truncated":
        os.truncate(path, 3 * PAGE)
    else:
        overwrite(path, 100, os.urandom(size - 100))
    backend = SQLiteBackend(path, clock=FakeClock())

    with caplog.at_level(logging.WARNING, "asynccache"):
        for number in range(200):
            assert await backend.get(f"k{number}") in {None, b"%04d" % number * 256}
        await backend.set("k", b"v")
        assert await backend.incr("n") == 1
        await backend.clear("k1")
    assert await backend.get("k") == b"v"
    await backend.aclose()

    aside = path.with_name("cache.db.corrupt")
    assert aside.stat().st_size > PAGE
    assert str(aside) in caplog.text
    assert ask(path, "PRAGMA integrity_check") == ("ok",)


async def test_damage_under_an_open_cache(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The write that meets it first succeeds, in a new file; the reader follows."""
    await filled(path)
    backend = SQLiteBackend(path, clock=FakeClock())
    assert await backend.get("k1") is not None
    await backend.set("k", b"v")
    overwrite(path, PAGE, b"\xff" * (path.stat().st_size - PAGE))
    other = SQLiteBackend(path, clock=FakeClock())  # its pages are not in memory yet
    assert await other.incr("n") == 1
    await backend.set("mine", b"1")

    assert await other.get("mine") == b"1"
    assert await backend.get("n") == b"1"
    assert await backend.get("k1") is None
    await backend.aclose()
    await other.aclose()
    assert "is damaged" in caplog.text


# -- removed, emptied, replaced under an open cache


@pytest.mark.parametrize("how", ["removed", "emptied", "replaced"])
async def test_a_file_that_is_taken_away(path: Path, backend: SQLiteBackend, how: str) -> None:
    """Nobody goes on with the old file, where no other process would hear of an invalidation."""
    await filled(path)
    await backend.set("k", b"old")
    assert await backend.get("k") == b"old"
    if how == "emptied":
        checkpoint = sqlite3.connect(path)
        checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        checkpoint.close()
        os.truncate(path, 0)
    else:
        for file in path.parent.iterdir():
            file.unlink()
    if how == "replaced":
        await filled(path)
        assert await backend.get("k9") == b"0009" * 256

    assert await backend.get("k") is None
    await backend.set("k", b"new")
    assert await backend.get("k") == b"new"
    other = SQLiteBackend(path, clock=FakeClock())
    assert await other.delete("k") is True
    assert await backend.get("k") is None
    await other.aclose()


# -- versions


async def test_a_newer_version_is_refused(path: Path) -> None:
    await filled(path)
    ask(path, "PRAGMA user_version = 99")
    backend = SQLiteBackend(path)
    for attempt in (backend.open(), backend.get("k1"), backend.set("k", b"v")):
        with pytest.raises(ConfigurationError, match="newer asynccache"):
            await attempt
    await backend.aclose()

    assert ask(path, "SELECT count(*) FROM entries") == (200,)


def test_an_older_version_is_brought_up_to_date_with_its_data(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    connection.execute("INSERT INTO entries (key, expires, value) VALUES (x'6b', 1e12, x'76')")
    later = (
        *MIGRATIONS,
        ("ALTER TABLE entries ADD COLUMN tag TEXT", "CREATE INDEX tags ON entries (tag)"),
        ("UPDATE entries SET tag = 'new'",),
    )
    migrate(connection, later)
    migrate(connection, later)

    assert version(connection) == 3
    assert connection.execute("SELECT key, value, tag FROM entries").fetchall() == [(b"k", b"v", "new")]
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    broken = (*MIGRATIONS, ("ALTER TABLE entries ADD COLUMN tag TEXT", "DROP TABLE no_such_table"))
    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        migrate(connection, broken)

    assert version(connection) == 1
    assert "tag" not in [row[1] for row in connection.execute("PRAGMA table_info(entries)")]
    migrate(connection)  # nothing to do, and no transaction left open
    connection.close()


def test_the_released_version_does_not_change(path: Path) -> None:
    """A file written by the first release has exactly these tables: change them by a migration only."""
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])

    tables = {
        table: [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("entries", "leases")
    }
    assert tables == {
        "entries": [("id", "INTEGER"), ("key", "BLOB"), ("expires", "REAL"), ("value", "BLOB")],
        "leases": [("key", "BLOB"), ("token", "TEXT"), ("expires", "REAL")],
    }
    connection.close()
