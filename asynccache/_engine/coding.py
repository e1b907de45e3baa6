"""`Coder`: values in and out of entries. Whoever reads gets a value of their own, unless it is immutable."""

from __future__ import annotations

import logging
from typing import Any, Final

from asynccache import events
from asynccache._engine.entry import COUNTER, MISSING, Entry
from asynccache._engine.expiry import Lifetime
from asynccache._engine.store import EntryStore
from asynccache._engine.tags import Stamp
from asynccache.codecs import Serializer, is_immutable
from asynccache.errors import CodecError

__all__ = ["Coder"]

logger = logging.getLogger("asynccache")

_KEPT_BYTES: Final = 1024
"""Larger payloads are decoded for each reader: kept beside them, values would double what a store holds."""


class Coder:
    """Makes entries of values and values of entries, for one store and one serializer."""

    __slots__ = ("_clock", "_counters", "_serializer", "_store")

    def __init__(self, store: EntryStore, serializer: Serializer) -> None:
        self._store = store
        self._serializer = serializer
        self._clock = store.clock
        self._counters = store.counters

    def value_of(self, entry: Entry, type: Any = None) -> Any:
        """Return the entry's value as ``type``; MISSING, reported, if it is not one."""
        if entry.value_type is type and entry.value is not MISSING:
            return entry.value
        try:
            value = self._serializer.decode(entry.codec, entry.payload, type)
        except CodecError as error:
            logger.warning("cached value of %s is of no use: %s", entry.key, error)
            return MISSING
        if value.__class__ is dict or value.__class__ is list:
            return value
        if entry.value is MISSING and len(entry.payload) <= _KEPT_BYTES and is_immutable(value):
            # Set once: a memo of ``@cached`` relies on it that the first type to be asked for stays.
            entry.value = value
            entry.value_type = type
        return value

    def entry(
        self,
        key: str,
        value: Any,
        lifetime: Lifetime,
        stamps: tuple[Stamp, ...] = (),
        compute_time: float = 0.0,
    ) -> Entry:
        """Return a new entry of ``value``, created now.

        Raises:
            CodecError: the codec cannot write it.
        """
        # A plain decimal has no header: nowhere to write tags, or when it is stale but not yet useless.
        counters = self._counters and not stamps and lifetime.simple
        codec, payload = self._serializer.encode(value, counters=counters)
        now = self._clock()
        if lifetime.simple and not lifetime.jitter:
            fresh = stale = error = now + lifetime.ttl  # one float, not three
        else:
            fresh, stale, error = lifetime.spans(now)
        entry = Entry(key, payload, codec, now, fresh, stale, error, compute_time, stamps)
        if codec == COUNTER:
            entry.value = value  # what a store in this process counts with
        return entry

    def copy_of(self, key: str, value: Any) -> Entry | None:
        """Return ``value`` as an entry nobody stores, for callers to decode; None if they may share it."""
        if is_immutable(value):
            return None
        try:
            return self.entry(key, value, Lifetime.plain(None))
        except CodecError:
            return None

    def entry_if_possible(
        self, key: str, value: Any, lifetime: Lifetime, stamps: tuple[Stamp, ...], compute_time: float
    ) -> Entry | None:
        """Do the same for a computed value; None, reported, if the codec cannot write it.

        The caller has its value: that it cannot be cached is the developer's problem, not the request's.
        """
        try:
            return self.entry(key, value, lifetime, stamps, compute_time)
        except CodecError as error:
            logger.warning("cannot cache %s: %s", key, error)
            self._store.tally.refused += 1
            self._store.emit(events.Refused(key, "unencodable"))
            return None
