"""`Stamping`: reads, plants and deletes the stamps of a namespace's tags (see `asynccache._engine.tags`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from asynccache._engine.access import Access, accepted
from asynccache._engine.entry import Entry
from asynccache._engine.tags import (
    STAMP_TTL,
    Liveness,
    Stamp,
    common_key,
    liveness,
    new_stamp,
    soft_key,
    stamp_in,
    stamp_keys,
    stamps_of,
)
from asynccache.keys import Namespace

__all__ = ["Stamping"]

_KNOWN: Final = 1024
_RENEWAL: Final = 1 / 64
"""How often a write renews the stamps it carries: hot tags for certain, for one touch in 64 writes."""


class Stamping:
    """The stamps of one namespace."""

    def __init__(self, access: Access, namespace: Namespace) -> None:
        self._access = access
        self._known: dict[str, tuple[bytes, str]] = {}  # what was unpacked before: they rarely change
        self._prefix = namespace.tag_prefix
        path = namespace.segments
        levels = () if access.clearing is not None else range(1, len(path) + 1)
        self.generations: Final = tuple(Namespace(*path[:n]).tag_prefix for n in levels)
        """Keys of the namespaces' own stamps, which stand in for clearing where the store cannot."""
        self._always: Final = stamp_keys(self.generations)
        self._common: Final = common_key(self._prefix)

    def keys(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return the full keys of ``tags``."""
        return tuple(self._prefix + tag for tag in tags)

    def names(self, entry: Entry) -> list[str]:
        """Return the tags of ``entry``."""
        start = len(self._prefix)
        return [key[start:] for key, _, _ in entry.stamps if key not in self.generations]

    # -- judging entries ----------------------------------------------------------------------------

    def likely(self, tags: Sequence[str]) -> list[str]:
        """Return the keys that must be read to judge an entry with ``tags``."""
        return stamp_keys((*self.generations, *self.keys(tags))) if tags else self._always

    def alive(self, entry: Entry, current: Callable[[str], str | None] | None = None) -> bool:
        """Return whether the tags of ``entry`` are live; a soft invalidation leaves only its stale windows.

        Args:
            entry: The entry.
            current: Returns the stamp under a key; left out: looks into the process-local store.
        """
        verdict = liveness(entry.stamps, current or self._local)
        return verdict is Liveness.LIVE or (verdict is Liveness.SOFT and _soften(entry))

    def in_data(self, raw: Mapping[str, bytes], keys: Iterable[str]) -> Callable[[str], str | None]:
        """Return a function that finds the stamps under ``keys`` in what was read."""
        return {key: stamp for key in keys if (stamp := self.read_from(raw, key)) is not None}.get

    def _local(self, key: str) -> str | None:
        entry = None if self._access.local is None else self._access.local.get_entry(key)
        return None if entry is None else entry.value

    def read_from(self, raw: Mapping[str, bytes], key: str) -> str | None:
        """Return the stamp under ``key`` in what was read."""
        data = raw.get(key)
        if data is None:
            return None
        known = self._known.get(key)
        if known is not None and known[0] == data:
            return known[1]
        entry = self._access.unpack(data, key)
        if entry is None:
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        stamp = stamp_in(entry)
        self._known[key] = (data, stamp)
        return stamp

    # -- for new entries ----------------------------------------------------------------------------

    async def for_entry(
        self, tags: Iterable[str], read: Mapping[str, bytes] | None = None
    ) -> tuple[Stamp, ...] | None:
        """Return the stamps an entry with ``tags`` has to carry; read them before computing its value.

        None if the store cannot tell: then the value must not be stored.

        Args:
            tags: The tags.
            read: What was read of them just now; None: read them.
        """
        hard = (*self.generations, *self.keys(tags))
        if not hard:
            return ()
        keys = stamp_keys(hard)
        if self._access.local is not None:
            found = {key: self._local(key) or self._plant_local(key) for key in keys}
        else:
            raw = await self._access.read(keys) if read is None else read
            found = {key: self.read_from(raw, key) or await self._plant(key) for key in keys}
            if random.random() < _RENEWAL:
                await self._renew(keys)
        known = {key: stamp for key, stamp in found.items() if stamp is not None}
        return stamps_of(hard, known) if len(known) == len(keys) else None

    async def common(self) -> str | None:
        """Return the common stamp, another one after a tag was invalidated; None: the store cannot tell."""
        if self._access.local is not None:
            return self._local(self._common) or self._plant_local(self._common)
        raw = await self._access.read((self._common,))
        return self.read_from(raw, self._common) or await self._plant(self._common)

    def _plant_local(self, key: str) -> str | None:
        entry = new_stamp(key, self._access.clock())
        local = self._access.local
        return stamp_in(entry) if local is not None and local.set_entry(entry) else None

    async def _plant(self, key: str) -> str | None:
        """Store a fresh stamp unless somebody else just did; return the one in force."""
        access = self._access
        entry = new_stamp(key, access.clock())
        data = access.pack(entry)
        if access.adding is None:
            planted = await access.attempt(
                "set", key, accepted(access.backend.set(key, data, STAMP_TTL)), None
            )
            return stamp_in(entry) if planted else None
        if await access.attempt("add", key, access.adding.add(key, data, STAMP_TTL), False):
            return stamp_in(entry)
        raw = await access.read((key,))
        stamp = self.read_from(raw, key)
        if stamp is not None or key not in raw:
            return stamp
        # Damaged, or sealed with a key that is gone: whatever carries it is dead, and the next must not be.
        await access.delete(key)
        planted = await access.attempt("add", key, access.adding.add(key, data, STAMP_TTL), False)
        return stamp_in(entry) if planted else None

    async def _renew(self, keys: Iterable[str]) -> None:
        """Keep the stamps for longer.

        Only their time to live: writing them could revive what was invalidated.
        """
        touching = self._access.touching
        if touching is not None:
            for key in keys:
                await self._access.attempt("touch", key, touching.touch(key, STAMP_TTL), False)

    # -- invalidating -------------------------------------------------------------------------------

    async def invalidate(self, tags: Sequence[str], *, soft: bool) -> bool:
        """Delete the stamps of ``tags``; False if the store failed."""
        access, hard = self._access, self.keys(tags)
        # The common one goes first: who finds it unchanged has planted stamps that are deleted after it.
        told = await access.delete_all((self._common,))
        removed = await access.delete_all([soft_key(key) for key in hard] if soft else hard)
        return told is not None and removed is not None

    async def next_generation(self) -> bool:
        """Make every entry of the namespace and its children unreachable; False if the store failed."""
        return await self._access.delete_all((self._prefix,)) is not None


def _soften(entry: Entry) -> bool:
    """Leave ``entry`` nothing but its stale windows; False if it has none."""
    fresh_until, created = entry.fresh_until, entry.created
    if entry.stale_until <= fresh_until and entry.error_until <= fresh_until:
        return False
    if entry.stale_until <= fresh_until:
        entry.stale_until = min(entry.stale_until, created)
    if entry.error_until <= fresh_until:
        entry.error_until = min(entry.error_until, created)
    entry.fresh_until = min(fresh_until, created)
    return True
