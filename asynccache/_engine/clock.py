"""The one place that reads the time. Everything else takes ``now``, or a `Clock`, as a parameter."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "stopwatch", "wall_clock"]

Clock = Callable[[], float]
"""Seconds since the epoch. Entries travel between machines, so the time in them is wall time."""

wall_clock: Clock = time.time
stopwatch: Clock = time.perf_counter
"""For durations only: never goes backwards."""
