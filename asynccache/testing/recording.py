"""`RecordedEvents`: an observer that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from asynccache.events import Computed, Event, Failed, Hit, Invalidated, Miss, Refused, Stored

__all__ = ["RecordedEvents"]

E = TypeVar("E", Hit, Miss, Computed, Stored, Refused, Invalidated, Failed)


class RecordedEvents:
    """Every event in order; give it to ``CacheConfig(observers=[...])`` and assert on it.

        >>> events = RecordedEvents()
        >>> events(Miss("user:42"))
        ... events(Hit("user:42", age=0.5))
        >>> events.hits
        [Hit(key='user:42', age=0.5, stale=False)]
        >>> len(events.of(Miss)), len(events)
        (1, 2)

    To look at one block only, call `clear` before it.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Remember ``event``."""
        self._events.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<RecordedEvents {self._events!r}>"

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of class ``kind``, oldest first."""
        return [event for event in self._events if isinstance(event, kind)]

    @property
    def hits(self) -> list[Hit]:
        """The values found and served."""
        return self.of(Hit)

    @property
    def misses(self) -> list[Miss]:
        """The look-ups that found nothing usable."""
        return self.of(Miss)

    def clear(self) -> None:
        """Forget everything."""
        self._events.clear()
