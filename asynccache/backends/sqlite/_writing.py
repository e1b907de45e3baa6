"""What the writing thread does: everything that waits for it in one transaction, committed once."""

from __future__ import annotations

import builtins
import re
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Final

from asynccache._engine.arguments import INT64
from asynccache._engine.clock import Clock
from asynccache.backends.sqlite._failures import is_full
from asynccache.backends.sqlite._file import CacheFile
from asynccache.backends.sqlite._room import Room
from asynccache.backends.sqlite._session import FileSession, chunks, marks
from asynccache.backends.sqlite._worker import Job, Outcome
from asynccache.errors import BackendError

__all__ = ["Writer"]

_SET: Final = "INSERT OR REPLACE INTO entries (key, expires, value) VALUES (?, ?, ?)"
_VOID: Final = "DELETE FROM leases WHERE key = ?"
_LEASE: Final = "INSERT OR REPLACE INTO leases (key, token, expires) VALUES (?, ?, ?)"
_CLEAR: Final = 512
_MOST_ROWS: Final = 128
_DECIMAL: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")


class Writer(FileSession):
    """The session of the writing thread.

    Its operations run inside a transaction that it has to itself: what one of them reads is true until the
    commit, whoever else writes. They raise `BackendError` for what is wrong with the question, before they
    have written anything.
    """

    def __init__(self, file: CacheFile, clock: Clock, room: Room) -> None:
        super().__init__(file, clock)
        self._room = room
        self._leases = True
        self._db: sqlite3.Connection
        self._run: Callable[..., sqlite3.Cursor]

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Set the cap."""
        self._db = connection
        self._run = connection.execute
        self._room.prepare(connection)

    # -- transactions ----------------------------------------------------------------------------------

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do ``jobs`` in one transaction."""
        self.connected()
        with self._transaction():
            self._leases = self._run("SELECT 1 FROM leases LIMIT 1").fetchone() is not None
            outcomes = [self._do(job) for job in jobs]
            self._room.sweep(self._db, self.clock())
        return outcomes

    def _do(self, job: Job) -> Outcome:
        try:
            return Outcome(job.future, job.work(self, *job.args))
        except BackendError as answer:
            return Outcome(job.future, None, answer)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._run("ROLLBACK")
            raise

    def recover(self, error: BaseException) -> None:
        """Evict where there was no room, in a transaction of its own: the one that needed it is gone."""
        super().recover(error)
        if is_full(error):
            try:
                with self._transaction():
                    self._room.evict(self._db, self.clock())
            except sqlite3.Error as full:
                if not is_full(full):  # else it is the disk: the callers hear it from their own transactions
                    raise

    # -- values ----------------------------------------------------------------------------------------

    def set(self, key: bytes, value: bytes, until: float) -> None:
        """Store ``value``."""
        self._room.take(self._db, len(key) + len(value), self.clock())
        if self._leases:
            self._run(_VOID, (key,))
        self._run(_SET, (key, until, value))

    def set_many(self, items: Mapping[bytes, bytes], until: float) -> None:
        """Store ``items``, many in one statement."""
        small: list[bytes] = []
        for key, value in items.items():
            if len(key) + len(value) > self._room.small:
                self.set(key, value, until)
            else:
                small.append(key)
        start = 0
        while start < len(small):
            size = min(
                1 << (len(small) - start).bit_length() - 1, _MOST_ROWS
            )  # a power of two: few statements
            part = small[start : start + size]
            self._room.take(self._db, sum(len(key) + len(items[key]) for key in part), self.clock(), size)
            self._void(part)
            rows = ", ".join(["(?, ?, ?)"] * size)
            bound = [bit for key in part for bit in (key, until, items[key])]
            self._run(f"INSERT OR REPLACE INTO entries (key, expires, value) VALUES {rows}", bound)  # noqa: S608 - rows are question marks
            start += size

    def add(self, key: bytes, value: bytes, until: float) -> bool:
        """Store ``value`` if nothing is there."""
        if self._expiry(key) > self.clock():
            return False
        self.set(key, value, until)
        return True

    def incr(self, key: bytes, delta: int, initial: int, until: float) -> int:
        """Add ``delta``."""
        row = self._run("SELECT value, expires FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None or not row[1] > self.clock():
            value = initial + delta
        elif _DECIMAL.fullmatch(row[0]):
            value, until = int(row[0]) + delta, row[1]
        else:
            raise BackendError("not an integer", backend="sqlite", key=key.decode())
        if not -INT64 <= value < INT64:
            raise BackendError("the result does not fit in 64 bits", backend="sqlite", key=key.decode())
        self.set(key, b"%d" % value, until)
        return value

    def touch(self, key: bytes, until: float) -> bool:
        """Change the expiry of what is there."""
        query = "UPDATE entries SET expires = ? WHERE key = ? AND expires > ?"
        return self._run(query, (until, key, self.clock())).rowcount > 0

    def delete(self, key: bytes) -> bool:
        """Remove what is there."""
        there = self._expiry(key) > self.clock()
        if self._leases:
            self._run(_VOID, (key,))
        self._run("DELETE FROM entries WHERE key = ?", (key,))
        return there

    def delete_many(self, keys: Sequence[bytes]) -> builtins.set[bytes]:
        """Remove ``keys``; return those that were there."""
        now = self.clock()
        there: builtins.set[bytes] = {*()}
        for part in chunks(keys):
            holes, bound = marks(part)
            query = f"SELECT key FROM entries WHERE key IN ({holes}) AND expires > ?"  # noqa: S608 - holes are question marks
            there.update(key for (key,) in self._run(query, (*bound, now)))
            self._run(f"DELETE FROM entries WHERE key IN ({holes})", bound)  # noqa: S608 - as above
        self._void(keys)
        return there

    def void_range(self, start: bytes, end: bytes) -> None:
        """End the leases on keys from ``start`` up to, but not including, ``end``."""
        self._run("DELETE FROM leases WHERE key >= ? AND key < ?", (start, end))

    def clear_some(self, start: bytes, end: bytes) -> bytes | None:
        """Remove the first of what is from ``start`` up to ``end``; return where to go on, None at the end.

        By key, not by age: eviction may give a value a new id at any moment, but never a new key.
        """
        query = "SELECT key FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
        keys = self._run(query, (start, end, _CLEAR)).fetchall()
        if keys:
            self._run("DELETE FROM entries WHERE key >= ? AND key <= ?", (start, keys[-1][0]))
        return keys[-1][0] if len(keys) == _CLEAR else None

    # -- leases ----------------------------------------------------------------------------------------

    def acquire(self, key: bytes, ttl: float) -> str | None:
        """Return a new token, unless the lease is held."""
        now = self.clock()
        row = self._run("SELECT expires FROM leases WHERE key = ?", (key,)).fetchone()
        if row is not None and row[0] > now:
            return None
        token = token_hex(12)
        self._run(
            "INSERT OR REPLACE INTO leases (key, token, expires) VALUES (?, ?, ?)", (key, token, now + ttl)
        )
        self._leases = True
        return token

    def end(self, key: bytes, token: str) -> bool:
        """End the lease if ``token`` holds it; True if it did, and had not expired."""
        row = self._run("SELECT expires FROM leases WHERE key = ? AND token = ?", (key, token)).fetchone()
        if row is None:
            return False
        self._run(_VOID, (key,))
        return bool(row[0] > self.clock())

    def fill(self, key: bytes, value: bytes | None, until: float, token: str) -> bool:
        """Store ``value`` if ``token`` holds the lease; None is one that is refused: nothing is left then."""
        if not self.end(key, token):
            return False
        if value is None:
            self.delete(key)
            return False
        self.set(key, value, until)
        return True

    def _void(self, keys: Sequence[bytes]) -> None:
        if self._leases:
            for part in chunks(keys):
                holes, bound = marks(part)
                self._run(f"DELETE FROM leases WHERE key IN ({holes})", bound)  # noqa: S608 - holes are question marks

    def _expiry(self, key: bytes) -> float:
        """Return when what is under ``key`` expires, or did; 0 if nothing is."""
        row = self._run("SELECT expires FROM entries WHERE key = ?", (key,)).fetchone()
        return 0.0 if row is None else row[0]
