"""`Coder`: whoever reads gets a value of their own, unless nobody can change it."""

from __future__ import annotations

import logging
from math import inf
from typing import Any
from uuid import UUID

import pytest

from asynccache import CodecError
from asynccache._engine.coding import Coder
from asynccache._engine.entry import COUNTER, MISSING, Entry
from asynccache._engine.expiry import Lifetime
from asynccache.events import Refused
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import ThreeMethods, local, over

TTL = Lifetime.plain(60)


@pytest.fixture
def coder() -> Coder:
    return local(FakeClock(start=100.0)).coder


def test_entries(coder: Coder) -> None:
    """An entry is created now and lives as long as it is told."""
    entry = coder.entry("k", {"a": 1}, Lifetime(10, 5, 20), (("#t", "1", "2"),), 0.5)
    assert (entry.key, entry.created, entry.fresh_until, entry.stale_until, entry.error_until) == (
        "k", 100.0, 110.0, 115.0, 130.0,
    )  # fmt: skip
    assert (entry.compute_time, entry.stamps) == (0.5, (("#t", "1", "2"),))
    assert coder.entry("k", 1, Lifetime.plain(None)).expires == inf


@pytest.mark.parametrize(
    "value, lifetime, stamps, counter",
    [
        (5, TTL, (), True),
        (-(2**63), TTL, (), True),
        (2**63, TTL, (), False),
        (True, TTL, (), False),
        (5.0, TTL, (), False),
        (5, TTL, (("#t", "1", "2"),), False),
        (5, Lifetime(10, stale_while_revalidate=1), (), False),
        (5, Lifetime(10, stale_if_error=1), (), False),
        (5, Lifetime(10, beta=1.0), (), False),
        (5, Lifetime(10, jitter=0.5), (), True),
    ],
)
def test_counters(coder: Coder, value: Any, lifetime: Lifetime, stamps: Any, counter: bool) -> None:
    """A number is a counter only if its entry needs no header: for tags, stale windows, early refresh."""
    entry = coder.entry("k", value, lifetime, stamps)
    assert (entry.codec == COUNTER) is counter
    assert coder.value_of(entry) == value


def test_no_counters_without_incr() -> None:
    """Where the store cannot count, numbers are values like any other."""
    bare = over(ThreeMethods(FakeClock()), FakeClock()).coder
    assert bare.entry("k", 5, TTL).codec != COUNTER


def test_immutable_values_are_kept(coder: Coder) -> None:
    """The first type asked for stays; another is decoded anew each time."""
    entry = coder.entry("k", UUID(int=1), TTL)
    first = coder.value_of(entry, UUID)
    assert coder.value_of(entry, UUID) is first
    assert coder.value_of(entry) == str(first)
    assert entry.value is first
    assert entry.value_type is UUID


def test_mutable_values_are_not(coder: Coder) -> None:
    """Each reader gets its own."""
    entry = coder.entry("k", [1], TTL)
    assert coder.value_of(entry) is not coder.value_of(entry)
    assert entry.value is MISSING


def test_what_does_not_decode(coder: Coder, caplog: pytest.LogCaptureFixture) -> None:
    """It is MISSING and logged, without its value."""
    with caplog.at_level(logging.WARNING, "asynccache"):
        assert coder.value_of(coder.entry("k", "s3cret", TTL), int) is MISSING
        assert coder.value_of(Entry("k", b"\xff\xff", "msgpack", 0, 1, 1, 1)) is MISSING
        assert coder.value_of(Entry("k", b"x", "unheard of", 0, 1, 1, 1)) is MISSING
    assert len(caplog.records) == 3
    assert "s3cret" not in caplog.text


def test_what_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """An error to who sets it; for a computed value an event, a log entry and no entry."""
    events = RecordedEvents()
    coder = local(FakeClock(), observers=[events]).coder
    with pytest.raises(CodecError):
        coder.entry("k", object(), TTL)
    with caplog.at_level(logging.WARNING, "asynccache"):
        assert coder.entry_if_possible("k", object(), TTL, (), 0.0) is None
    assert list(events) == [Refused("k", "unencodable")]
    assert "cannot cache k" in caplog.text


def test_copies(coder: Coder) -> None:
    """What may be shared, or cannot be written, has none."""
    assert coder.copy_of("k", (1, "a")) is None
    assert coder.copy_of("k", [object()]) is None
    copy = coder.copy_of("k", [1])
    assert copy is not None
    assert coder.value_of(copy) == [1]
