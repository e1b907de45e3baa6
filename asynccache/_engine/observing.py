"""Counting and telling: the running totals of a cache, and the observers of its events."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asynccache.events import Event
from asynccache.protocols import Observer

__all__ = ["Observers", "Tally"]

logger = logging.getLogger("asynccache")


class Tally:
    """Running totals since the cache was made."""

    __slots__ = ("computed", "failed", "hits", "invalidated", "misses", "refused", "stale_hits", "stored")

    def __init__(self) -> None:
        self.hits: int = 0
        self.stale_hits: int = 0
        self.misses: int = 0
        self.computed: int = 0
        self.stored: int = 0
        self.refused: int = 0
        self.invalidated: int = 0
        self.failed: int = 0


class Observers:
    """Calls every observer with every event; one that raises is logged and disturbs nobody."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def emit(self, event: Event) -> None:
        """Tell every observer of ``event``."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                logger.exception("an observer failed on %s", type(event).__name__)
