"""`asynccache.testing.FakeClock`: time that passes when a test says so."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from asynccache.errors import ConfigurationError
from asynccache.testing.clock import FakeClock


def test_stands_still() -> None:
    """Reading the clock does not move it."""
    clock = FakeClock(5.0)
    assert [clock(), clock(), clock()] == [5.0, 5.0, 5.0]


def test_starts_at_a_realistic_time() -> None:
    """The default start is in this century, so that arithmetic on it rounds as it does in production."""
    assert FakeClock()() == 1_700_000_000.0


def test_advances_by_seconds_and_timedeltas() -> None:
    """Seconds and timedeltas both move it, and the new time is returned."""
    clock = FakeClock(1000)
    assert clock.advance(1.5) == 1001.5
    assert clock.advance(timedelta(milliseconds=500)) == 1002.0
    assert clock.advance(0) == clock() == 1002.0


@pytest.mark.parametrize("ttl", [0.001, 0.1, 1 / 3, 60, 2_678_400, 315_360_000.7])
def test_lands_on_the_expiry(ttl: float) -> None:
    """Advancing by a time to live gives bit for bit what ``now + ttl`` gives."""
    clock = FakeClock()
    clock.advance(0.1)
    expiry = clock() + ttl
    assert clock.advance(ttl) == expiry


@pytest.mark.parametrize(
    "wrong", [-0.001, math.nan, math.inf, -math.inf, True, "1", None, timedelta(seconds=-1), 10**400]
)
def test_refuses_to_advance_by_nonsense(wrong: object) -> None:
    """A negative, NaN, infinite or non-numeric advance raises and leaves the time alone."""
    clock = FakeClock(7.0)
    with pytest.raises(ConfigurationError, match="duration"):
        clock.advance(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert clock() == 7.0


def test_refuses_to_overflow() -> None:
    """An advance beyond what a float can hold raises instead of making the time infinite."""
    clock = FakeClock(1.7e308)
    with pytest.raises(ConfigurationError, match="resulting time"):
        clock.advance(1.7e308)


def test_steps_back() -> None:
    """``set`` moves it anywhere, backwards included."""
    clock = FakeClock(100.0)
    clock.set(40)
    assert clock() == 40.0
    assert isinstance(clock(), float)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, True, "1", None])
def test_refuses_a_time_that_is_none(wrong: object) -> None:
    """``start`` and ``set`` take finite numbers only."""
    with pytest.raises(ConfigurationError, match="start"):
        FakeClock(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="now"):
        FakeClock().set(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_shows_its_time() -> None:
    """The representation tells the time."""
    assert repr(FakeClock(2.5)) == "<FakeClock 2.5>"
