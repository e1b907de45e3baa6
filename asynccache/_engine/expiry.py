"""What an entry is still good for, and how long a new one lives. Pure: ``now`` is a parameter.

Three ends, each in seconds since the epoch, are written into every entry::

    created ───────────── fresh_until ──────── stale_until ──────── error_until
            FRESH (EARLY)              STALE                ERROR_ONLY          DEAD

``stale_until`` and ``error_until`` both count from ``fresh_until``; either may come first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf, log
from random import random
from typing import Final

from asynccache._engine.entry import Entry
from asynccache.policy import CachePolicy, Default, seconds

__all__ = ["CLOCK_TOLERANCE", "Freshness", "Lifetime", "age", "is_fresh", "judge", "store_ttl"]

CLOCK_TOLERANCE: Final = 60.0
"""Seconds by which the clocks of two machines may differ.

An entry from further in the future is dead: where a clock was stepped back, nobody knows for how much
longer it would be served.
"""

_SMALLEST_DRAW: Final = 2.0**-53
"""The smallest positive number `random.random` returns."""
_FURTHEST: Final = 37.0
"""-ln of it, rounded up: no draw reaches further ahead than this many times ``compute_time * beta``."""
_SHORTEST_TTL: Final = 0.001


class Freshness(Enum):
    """What an entry is good for."""

    FRESH = "fresh"
    """Serve it."""
    EARLY = "early"
    """Serve it, and refresh it in the background although it is still fresh."""
    STALE = "stale"
    """Serve it, and refresh it in the background (stale-while-revalidate)."""
    ERROR_ONLY = "error_only"
    """Serve it only if computing a new value fails or takes too long (stale-if-error)."""
    DEAD = "dead"
    """Of no use to anyone."""


def judge(entry: Entry, now: float, beta: float = 0.0, draw: Callable[[], float] = random) -> Freshness:
    """Return what ``entry`` is good for.

    Early refresh is XFetch (Vattani, Chierichetti, Lowenstein, PVLDB 8(8), 2015): each reader of a fresh
    entry pretends, at random, to be a little ahead of its time; the longer the value takes to compute
    and the nearer its expiry, the likelier that one of them refreshes it before it expires for all.

    Args:
        entry: The entry.
        now: Seconds since the epoch.
        beta: XFetch's beta; 0 switches early refresh off, 1 is optimal.
        draw: Returns a random number in [0, 1); called only when the expiry is within reach.
    """
    # Written so that a NaN in a damaged entry fails every comparison and ends as DEAD.
    if not entry.created - CLOCK_TOLERANCE <= now:
        return Freshness.DEAD
    fresh_until = entry.fresh_until
    if now < fresh_until:
        if beta > 0.0:
            reach = entry.compute_time * beta
            if (
                now + reach * _FURTHEST >= fresh_until
                and now - reach * log(draw() or _SMALLEST_DRAW) >= fresh_until
            ):
                return Freshness.EARLY
        return Freshness.FRESH
    if now < entry.stale_until:
        return Freshness.STALE
    if now < entry.error_until:
        return Freshness.ERROR_ONLY
    return Freshness.DEAD


def is_fresh(entry: Entry, now: float) -> bool:
    """Return whether ``entry`` may be served as it is."""
    return judge(entry, now) is Freshness.FRESH


def age(entry: Entry, now: float) -> float:
    """Return the seconds since ``entry`` was created; 0 if that is in the future or not known (a counter)."""
    return max(now - entry.created, 0.0) if entry.created > -inf else 0.0


def store_ttl(entry: Entry, now: float) -> float | None:
    """Return the seconds after which a store may drop ``entry``; None for never.

    Rounded to milliseconds, so that entries of one policy get the same figure and can be written in
    one batch. At least a millisecond, since a store takes no shorter one.
    """
    remaining = entry.expires - now
    return None if remaining == inf else max(round(remaining, 3) if remaining > 0.0 else 0.0, _SHORTEST_TTL)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The part of a `CachePolicy` that concerns time, as plain seconds."""

    ttl: float
    """Infinite for "until invalidated"."""
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    beta: float = 0.0
    jitter: float = 0.0
    soft_timeout: float | None = None

    simple: bool = field(init=False, repr=False, compare=False)
    """Whether a value is fresh until it is of no use at all, and never refreshed before."""

    def __post_init__(self) -> None:
        """Look once at what most lifetimes do not have."""
        more = self.stale_while_revalidate or self.stale_if_error or self.beta
        object.__setattr__(self, "simple", not more)

    @classmethod
    def plain(cls, ttl: float | None) -> Lifetime:
        """Return the lifetime of a value that is fresh for ``ttl`` seconds (None: for ever), then dead."""
        return cls(inf if ttl is None else float(ttl))

    @classmethod
    def of(cls, policy: CachePolicy, default_ttl: float | None) -> Lifetime:
        """Return what ``policy`` means in a cache whose own ttl is ``default_ttl`` (None: no expiry)."""
        ttl = default_ttl if isinstance(policy.ttl, Default) else policy.fresh_for
        return cls(
            inf if ttl is None else float(ttl),
            seconds(policy.stale_while_revalidate, "stale_while_revalidate", zero=True),
            seconds(policy.stale_if_error, "stale_if_error", zero=True),
            float(policy.early_refresh),
            float(policy.jitter),
            None if policy.soft_timeout is None else seconds(policy.soft_timeout, "soft_timeout"),
        )

    def spans(self, now: float, draw: Callable[[], float] = random) -> tuple[float, float, float]:
        """Return ``fresh_until``, ``stale_until`` and ``error_until`` of a value created ``now``.

        Jitter only ever shortens the fresh part: a value is never served for longer than was asked for.
        """
        ttl = self.ttl
        if self.jitter and ttl != inf:
            ttl *= 1.0 - self.jitter * draw()
        fresh_until = now + ttl
        return fresh_until, fresh_until + self.stale_while_revalidate, fresh_until + self.stale_if_error
