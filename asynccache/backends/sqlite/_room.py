"""Keeps the file under its cap: what has expired goes first, then what was written first and not read since.

FIFO with a second chance: the ids are the order of writing, so the oldest are at one end of the table. Of
those the ones that were read lately in this process move to the other end. Nothing is written when a
value is read.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from asynccache.backends.sqlite._reading import Used

__all__ = ["Room"]

_SWEEP_AFTER: Final = 32
_EVICT: Final = 256
_MOST_SPARE: Final = 2 * 2**20
_VACUUM_PAGES: Final = 64
_LEAST_FREE: Final = 256


class Room:
    """The space of one file, as one writer sees it.

    Everything happens inside the writer's transaction. How much is used is looked up when as much has been
    written as there was room for, or a sixteenth of the cap: other processes write as well.

    Args:
        max_bytes: The cap.
        used: What was read lately.
    """

    def __init__(self, max_bytes: int, used: Used) -> None:
        self._max_bytes = max_bytes
        self._used = used
        self._spare = min(max_bytes // 16, _MOST_SPARE)
        self._left = 0
        self._rows = 0
        self._page_size = 4096

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Bound the file itself, should everything else fail, and forget what was known of another one."""
        [self._page_size] = connection.execute("PRAGMA page_size").fetchone()
        pages = (self._max_bytes + self._max_bytes // 8) // self._page_size + 64
        connection.execute(f"PRAGMA max_page_count = {pages}")
        self._left = 0

    @property
    def small(self) -> int:
        """Many values of this size may be written between two looks at how much is used."""
        return self._spare // 128

    def take(self, connection: sqlite3.Connection, size: int, now: float, rows: int = 1) -> None:
        """Make room for ``rows`` with ``size`` bytes of keys and values."""
        self._rows += rows
        size += size // 4 + 128 * rows  # two indexes, and pages that are not full
        self._left -= size
        if self._left < 0:
            self._look(connection, now, size)

    def sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete what has expired, at most twice as much as has been written since the last time."""
        if self._rows >= _SWEEP_AFTER:
            self._sweep(connection, now, 2 * self._rows)
            self._rows = 0

    def _sweep(self, connection: sqlite3.Connection, now: float, most: int) -> None:
        connection.execute(
            "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? "
            "AND expires < 9e999 ORDER BY expires LIMIT ?)",
            (now, most),
        )
        connection.execute(
            "DELETE FROM leases WHERE key IN (SELECT key FROM leases WHERE expires <= ? LIMIT ?)", (now, most)
        )

    def _look(self, connection: sqlite3.Connection, now: float, size: int) -> None:
        if self.bytes_used(connection) + size + self._spare > self._max_bytes:
            self.evict(connection, now, size)
        else:
            self._vacuum(connection)
        left = self._max_bytes - self.bytes_used(connection) - size
        self._left = min(max(left, self._spare // 2), self._max_bytes // 16)

    def bytes_used(self, connection: sqlite3.Connection) -> int:
        """Return how much of the file is in use."""
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [free] = connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * self._page_size

    def evict(self, connection: sqlite3.Connection, now: float, size: int = 0) -> None:
        """Delete until there is room for ``size`` bytes, and some to spare."""
        goal = self._max_bytes - self._spare - size
        self._sweep(connection, now, 4 * _EVICT)
        while (excess := self.bytes_used(connection) - goal) > 0 and self._evict_some(connection, excess):
            pass

    def _evict_some(self, connection: sqlite3.Connection, excess: int) -> bool:
        """Delete about ``excess`` bytes of the oldest; False if there is nothing more to delete."""
        query = "SELECT id, key, length(key) + length(value) FROM entries ORDER BY id LIMIT ?"
        oldest: list[tuple[int, bytes, int]] = connection.execute(query, (_EVICT,)).fetchall()
        if not oldest:
            return False
        last, spared = 0, list[tuple[int]]()
        for last, key, size in oldest:
            # At most half of those looked at: if everything were in use, this would never end.
            if 2 * len(spared) < len(oldest) and self._used.take(key):
                spared.append((last,))
            elif (excess := excess - size) <= 0:
                break
        connection.executemany(
            "UPDATE entries SET id = (SELECT max(id) FROM entries) + 1 WHERE id = ?", spared
        )
        connection.execute("DELETE FROM entries WHERE id <= ?", (last,))
        return True

    def _vacuum(self, connection: sqlite3.Connection) -> None:
        """Give some pages back to the file system where most of the file is empty."""
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [free] = connection.execute("PRAGMA freelist_count").fetchone()
        if free > _LEAST_FREE and 2 * free > pages:
            for _ in range(min(_VACUUM_PAGES, free)):  # Python takes the first step of this pragma only
                connection.execute("PRAGMA incremental_vacuum(1)")
