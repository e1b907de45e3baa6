"""Which entries stay: S3-FIFO (Yang et al., SOSP 2023), bounded in bytes and in number.

New entries pass through a *small* queue with a tenth of the room. Those used at least twice there
move on to the *main* queue; the others leave, and only their hash is remembered for a while
(*ghosts*): a key that comes back soon goes straight to *main*. One-pass scans therefore never push
out what is used. A hit writes ``entry.hits`` and moves nothing.

Three things here are about pauses, because an event loop waits for each of them:

- The table is split into shards of about a thousand entries. A dict that loses and gains keys is
  rebuilt now and then, in one go; with 500,000 keys in one dict that takes over 50 ms.
- Queues are made of tuples of entries, which the garbage collector stops visiting; a deque or a list
  of 10^6 entries costs every full collection 25 ms.
- An eviction grants at most 16 second chances, and references to removed entries leave the queues a
  chunk at a time.
"""

from __future__ import annotations

from array import array
from math import inf
from typing import Final

from asynccache._engine.entry import Entry

__all__ = ["DEAD", "OVERHEAD", "S3FIFO", "RefQueue", "cost"]

# ``Entry.hits`` while a store holds the entry: twice the uses (1 to 4, counting the first write),
# plus 1 in the main queue. 0 is an entry no store holds. So a hit is one comparison and one write:
# ``if entry.hits < USED: entry.hits += 2``.
SMALL: Final = 2
MAIN: Final = 3
USED: Final = 8
DEAD: Final = 10
_PROMOTED: Final = SMALL + 2 * 2

OVERHEAD: Final = 370
"""Bytes an entry takes beside its key, payload and stamps (measured: see `cost`)."""
_STAMP_OVERHEAD: Final = 220

_CHUNK: Final = 256
_CHANCES: Final = 16
_SHARD: Final = 1024
_HOT: Final = 20_000
_LOW: Final = 0xFFFFFFFF


def cost(entry: Entry) -> int:
    """Return the bytes ``entry`` is charged.

    Key and payload, the tags' stamps, and `OVERHEAD`: the entry object and its times, the headers of
    two strings, its share of the table and the queues. A decoded ``value`` is not charged: it may
    be set later, and what is charged must be what is given back.
    """
    key = entry.key
    size = OVERHEAD + len(entry.payload) + (len(key) if key.isascii() else 4 * len(key))
    if entry.stamps:
        size += sum(_STAMP_OVERHEAD + len(tag) + len(hard) + len(soft) for tag, hard, soft in entry.stamps)
    return size


class RefQueue:
    """A first-in-first-out queue of entries in which dead ones may linger until they are swept.

    Full chunks are tuples: the collector untracks a tuple of untracked objects at its first visit.
    """

    __slots__ = ("_cursor", "_head", "_sealed", "_tail", "size")

    def __init__(self) -> None:
        self._head: list[Entry] = []  # reversed: the oldest is last
        self._sealed: list[tuple[Entry, ...]] = []
        self._tail: list[Entry] = []
        self._cursor = 0
        self.size = 0
        """References held, those to dead entries included."""

    def push(self, entry: Entry) -> None:
        """Append ``entry``."""
        tail = self._tail
        tail.append(entry)
        self.size += 1
        if len(tail) == _CHUNK:
            self._sealed.append(tuple(tail))
            self._tail = []

    def pop(self) -> Entry | None:
        """Remove and return the oldest living entry; None if there is none."""
        while self.size:
            if not self._head:
                self._refill()
                continue
            entry = self._head.pop()
            self.size -= 1
            if entry.hits < DEAD:
                return entry
        return None

    def take(self, limit: int) -> list[Entry]:
        """Remove up to ``limit`` of the oldest, of one chunk; return those that live."""
        if not self._head:
            self._refill()
        taken = self._head[-limit:]
        del self._head[-limit:]
        self.size -= len(taken)
        return [entry for entry in taken if entry.hits < DEAD]

    def sweep(self) -> bool:
        """Drop the dead of one chunk; True when that was the last of a round."""
        sealed = self._sealed
        if not sealed or self._cursor >= len(sealed):
            self._cursor = 0
            living = [entry for entry in self._tail if entry.hits < DEAD]
            self.size -= len(self._tail) - len(living)
            self._tail = living
            return True
        # What was written together expires together: begin where the oldest have died.
        first = sealed[0]
        at = 0 if first[0].hits == DEAD else self._cursor
        chunk = tuple([entry for entry in sealed[at] if entry.hits < DEAD])
        self.size -= len(sealed[at]) - len(chunk)
        if not chunk:
            del sealed[at]
        elif at and len(sealed[at - 1]) + len(chunk) <= _CHUNK:
            sealed[at - 1] += chunk
            del sealed[at]
        else:
            sealed[at] = chunk
            self._cursor = at + 1
        return False

    def _refill(self) -> None:
        if self._sealed:
            chunk: list[Entry] | tuple[Entry, ...] = self._sealed.pop(0)
            self._cursor = max(0, self._cursor - 1)
        else:
            chunk = self._tail
            self._tail = []
        self._head = [entry for entry in reversed(chunk) if entry.hits < DEAD]
        self.size -= len(chunk) - len(self._head)


class Ghosts:
    """The hashes of what was evicted lately; a slot holds half a hash and when it was written."""

    __slots__ = ("_evictions", "_mask", "_slots")

    def __init__(self, capacity: int) -> None:
        size = 1 << max(4, (capacity - 1).bit_length())
        self._slots = array("q", bytes(8 * size))
        self._mask = size - 1
        self._evictions = 0

    def add(self, digest: int) -> None:
        """Remember ``digest`` (the hash of a key), forgetting whatever shared its slot."""
        self._evictions = evictions = self._evictions + 1 & _LOW
        self._slots[digest & self._mask] = digest >> 32 << 32 | evictions

    def pop(self, digest: int, age: int) -> bool:
        """Forget ``digest``; True if it was added within the last ``age`` additions."""
        at = digest & self._mask
        slot = self._slots[at]
        if (slot ^ digest) >> 32 or self._evictions - slot & _LOW >= age:
            return False
        self._slots[at] = 0
        return True


class S3FIFO:
    """A table of entries that never holds more than ``max_bytes`` and ``max_entries``.

    ``opaque`` and ``objects`` are small dicts in front of the shards, for reads: they hold entries
    used lately, without and with a codec, and never one that the table does not hold.
    """

    __slots__ = (
        "_ghosts",
        "_main",
        "_small",
        "_small_bytes",
        "_small_entries",
        "bytes",
        "entries",
        "mask",
        "max_bytes",
        "max_cost",
        "max_entries",
        "objects",
        "opaque",
        "shards",
        "timed",
    )

    def __init__(self, max_bytes: int, max_entries: int | None = None) -> None:
        self.max_bytes = max_bytes
        self.max_entries = min(max_entries or max_bytes, max(1, max_bytes // OVERHEAD))
        self.max_cost = max_bytes // 8
        """What costs more is refused: one value must not empty the cache."""
        shards = 1 << ((self.max_entries - 1) // _SHARD).bit_length()
        self.shards: tuple[dict[str, Entry], ...] = tuple({} for _ in range(shards))
        self.mask = shards - 1
        self.opaque: dict[str, Entry] = {}
        self.objects: dict[str, Entry] = {}
        self._ghosts = Ghosts(self.max_entries)
        self._small = RefQueue()
        self._main = RefQueue()
        self._small_bytes = self._small_entries = 0
        self.bytes = self.entries = 0
        self.timed = 0
        """Entries that expire some time."""

    def forget(self) -> None:
        """Let go of the references to dead entries at once; only while there are no others."""
        if not self.entries:
            self._small = RefQueue()
            self._main = RefQueue()

    def find(self, key: str) -> Entry | None:
        """Return the entry under ``key``, expired or not, without counting a use."""
        return self.shards[hash(key) & self.mask].get(key)

    def warm(self, entry: Entry) -> None:
        """Count a use of ``entry`` that was found behind the front dict, and put it there."""
        front = self.objects if entry.codec else self.opaque
        if len(front) >= _HOT:
            front.clear()
        front[entry.key] = entry
        if entry.hits < USED:
            entry.hits += 2

    def add(self, entry: Entry) -> bool:
        """Take ``entry``, killing what was under its key and making room; False if it is too large."""
        key = entry.key
        digest = hash(key)
        shard = self.shards[digest & self.mask]
        size = cost(entry)
        old = shard.get(key)
        if old is not None:
            if size <= self.max_cost and self.bytes + size - cost(old) <= self.max_bytes:
                self._replace(old, entry, shard, size)
                return True
            place = old.hits  # a refreshed value is as popular as it was
            self.remove(old)
        elif self._ghosts.pop(digest, self.entries - self._small_entries):
            place = MAIN
        else:
            place = SMALL
        if size > self.max_cost:
            return False
        # Room is made first: a new entry must not be the one that goes.
        while self.bytes + size > self.max_bytes or self.entries >= self.max_entries:
            self._evict()
        entry.hits = place
        shard[key] = entry
        self.entries += 1
        self.bytes += size
        if entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf:
            self.timed += 1
        if place & 1:
            self._main.push(entry)
        else:
            self._small_entries += 1
            self._small_bytes += size
            self._small.push(entry)
        return True

    def remove(self, entry: Entry) -> None:
        """Remove and kill ``entry``, which the table holds; its references in the queues are swept later."""
        in_main = entry.hits & 1
        self._drop(entry)
        self._trim(in_main)

    def _replace(self, old: Entry, entry: Entry, shard: dict[str, Entry], size: int) -> None:
        """Do what removing ``old`` and adding ``entry`` would, in one step; there is room."""
        place = old.hits
        grown = size - cost(old)
        self.bytes += grown
        self.timed += _expires(entry) - _expires(old)
        front = self.objects if old.codec else self.opaque
        if old.key in front:
            del front[old.key]
        old.hits = DEAD
        old.kill()
        entry.hits = place
        shard[entry.key] = entry
        if place & 1:
            self._main.push(entry)
        else:
            self._small_bytes += grown
            self._small.push(entry)
        self._trim(place & 1)

    def _trim(self, in_main: int) -> None:
        """Sweep a chunk of the queue in which an entry has died, if it is time to."""
        if in_main:
            queue, living = self._main, self.entries - self._small_entries
        else:
            queue, living = self._small, self._small_entries
        dead = queue.size - living
        if dead > 2 * _CHUNK and (dead * 8 > queue.size or not dead % 64):
            queue.sweep()

    def resize(self, entry: Entry, payload: bytes) -> None:
        """Give a living ``entry`` another payload of about the same size."""
        more = len(payload) - len(entry.payload)
        entry.payload = payload
        self.bytes += more
        if not entry.hits & 1:
            self._small_bytes += more

    def _drop(self, entry: Entry) -> None:
        key = entry.key
        size = cost(entry)
        self.entries -= 1
        self.bytes -= size
        if entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf:
            self.timed -= 1
        if not entry.hits & 1:
            self._small_entries -= 1
            self._small_bytes -= size
        del self.shards[hash(key) & self.mask][key]
        front = self.objects if entry.codec else self.opaque
        if key in front:
            del front[key]
        entry.hits = DEAD
        entry.kill()

    def _evict(self) -> None:
        """Remove one entry; there is at least one."""
        for chances in range(_CHANCES, -1, -1):
            entry = self._small.pop() if self._small_full() else None
            if entry is not None:
                if entry.hits < _PROMOTED or not chances:
                    self._ghosts.add(hash(entry.key))
                    return self._drop(entry)
                self._small_entries -= 1
                self._small_bytes -= cost(entry)
                entry.hits = MAIN
            else:
                entry = self._main.pop()
                if entry is None:
                    continue
                if entry.hits == MAIN or not chances:
                    return self._drop(entry)
                entry.hits -= 2
            self._main.push(entry)
        return None

    def _small_full(self) -> bool:
        return (
            self._small_bytes * 10 >= self.max_bytes
            or self._small_entries * 10 >= self.max_entries
            or self._small_entries == self.entries
        )


def _expires(entry: Entry) -> bool:
    """Tell whether ``entry.expires`` is finite, in less time than it takes to know it."""
    return entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf
