"""What becomes of what is under a key: the operations that depend on what is there. Pure.

Each takes the record that is there and ``now``, and returns what its caller is told, and the record that
is to take the other's place: None leaves it as it is, `NOTHING` removes it. The record is replaced only if
it is still the same one (``gets`` and ``cas``); else the decision is made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import TypeVar

from asynccache._engine.arguments import INT64
from asynccache.backends.memcached._records import NOTHING, Record
from asynccache.backends.memcached._requests import RefusedError

__all__ = ["Change", "acquire", "add", "fill", "incr", "release", "touch"]

T = TypeVar("T")
Change = Callable[[Record, float], tuple[T, Record | None]]
_integer = re.compile(rb"-?[0-9]{1,19}").fullmatch


def add(value: bytes, life: float) -> Change[bool]:
    """Store ``value`` for ``life`` seconds if nothing is there."""

    def change(there: Record, now: float) -> tuple[bool, Record | None]:
        if there.live(now) is not None:
            return False, None
        return True, Record(value, now + life)

    return change


def touch(life: float) -> Change[bool]:
    """Let what is there live ``life`` seconds from now on; a lease stays."""

    def change(there: Record, now: float) -> tuple[bool, Record | None]:
        if there.live(now) is None:
            return False, None
        return True, there._replace(expires=now + life)

    return change


def incr(delta: int, initial: int, life: float) -> Change[int]:
    """Add ``delta`` to an integer in decimal digits."""

    def change(there: Record, now: float) -> tuple[int, Record | None]:
        value = there.live(now)
        if value is None:
            start, expires = initial, now + life
        elif _integer(value):
            start, expires = int(value), there.expires
        else:
            raise RefusedError("not an integer")
        total = start + delta
        if not -INT64 <= total < INT64:
            raise RefusedError("the result does not fit in 64 bits")
        return total, Record(b"%d" % total, expires)

    return change


def acquire(token: bytes, life: float) -> Change[bool]:
    """Take the lease for ``life`` seconds if it is free; a value that is there stays readable."""

    def change(there: Record, now: float) -> tuple[bool, Record | None]:
        if there.leased(now):
            return False, None
        value = there.live(now)
        expires = inf if value is None else there.expires
        return True, Record(value, expires, token, now + life)

    return change


def fill(value: bytes | None, life: float, token: str) -> Change[bool]:
    """Store ``value`` and end the lease if ``token`` holds it; a value of None is one that is too large."""

    def change(there: Record, now: float) -> tuple[bool, Record | None]:
        if not there.holds(token, now):
            return False, None
        if value is None:
            return False, NOTHING
        return True, Record(value, now + life)

    return change


def release(token: str) -> Change[None]:
    """End the lease if ``token`` holds it."""

    def change(there: Record, now: float) -> tuple[None, Record | None]:
        if not there.holds(token, now):
            return None, None
        return None, NOTHING if there.live(now) is None else Record(there.value, there.expires)

    return change
