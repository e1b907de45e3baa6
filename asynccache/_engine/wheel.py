"""What expires when: buckets of entries by the second in which they may be dropped.

There is no timer per entry and no scan of them all. A bucket is a second wide; for an entry with
more than two minutes to go it is up to a 64th of that time wide, so that a thousand buckets or so are
enough for any mixture of lifetimes. Buckets are for tidying up only: whether an entry has
expired is judged on every read.
"""

from __future__ import annotations

from heapq import heappop, heappush

from asynccache._engine.entry import Entry
from asynccache._engine.s3fifo import RefQueue

__all__ = ["ExpiryWheel"]


class ExpiryWheel:
    """References to entries, by due time. Entries removed otherwise linger until swept."""

    __slots__ = ("_buckets", "_round", "due", "size")

    def __init__(self) -> None:
        self._buckets: dict[int, RefQueue] = {}
        self.due: list[int] = []
        """When buckets may be emptied, as a heap: the next is the first."""
        self._round: list[int] = []
        self.size = 0
        """References held, those to dead entries included."""

    def push(self, entry: Entry, expires: float, now: float) -> bool:
        """Note that ``entry`` is useless from ``expires`` on; True if it is now the first to go."""
        left = int(expires - now)
        width = 1 << left.bit_length() - 7 if left >= 128 else 1
        due = (int(expires) // width + 1) * width
        bucket = self._buckets.get(due)
        first = False
        if bucket is None:
            bucket = self._buckets[due] = RefQueue()
            first = not self.due or due < self.due[0]
            heappush(self.due, due)
        bucket.push(entry)
        self.size += 1
        return first

    def take(self, now: float, limit: int) -> list[Entry]:
        """Remove up to ``limit`` references that are due; return the entries that still live.

        An empty answer does not mean that nothing is due: they may all have been dead.
        """
        while self.due and self.due[0] <= now:
            bucket = self._buckets[self.due[0]]
            if bucket.size:
                before = bucket.size
                found = bucket.take(limit)
                self.size -= before - bucket.size
                return found
            del self._buckets[heappop(self.due)]
        return []

    def sweep(self) -> None:
        """Drop the references to dead entries in one chunk of one bucket, each in its turn."""
        while True:
            if not self._round:
                self._round = self.due.copy()
                if not self._round:
                    return
            bucket = self._buckets.get(self._round[-1])
            if bucket is None:
                self._round.pop()
                continue
            before = bucket.size
            if bucket.sweep():
                self._round.pop()
            self.size -= before - bucket.size
            return
