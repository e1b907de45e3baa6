"""Tags: names that many entries share and one operation invalidates.

A tag is a key that holds a random stamp. An entry carries the stamps of its tags as they were before its
value was computed and is live only while they match. To invalidate a tag is to delete its stamp: O(1) on
every store, whatever the number of entries; an evicted stamp invalidates too, and since stamps are random
none ever comes back. A second key, the soft stamp, makes entries stale instead of dead.

A third key, the common stamp, is deleted with every tag, whichever: who learns only from a value which tags
it has finds out there whether it is too late for them.

In a store that cannot clear by prefix, each namespace has a stamp of its own under the empty name, which
every entry carries beside its tags': clearing deletes that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from math import inf
from typing import Final

from asynccache._engine.entry import Entry

__all__ = [
    "STAMP_TTL",
    "Liveness",
    "Stamp",
    "common_key",
    "liveness",
    "needed_stamps",
    "new_stamp",
    "soft_key",
    "stamp_in",
    "stamp_keys",
    "stamps_of",
]

STAMP_TTL: Final = 30 * 86400.0
"""Seconds a store keeps a stamp that nobody renews; entries that carry it die with it."""

Stamp = tuple[str, str, str]
"""(full key of the tag, its stamp, its soft stamp; "" where it has none)"""


class Liveness(Enum):
    """What an entry's tags say of it."""

    LIVE = "live"
    SOFT = "soft"
    """Invalidated softly: stale at best."""
    DEAD = "dead"


def soft_key(hard: str) -> str:
    """Return the key of the soft stamp beside the stamp ``hard``, "" for a namespace's own stamp."""
    return "" if hard[-1] == "#" else hard.replace("#", "~", 1)  # no segment of a namespace contains one


def common_key(tag_prefix: str) -> str:
    """Return the key of the common stamp of a namespace's tags: that of the soft stamp of no tag."""
    return tag_prefix[:-1] + "~"


def stamp_keys(hard_keys: Iterable[str]) -> list[str]:
    """Return every key that must be read to know the stamps of ``hard_keys``."""
    return [key for hard in hard_keys for key in (hard, soft_key(hard)) if key]


def liveness(stamps: Iterable[Stamp], current: Callable[[str], str | None]) -> Liveness:
    """Compare an entry's stamps with those in force now; ``current`` returns the stamp under a key."""
    verdict = Liveness.LIVE
    for hard, stamp, soft in stamps:
        if current(hard) != stamp:
            return Liveness.DEAD
        if soft and current(soft_key(hard)) != soft:
            verdict = Liveness.SOFT
    return verdict


def stamps_of(hard_keys: Iterable[str], found: Mapping[str, str]) -> tuple[Stamp, ...]:
    """Return what an entry with the tags ``hard_keys`` is to carry, from all their stamps."""
    return tuple((hard, found[hard], found[soft] if (soft := soft_key(hard)) else "") for hard in hard_keys)


def new_stamp(key: str, now: float) -> Entry:
    """Return an entry holding a fresh stamp for ``key``. Its expiry is the store's business alone."""
    stamp = secrets.token_hex(8)
    return Entry(key, stamp.encode(), "raw", now, inf, inf, inf, value=stamp)


def stamp_in(entry: Entry) -> str:
    """Return the stamp in an entry made by `new_stamp`."""
    return entry.payload.decode("ascii", "replace")


def needed_stamps(entries: Iterable[Entry]) -> list[str]:
    """Return the keys of all the stamps that decide whether ``entries`` are live."""
    return stamp_keys(dict.fromkeys(stamp[0] for entry in entries for stamp in entry.stamps))
