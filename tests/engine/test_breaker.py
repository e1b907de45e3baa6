from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from asynccache._engine.breaker import JITTER, Breaker, Circuit


def breaker(failures: int = 3, seconds: float = 10.0, draw: Callable[[], float] = lambda: 0.5) -> Breaker:
    return Breaker(failures, seconds, patience=30.0, draw=draw)


def enter(it: Breaker, now: float) -> int:
    ticket = it.enter(now)
    assert ticket is not None
    return ticket


def circuit(it: Breaker) -> Circuit:
    return it.circuit


def opened(at: float = 0.0) -> Breaker:
    it = breaker()
    for _ in range(3):
        it.failed(enter(it, at), at)
    return it


def test_opens_after_failures_in_a_row_only() -> None:
    """A success in between starts the count anew."""
    it = breaker()
    for succeeds in (False, False, True, False, False):
        ticket = enter(it, 0.0)
        if succeeds:
            it.succeeded(ticket)
        else:
            it.failed(ticket, 0.0)
    assert circuit(it) is Circuit.CLOSED
    it.failed(enter(it, 0.0), 0.0)
    assert circuit(it) is Circuit.OPEN
    assert it.enter(0.0) is None
    assert it.enter(9.999) is None
    assert it.wait(4.0) == 6.0


def test_one_probe_at_a_time() -> None:
    """After the open period one operation is let through, and no other until it has reported."""
    it = opened()
    probe = enter(it, 10.0)
    assert circuit(it) is Circuit.PROBING
    assert it.enter(10.0) is None
    it.succeeded(probe)
    assert repr(it) == "<Breaker closed>"
    assert it.wait(10.0) == 0.0
    assert it.enter(10.0) is not None


def test_a_failed_probe_opens_the_circuit_again() -> None:
    """One failure is enough while probing."""
    it = opened()
    it.failed(enter(it, 10.0), 10.0)
    assert it.enter(19.9) is None
    assert it.enter(20.0) is not None


def test_stragglers_from_before_count_for_nothing() -> None:
    """An operation that began before the circuit opened neither closes nor prolongs it."""
    it = breaker()
    old = enter(it, 0.0)
    for _ in range(3):
        it.failed(enter(it, 0.0), 0.0)
    it.succeeded(old)
    assert circuit(it) is Circuit.OPEN
    it.failed(old, 9.0)
    it.abstained(old, 9.0)
    assert it.enter(10.0) is not None


def test_a_probe_that_learned_nothing_makes_room_for_the_next() -> None:
    """A probe that ended for reasons of its own leaves the circuit as it was."""
    it = opened()
    it.abstained(enter(it, 10.0), 10.5)
    assert circuit(it) is Circuit.OPEN
    it.succeeded(enter(it, 10.5))
    assert circuit(it) is Circuit.CLOSED
    it.abstained(enter(it, 10.5), 10.5)
    assert circuit(it) is Circuit.CLOSED


def test_a_lost_probe_is_given_up() -> None:
    """A probe that never reports (its loop was closed) does not keep the circuit shut for ever."""
    it = opened()
    lost = enter(it, 10.0)
    assert it.enter(39.9) is None
    second = enter(it, 40.0)
    it.failed(lost, 40.0)
    assert circuit(it) is Circuit.PROBING
    it.succeeded(second)
    assert circuit(it) is Circuit.CLOSED


@pytest.mark.parametrize("draw,seconds", [(0.0, 10 * (1 - JITTER)), (1.0, 10 * (1 + JITTER))])
def test_open_periods_vary(draw: float, seconds: float) -> None:
    """Many processes do not probe at the same instant."""
    it = breaker(1, 10.0, lambda: draw)
    it.failed(enter(it, 0.0), 0.0)
    assert it.wait(0.0) == pytest.approx(seconds)


@given(
    st.lists(st.tuples(st.sampled_from(["enter", "ok", "fail", "nothing"]), st.floats(0, 15)), max_size=80)
)
def test_it_never_locks_up(steps: list[tuple[str, float]]) -> None:
    """Whatever is reported in whatever order: at most one probe is out, and time alone lets one through."""
    it, now = breaker(), 0.0
    tickets: list[int] = []
    for action, number in steps:
        now += number
        if action == "enter":
            was = it.circuit
            ticket = it.enter(now)
            if ticket is not None:
                tickets.append(ticket)
                assert was is Circuit.CLOSED or circuit(it) is Circuit.PROBING
        elif tickets:
            ticket = tickets.pop(int(number) % len(tickets))
            if action == "ok":
                it.succeeded(ticket)
            elif action == "fail":
                it.failed(ticket, now)
            else:
                it.abstained(ticket, now)
    assert it.enter(now + 31.0) is not None


def test_silence_opens_at_once() -> None:
    """A store that has said nothing for a whole deadline is not asked four times more."""
    breaker = Breaker(5, 2.0, draw=lambda: 0.5)
    ticket = breaker.enter(0.0)
    assert ticket is not None
    breaker.failed(ticket, 1.0, silent=True)
    assert breaker.circuit is Circuit.OPEN
    assert breaker.enter(2.9) is None
    assert breaker.enter(3.0) is not None
