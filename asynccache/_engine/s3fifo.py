"""Which entries stay: S3-FIFO (Yang et al., SOSP 2023), bounded in bytes and in number.

New entries pass through a *small* queue with a tenth of the room. Those used again there move on to
the *main* queue; the others leave, and only their hash is remembered for a while (`Ghosts`): a key
that comes back soon goes straight to *main*. One-pass scans therefore never push out what is used. A hit
writes ``entry.hits`` and moves nothing.

Three things here are about pauses, because an event loop waits for each of them:

- A dict that loses and gains keys is rebuilt now and then, in one go; with 500,000 keys in one dict that
  takes over 50 ms. So a table is one dict while it is young, and then shards of about two thousand entries.
- Queues are made of tuples, which the garbage collector stops visiting (`RefQueue`).
- An eviction grants at most 16 second chances, and references to removed entries leave the queues a
  chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final

from asynccache._engine.entry import Entry
from asynccache._engine.ghosts import Ghosts
from asynccache._engine.refqueue import CHUNK, DEAD, RefQueue
from asynccache.keys import check_key

__all__ = ["DEAD", "MAIN", "OVERHEAD", "S3FIFO", "SMALL", "USED", "cost"]

# ``Entry.hits`` while a store holds the entry: twice the uses (1 to 4, counting the first write),
# plus 1 in the main queue. 0 is an entry no store holds. So a hit is one comparison and one write:
# ``if entry.hits < USED: entry.hits += 2``.
SMALL: Final = 2
MAIN: Final = 3
USED: Final = 8
# The paper asks for two uses after the first write. One does as well on every trace of
# benchmarks/hit_ratio.py, and better where popularity shifts.
_PROMOTED: Final = SMALL + 2

OVERHEAD: Final = 370
"""Bytes an entry takes beside its key, payload and stamps (measured: see `cost`)."""
_STAMP_OVERHEAD: Final = 220

_CHANCES: Final = 16
_SHARD: Final = 2048
_YOUNG: Final = 8192
_MOST: Final = 2**21


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


class S3FIFO:
    """A table of entries that never holds more than ``max_bytes`` and ``max_entries``.

    An entry is either in ``young`` or in ``shards[hash(key) & mask]``. A table begins with all of them in
    ``young``, which is quickest to read. When that has grown to 8192 entries, every new one takes two of
    them with it to the shards, until ``young`` is empty.
    """

    __slots__ = (
        "_ghosts",
        "_main",
        "_small",
        "_small_bytes",
        "_small_entries",
        "_split",
        "bytes",
        "entries",
        "mask",
        "max_bytes",
        "max_cost",
        "max_entries",
        "shards",
        "timed",
        "young",
    )

    def __init__(self, max_bytes: int, max_entries: int | None = None) -> None:
        self.max_bytes: int = max_bytes
        self.max_entries: int = min(max_entries or max_bytes, max(1, max_bytes // OVERHEAD))
        self.max_cost: int = max_bytes // 8
        """What costs more is refused: one value must not empty the cache."""
        most = min(self.max_entries, _MOST) - 1  # whoever says 1 TB will hardly need it
        shards = 1 << (most // _SHARD).bit_length() if most >= _YOUNG else 1
        self.shards: tuple[dict[str, Entry], ...] = tuple({} for _ in range(shards))
        self.mask: int = shards - 1
        self.young: dict[str, Entry] = {}
        self._split = False
        self._ghosts = Ghosts(most + 1)
        self._small = RefQueue()
        self._main = RefQueue()
        self._small_bytes = self._small_entries = 0
        self.bytes: int = 0
        self.entries: int = 0
        self.timed: int = 0
        """Entries that expire some time."""

    def forget(self) -> None:
        """Let go of the references to dead entries at once; only while there are no others."""
        if not self.entries:
            self._small = RefQueue()
            self._main = RefQueue()
            self.young.clear()
            self._split = False

    def find(self, key: str) -> Entry | None:
        """Return the entry under ``key``, expired or not, without counting a use."""
        entry = self.young.get(key)
        return self.shards[hash(key) & self.mask].get(key) if entry is None else entry

    def parts(self) -> Iterator[dict[str, Entry]]:
        """Yield dicts that hold all entries; one that moves meanwhile is in a later one as well."""
        yield self.young
        yield from self.shards

    # -- writing ------------------------------------------------------------------------------------

    def add(self, entry: Entry) -> bool:
        """Take ``entry``, killing what was under its key and making room; False if it is too large.

        Raises:
            TypeError: its key is not a ``str``.
            InvalidKeyError: its key is empty or cannot be written as UTF-8.
        """
        key = entry.key
        digest = hash(key)
        home = self.young
        old = home.get(key)
        if old is None and self._split:
            home = self.shards[digest & self.mask]
            old = home.get(key)
        if old is not None:
            if self._replaced(old, entry, home):
                return True
            place = old.hits  # a refreshed value is as popular as it was
            self.remove(old)
        else:
            if key.__class__ is not str or not key or not key.isascii():
                entry.key = key = check_key(key)
            age = self.entries - self._small_entries
            place = MAIN if age and self._ghosts.pop(digest, age) else SMALL
        size = OVERHEAD + len(key) + len(entry.payload)
        if entry.stamps or not key.isascii():
            size = cost(entry)
        if size > self.max_cost:
            return False
        # Room is made first: a new entry must not be the one that goes.
        while self.bytes + size > self.max_bytes or self.entries >= self.max_entries:
            self._evict()
        entry.hits = place
        home[key] = entry
        self.entries += 1
        self.bytes += size
        if entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf:
            self.timed += 1
        if place & 1:
            queue = self._main
        else:
            queue = self._small
            self._small_entries += 1
            self._small_bytes += size
        tail = queue.tail
        tail.append(entry)
        if len(tail) >= CHUNK:
            queue.seal()
        if self.young and (self._split or len(home) >= _YOUNG):
            self._age()
        return True

    def _replaced(self, old: Entry, entry: Entry, home: dict[str, Entry]) -> bool:
        """Do what removing ``old`` and adding ``entry`` would, in one step; False if there may be no room."""
        size = len(entry.payload) - len(old.payload)
        if entry.stamps or old.stamps:
            size = cost(entry) - cost(old)
        if size > 0 and (self.bytes + size > self.max_bytes or cost(entry) > self.max_cost):
            return False
        place = old.hits
        self.bytes += size
        timed = entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf
        if timed is not (old.fresh_until < inf and old.stale_until < inf and old.error_until < inf):
            self.timed += 1 if timed else -1
        key = old.key
        old.hits = DEAD
        old.kill()
        entry.hits = place
        entry.key = key  # the dict keeps the first one: there need not be two
        home[key] = entry
        if place & 1:
            queue = self._main
        else:
            queue = self._small
            self._small_bytes += size
        tail = queue.tail
        tail.append(entry)
        if not len(tail) & 15:
            if len(tail) >= CHUNK:
                queue.seal()
            self._trim(place & 1)
        return True

    def renew(self, entry: Entry, payload: bytes, until: float) -> bool:
        """Give an ``entry`` without codec or stamps other contents and a later end, in its place.

        False, and nothing is changed, if it would end sooner (its time in an `ExpiryWheel` must not come
        too late) or if there may be no room.
        """
        ended = entry.fresh_until
        if ended != until and not ended < until < inf:
            return False
        more = len(payload) - len(entry.payload)
        if more > 0 and (self.bytes + more > self.max_bytes or cost(entry) + more > self.max_cost):
            return False
        entry.fresh_until = until
        self.resize(entry, payload)
        return True

    def resize(self, entry: Entry, payload: bytes) -> None:
        """Give a living ``entry`` another payload, for which there is room."""
        more = len(payload) - len(entry.payload)
        entry.payload = payload
        if more:
            self.bytes += more
            if not entry.hits & 1:
                self._small_bytes += more

    def remove(self, entry: Entry) -> None:
        """Remove and kill ``entry``, which the table holds; its references in the queues are swept later."""
        in_main = entry.hits & 1
        self._drop(entry)
        self._trim(in_main)

    # -- inside -------------------------------------------------------------------------------------

    def _age(self) -> None:
        """Move two entries from ``young`` to the shards, where new ones go from now on."""
        self._split = True
        young, shards, mask = self.young, self.shards, self.mask
        for _ in range(min(2, len(young))):
            key, entry = young.popitem()
            shards[hash(key) & mask][key] = entry
        if not young:
            young.clear()  # gives its memory back

    def _trim(self, in_main: int) -> None:
        """Sweep a chunk of the queue in which an entry has died, if it is time to."""
        if in_main:
            queue, living = self._main, self.entries - self._small_entries
        else:
            queue, living = self._small, self._small_entries
        size = queue.size
        dead = size - living
        if dead > 2 * CHUNK and (dead * 6 > size or not dead % 64):
            queue.sweep()

    def _drop(self, entry: Entry) -> None:
        key = entry.key
        size = OVERHEAD + len(key) + len(entry.payload)
        if entry.stamps or not key.isascii():
            size = cost(entry)
        self.entries -= 1
        self.bytes -= size
        if entry.fresh_until < inf and entry.stale_until < inf and entry.error_until < inf:
            self.timed -= 1
        if not entry.hits & 1:
            self._small_entries -= 1
            self._small_bytes -= size
        if key in self.young:
            del self.young[key]
        else:
            del self.shards[hash(key) & self.mask][key]
        entry.hits = DEAD
        entry.kill()

    def _evict(self) -> None:
        """Remove one entry; there is at least one."""
        chances = _CHANCES
        while True:
            small = self._small_entries
            if (
                small * 10 >= self.max_entries
                or self._small_bytes * 10 >= self.max_bytes
                or small == self.entries
            ) and (entry := self._small.pop()) is not None:
                if entry.hits < _PROMOTED or not chances:
                    self._ghosts.add(hash(entry.key))
                    return self._drop(entry)
                self._small_entries = small - 1
                self._small_bytes -= cost(entry)
                entry.hits = MAIN
                self._main.push(entry)
            elif (entry := self._main.pop()) is not None:
                if entry.hits == MAIN or not chances:
                    return self._drop(entry)
                entry.hits -= 2
                self._main.push(entry)
            if chances:
                chances -= 1
