"""The wheel: everything is due after it expires, and nothing long after."""

from __future__ import annotations

from math import inf

from hypothesis import given, strategies as st

from asynccache._engine.entry import Entry
from asynccache._engine.refqueue import DEAD
from asynccache._engine.s3fifo import SMALL
from asynccache._engine.wheel import ExpiryWheel


def entry(until: float) -> Entry:
    return Entry("k", b"", "", 0.0, until, until, until, hits=SMALL)


@given(
    st.lists(st.floats(0.001, 1e7), min_size=1, max_size=50),
    st.floats(0, 1e10),
)
def test_due_after_expiry_but_soon(lifetimes: list[float], now: float) -> None:
    """No entry is taken before its expiry; every one is at most a second, or 1/64 of its life, later."""
    wheel = ExpiryWheel()
    for lifetime in lifetimes:
        wheel.push(entry(now + lifetime), now + lifetime, now)
    while wheel.due < inf:
        due = wheel.due
        for taken in wheel.take(due, 1000):
            late = due - taken.expires
            assert -1e-6 <= late <= max(1.0, (taken.expires - now) / 64) + 1e-5
        wheel.take(due, 0)
        if wheel.size == 0:
            break
    assert wheel.size == 0


def test_few_buckets_for_many_lifetimes() -> None:
    """A month of lifetimes, a second apart, needs some hundred buckets."""
    wheel = ExpiryWheel()
    for lifetime in range(1, 2_600_000, 13):
        wheel.push(entry(lifetime), lifetime, 0.0)

    assert len(wheel._heap) < 1600


def test_at_most_the_limit_at_a_time() -> None:
    """However many are due, one call answers with no more than was asked for."""
    wheel = ExpiryWheel()
    for _ in range(1000):
        wheel.push(entry(1.0), 1.0, 0.0)
    taken = [len(wheel.take(5.0, 32)) for _ in range(40)]

    assert max(taken) == 32
    assert sum(taken) == 1000


def test_the_dead_are_swept() -> None:
    """References to entries removed before their time do not stay until then."""
    wheel = ExpiryWheel()
    entries = [entry(float(i % 500 + 1000)) for i in range(5000)]
    for each in entries:
        wheel.push(each, each.expires, 0.0)
    for each in entries[100:]:
        each.hits = DEAD
    for _ in range(2000):
        wheel.sweep()

    assert wheel.size == 100
    ExpiryWheel().sweep()


@given(st.lists(st.tuples(st.floats(0.0, 3000.0), st.floats(0.001, 5000.0)), min_size=1, max_size=60))
def test_a_bucket_is_shared_only_while_it_is_narrow_enough(steps: list[tuple[float, float]]) -> None:
    """Whoever comes later with less time left, or when the clock was set back, is not put off either."""
    wheel = ExpiryWheel()
    allowed: dict[str, float] = {}
    for number, (now, left) in enumerate(steps):
        key = str(number)
        wheel.push(Entry(key, b"", "", 0.0, now + left, -inf, -inf, hits=SMALL), now + left, now)
        allowed[key] = now + left + max(1.0, left / 64) + 1e-5
    assert wheel.size == len(steps)
    while wheel.due < inf:
        due = wheel.due
        for taken in wheel.take(due, 7):
            assert taken.fresh_until - 1e-6 <= due <= allowed.pop(taken.key)

    assert not allowed


def test_what_follows_a_bucket_that_was_emptied() -> None:
    """After the clock was set back an entry may fall where the last bucket was: it is not lost."""
    wheel = ExpiryWheel()
    wheel.push(entry(10.5), 10.5, 0.0)
    assert len(wheel.take(20.0, 9)) == 1
    assert wheel.take(20.0, 9) == []
    assert wheel.push(entry(10.5), 10.5, 0.0)

    assert wheel.due == 11
