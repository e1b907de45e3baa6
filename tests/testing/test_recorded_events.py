"""`asynccache.testing.RecordedEvents`: an observer that remembers."""

from __future__ import annotations

from asynccache.events import Event, Failed, Hit, Invalidated, Miss, Stored
from asynccache.testing.recording import RecordedEvents

EVENTS: list[Event] = [
    Miss("a"),
    Stored("a", 3, 60.0),
    Hit("a", 0.5),
    Hit("b", 1.0, stale=True),
    Invalidated("#t"),
    Failed("get", "c", OSError("down")),
]


def recorded() -> RecordedEvents:
    """Return an observer that has seen `EVENTS`."""
    events = RecordedEvents()
    for event in EVENTS:
        events(event)
    return events


def test_keeps_every_event_in_order() -> None:
    """Iterating gives the events as they came."""
    assert list(recorded()) == EVENTS
    assert len(recorded()) == len(EVENTS)


def test_selects_by_class() -> None:
    """``of`` gives those of one class, oldest first; ``hits`` and ``misses`` are the usual two."""
    events = recorded()
    assert events.hits == events.of(Hit) == [EVENTS[2], EVENTS[3]]
    assert events.misses == events.of(Miss) == [EVENTS[0]]
    assert [failed.operation for failed in events.of(Failed)] == ["get"]


def test_forgets() -> None:
    """After ``clear`` only what follows is there: how to assert on one block."""
    events = recorded()
    events.clear()
    assert len(events) == 0
    assert events.hits == []
    events(Hit("a", 0.0))
    assert events.hits == [Hit("a", 0.0)]


def test_can_record_while_iterating() -> None:
    """Iterating is over what was there when it began."""
    events = recorded()
    for event in events:
        events(event)
    assert len(events) == 2 * len(EVENTS)


def test_shows_what_it_has_seen() -> None:
    """The representation lists the events, for the message of a failed assertion."""
    events = RecordedEvents()
    events(Miss("a"))
    assert repr(events) == "<RecordedEvents [Miss(key='a', reason='absent')]>"
