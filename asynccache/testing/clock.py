"""`FakeClock`: time that passes when a test says so."""

from __future__ import annotations

import math

from asynccache.errors import ConfigurationError
from asynccache.policy import Seconds, seconds

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that stands still until it is turned; give it to ``CacheConfig(clock=...)`` or to a backend.

    Each turn is one addition, just as a store computes ``now + ttl``: advancing by exactly a time to
    live lands exactly on the expiry, to the last bit.

        >>> clock = FakeClock(start=1000.0)
        >>> clock.advance(2.5)
        1002.5
        >>> clock()
        1002.5
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        """Stand at ``start``, in seconds since the epoch.

        Raises:
            ConfigurationError: ``start`` is not a finite number.
        """
        self._now = _point(start, "start")

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._now

    def advance(self, duration: Seconds) -> float:
        """Let ``duration`` pass (seconds or a timedelta, 0 or more) and return the new time.

        Raises:
            ConfigurationError: it is negative, NaN or infinite (a `ValueError`); to step back, use `set`.
        """
        self._now = _point(self._now + seconds(duration, "duration", zero=True), "the resulting time")
        return self._now

    def set(self, now: float) -> None:
        """Jump to ``now``, forwards or backwards, as a machine's clock does when it is corrected.

        Raises:
            ConfigurationError: ``now`` is not a finite number.
        """
        self._now = _point(now, "now")

    def __repr__(self) -> str:
        return f"<FakeClock {self._now!r}>"


def _point(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        msg = f"{name} must be a finite number of seconds since the epoch, not {value!r}"
        raise ConfigurationError(msg)
    return float(value)
