"""What the reading thread does. It writes nothing, so it waits for no writer, in this process or another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from asynccache._engine.clock import Clock
from asynccache.backends.sqlite._file import CacheFile
from asynccache.backends.sqlite._session import FileSession, chunks, marks
from asynccache.backends.sqlite._worker import Job, Outcome

__all__ = ["Reader", "Used"]

_GET: Final = "SELECT value FROM entries WHERE key = ? AND expires > ?"
_MOST_USED: Final = 2**15


class Used:
    """Which keys were read lately in this process: what eviction spares.

    Filled by the reading thread, asked by the writing one. Hashes will do: mistaking a key for another one
    spares it once too often.
    """

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def note(self, keys: Sequence[bytes]) -> None:
        """Take note that ``keys`` were found."""
        if len(self._hashes) > _MOST_USED:
            self._hashes = set()
        self._hashes.update(map(hash, keys))

    def take(self, key: bytes) -> bool:
        """Return True if ``key`` was noted, and forget it."""
        hashes, mark = self._hashes, hash(key)
        if mark not in hashes:
            return False
        hashes.discard(mark)
        return True


class Reader(FileSession):
    """The session of the reading thread."""

    def __init__(self, file: CacheFile, clock: Clock, used: Used) -> None:
        super().__init__(file, clock)
        self._used = used
        self._execute: Callable[..., sqlite3.Cursor]

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Make sure that reading is all that is done."""
        connection.execute("PRAGMA query_only = ON")
        self._execute = connection.execute

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do ``jobs``, all that are after one value each with one statement."""
        self.connected()
        if len(jobs) > 1:
            keys = [job.args[0] for job in jobs if job.work is Reader.get]
            if len(keys) > 1:
                found = self.get_many(keys)
                return [
                    Outcome(job.future, found.get(job.args[0]) if job.work is Reader.get else self._do(job))
                    for job in jobs
                ]
        return [Outcome(job.future, self._do(job)) for job in jobs]

    def _do(self, job: Job) -> Any:
        return job.work(self, *job.args)

    def get(self, key: bytes) -> bytes | None:
        """Return the value under ``key``."""
        row = self._execute(_GET, (key, self.clock())).fetchone()
        if row is None:
            return None
        self._used.note((key,))
        value: bytes = row[0]
        return value

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of ``keys`` that are there."""
        found: dict[bytes, bytes] = {}
        for part in chunks(keys):
            holes, bound = marks(part)
            query = f"SELECT key, value FROM entries WHERE key IN ({holes}) AND expires > ?"  # noqa: S608 - holes are question marks
            found.update(self._execute(query, (*bound, self.clock())).fetchall())
        self._used.note(list(found))
        return found

    def exists(self, key: bytes) -> bool:
        """Return whether something is under ``key``."""
        query = "SELECT 1 FROM entries WHERE key = ? AND expires > ?"
        return self._execute(query, (key, self.clock())).fetchone() is not None

    def describe(self) -> dict[str, Any]:
        """Return what the file says of itself."""

        def ask(name: str) -> Any:
            return self._execute(f"PRAGMA {name}").fetchone()[0]

        page, pages, free = ask("page_size"), ask("page_count"), ask("freelist_count")
        return {
            "server_version": sqlite3.sqlite_version,
            "schema_version": ask("user_version"),
            "journal_mode": ask("journal_mode"),
            "bytes": (pages - free) * page,
            "file_bytes": pages * page,
        }
