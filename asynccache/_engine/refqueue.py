"""References to entries, first in, first out, with next to nothing for the garbage collector to visit."""

from __future__ import annotations

from typing import Final

from asynccache._engine.entry import Entry

__all__ = ["CHUNK", "DEAD", "RefQueue"]

DEAD: Final = 10
"""``Entry.hits`` of an entry that its store has dropped."""
CHUNK: Final = 256
"""References that are sealed, swept or taken at a time."""


class RefQueue:
    """A queue of entries in which dead ones may linger until they are swept.

    Full chunks are tuples: the collector untracks a tuple of untracked objects at its first visit. A deque
    or a list of 10^6 entries would cost every full collection 25 ms.

    To append without a call, do what `push` does.
    """

    __slots__ = ("_cursor", "_head", "_held", "_sealed", "tail")

    def __init__(self) -> None:
        self._head: list[Entry] = []  # reversed: the oldest is last
        self._sealed: list[tuple[Entry, ...]] = []
        self._held = 0  # references in those two
        self._cursor = 0
        self.tail: list[Entry] = []
        """The youngest; to be sealed when it has reached `CHUNK`."""

    @property
    def size(self) -> int:
        """References held, those to dead entries included."""
        return self._held + len(self.tail)

    @property
    def stale(self) -> bool:
        """Whether the oldest are dead: as a rule, all of a chunk are then."""
        return bool(self._sealed) and self._sealed[0][0].hits == DEAD

    def push(self, entry: Entry) -> None:
        """Append ``entry``."""
        tail = self.tail
        tail.append(entry)
        if len(tail) >= CHUNK:
            self.seal()

    def seal(self) -> None:
        """Put what was pushed lately out of the collector's sight."""
        self._sealed.append(tuple(self.tail))
        self._held += len(self.tail)
        self.tail = []

    def pop(self) -> Entry | None:
        """Remove and return the oldest living entry; None if there is none."""
        while self._held or self.tail:
            head = self._head
            while head:
                entry = head.pop()
                self._held -= 1
                if entry.hits < DEAD:
                    return entry
            self._refill()
        return None

    def take(self, limit: int) -> list[Entry]:
        """Remove up to ``limit`` of the oldest, of one chunk; return those that live."""
        if not self._head:
            self._refill()
        taken = self._head[-limit:]
        del self._head[-limit:]
        self._held -= len(taken)
        return [entry for entry in taken if entry.hits < DEAD]

    def sweep(self) -> bool:
        """Drop the dead of one chunk; True when that was the last of a round."""
        sealed = self._sealed
        if not sealed or self._cursor >= len(sealed):
            self._cursor = 0
            self.tail = [entry for entry in self.tail if entry.hits < DEAD]
            return True
        # What was written together expires together: begin where the oldest have died.
        at = 0 if self.stale else self._cursor
        chunk = tuple([entry for entry in sealed[at] if entry.hits < DEAD])
        self._held -= len(sealed[at]) - len(chunk)
        if not chunk:
            del sealed[at]
        elif at and len(sealed[at - 1]) + len(chunk) <= CHUNK:
            sealed[at - 1] += chunk
            del sealed[at]
        else:
            sealed[at] = chunk
            self._cursor = at + 1
        return False

    def _refill(self) -> None:
        """Make a head of the oldest chunk."""
        if not self._sealed:
            self.seal()
        chunk = self._sealed.pop(0)
        self._cursor = max(0, self._cursor - 1)
        self._head = [entry for entry in reversed(chunk) if entry.hits < DEAD]
        self._held -= len(chunk) - len(self._head)
