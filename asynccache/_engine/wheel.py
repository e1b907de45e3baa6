"""What expires when: buckets of entries by the second in which they may be dropped.

There is no timer per entry and no scan of them all. A bucket is a second wide; for an entry with
more than two minutes to go it is up to a 64th of that time wide, so that a thousand buckets or so are
enough for any mixture of lifetimes. Buckets are for tidying up only: whether an entry has
expired is judged on every read.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

from asynccache._engine.entry import Entry
from asynccache._engine.refqueue import CHUNK, RefQueue

__all__ = ["ExpiryWheel"]


class ExpiryWheel:
    """References to entries, by due time. Entries removed otherwise linger until swept."""

    __slots__ = ("_begin", "_bucket", "_buckets", "_end", "_heap", "_latest", "_round", "due", "size")

    def __init__(self) -> None:
        self._buckets: dict[int, RefQueue] = {}
        self._heap: list[int] = []
        self._round: list[int] = []
        self.due: float = inf
        """When the next bucket may be emptied; infinite if there is none."""
        self.size = 0
        """References held, those to dead entries included."""
        self._leave()

    def push(self, entry: Entry, expires: float, now: float) -> bool:
        """Note that ``entry`` is useless from ``expires`` on; True if not in the bucket of the last one."""
        self.size += 1
        # Most entries expire in the same second as the one before them.
        if self._begin <= expires < self._end and now <= self._latest:
            tail = self._bucket.tail
            tail.append(entry)
            if len(tail) >= CHUNK:
                self._bucket.seal()
            return False
        self._choose(expires, now).push(entry)
        return True

    def take(self, now: float, limit: int) -> list[Entry]:
        """Remove up to ``limit`` references that are due; return the entries that still live.

        An empty answer does not mean that nothing is due: they may all have been dead.
        """
        heap = self._heap
        found: list[Entry] = []
        while heap and heap[0] <= now and not found:
            bucket = self._buckets[heap[0]]
            before = bucket.size
            if before:
                found = bucket.take(limit)
                self.size -= before - bucket.size
                break
            if bucket is self._bucket:
                self._leave()
            del self._buckets[heappop(heap)]
        self.due = heap[0] if heap else inf
        return found

    def sweep(self) -> None:
        """Drop the references to dead entries in one chunk: of what is due first, or each in its turn."""
        first = self._buckets[self._heap[0]] if self._heap else None
        if first is not None and first.stale:
            before = first.size
            first.sweep()
            self.size -= before - first.size
            return
        while True:
            if not self._round:
                self._round = self._heap.copy()
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

    def _choose(self, expires: float, now: float) -> RefQueue:
        """Return the bucket for ``expires``, and remember what else may go there."""
        left = int(expires - now)
        width = 1 << left.bit_length() - 7 if left >= 128 else 1
        end = (int(expires) // width + 1) * width
        bucket = self._buckets.get(end)
        if bucket is None:
            bucket = self._buckets[end] = RefQueue()
            heappush(self._heap, end)
            self.due = self._heap[0]
        self._bucket, self._begin, self._end = bucket, end - width, end
        # Once less is left than 64 times its width, the bucket is too wide for new ones.
        self._latest = inf if width == 1 else end - width - 64 * width
        return bucket

    def _leave(self) -> None:
        """Forget where the last entry went."""
        self._bucket = RefQueue()
        self._begin = self._end = 0
        self._latest = -inf
