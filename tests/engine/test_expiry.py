from __future__ import annotations

import random
from datetime import timedelta
from math import inf, nan

import pytest
from hypothesis import given, strategies as st

from asynccache._engine.entry import Entry
from asynccache._engine.expiry import CLOCK_TOLERANCE, Freshness, Lifetime, judge, store_ttl
from asynccache.policy import CachePolicy

NOW = 1_700_000_000.0


def entry(
    fresh: float = 60.0, stale: float = 0.0, error: float = 0.0, *, created: float = NOW, compute: float = 0.0
) -> Entry:
    until = created + fresh
    return Entry("k", b"v", "raw", created, until, until + stale, until + error, compute)


def no_draw() -> float:
    raise AssertionError("a random number was drawn")


@pytest.mark.parametrize(
    "after,expected",
    [
        (0.0, Freshness.FRESH),
        (59.999, Freshness.FRESH),
        (60.0, Freshness.STALE),
        (69.999, Freshness.STALE),
        (70.0, Freshness.ERROR_ONLY),
        (89.999, Freshness.ERROR_ONLY),
        (90.0, Freshness.DEAD),
    ],
)
def test_every_span_ends_exactly_when_it_says(after: float, expected: Freshness) -> None:
    """The end of a span belongs to the next one: a value is never served at its expiry."""
    assert judge(entry(60, 10, 30), NOW + after) is expected


def test_without_windows_an_expired_entry_is_dead() -> None:
    """No stale window unless the policy gave one."""
    assert judge(entry(60), NOW + 60) is Freshness.DEAD


def test_an_entry_from_the_future_is_dead() -> None:
    """A clock that was stepped back does not lengthen lives by more than the tolerance."""
    assert judge(entry(), NOW - CLOCK_TOLERANCE) is Freshness.FRESH
    assert judge(entry(), NOW - CLOCK_TOLERANCE - 0.001) is Freshness.DEAD
    assert judge(entry(stale=1000, error=1000), NOW - 3600) is Freshness.DEAD


def test_a_killed_entry_is_dead() -> None:
    """What a process-local store dropped is useless to whoever still holds it."""
    killed = entry(inf, inf, inf)
    killed.kill()
    assert judge(killed, NOW) is Freshness.DEAD


def test_an_entry_without_expiry_is_always_fresh() -> None:
    """Infinite stays infinite, early refresh or not."""
    assert judge(entry(inf, compute=10.0), NOW + 1e9, beta=1.0, draw=no_draw) is Freshness.FRESH


@pytest.mark.parametrize("field", ["created", "fresh_until"])
def test_not_a_number_is_dead(field: str) -> None:
    """Damaged times never make a value servable."""
    damaged = entry()
    setattr(damaged, field, nan)
    damaged.stale_until = damaged.error_until = nan
    assert judge(damaged, NOW) is Freshness.DEAD


def test_far_from_its_expiry_no_random_number_is_drawn() -> None:
    """XFetch costs nothing while even the luckiest draw could not reach the expiry."""
    assert judge(entry(60, compute=1.0), NOW + 22, beta=1.0, draw=no_draw) is Freshness.FRESH
    assert judge(entry(60, compute=1.0), NOW + 59, beta=0.0, draw=no_draw) is Freshness.FRESH


def test_early_refresh_follows_the_formula() -> None:
    """EARLY iff now - delta * beta * ln(draw) >= expiry."""
    slow = entry(60, compute=2.0)
    assert judge(slow, NOW + 58, beta=1.0, draw=lambda: 0.36) is Freshness.EARLY  # -2 ln .36 = 2.04
    assert judge(slow, NOW + 58, beta=1.0, draw=lambda: 0.37) is Freshness.FRESH  # -2 ln .37 = 1.99
    assert judge(slow, NOW + 58, beta=0.5, draw=lambda: 0.36) is Freshness.FRESH
    assert judge(slow, NOW + 58, beta=1.0, draw=lambda: 0.0) is Freshness.EARLY


def test_early_refreshes_come_as_often_as_the_exponential_says() -> None:
    """One compute time before the expiry a reader refreshes with probability 1/e."""
    draw = random.Random(1).random
    early = sum(judge(entry(60, compute=1.0), NOW + 59, 1.0, draw) is Freshness.EARLY for _ in range(20_000))
    assert early / 20_000 == pytest.approx(0.3679, abs=0.02)


@given(
    fresh=st.floats(0.001, 1e9),
    stale=st.floats(0, 1e6),
    error=st.floats(0, 1e6),
    after=st.floats(-1e6, 2e9),
    compute=st.floats(0, 1e3),
    beta=st.floats(0, 10),
)
def test_nothing_is_served_after_its_last_end(
    fresh: float, stale: float, error: float, after: float, compute: float, beta: float
) -> None:
    """Whatever the policy: dead at the latest end, and usable for nobody but as the spans say."""
    it, now = entry(fresh, stale, error, compute=compute), NOW + after
    verdict = judge(it, now, beta)
    if now >= it.expires:
        assert verdict is Freshness.DEAD
    if verdict in {Freshness.FRESH, Freshness.EARLY}:
        assert now < it.fresh_until
    if verdict is Freshness.STALE:
        assert it.fresh_until <= now < it.stale_until


def test_lifetime_of_a_policy() -> None:
    """Every field of the policy that concerns time becomes plain seconds."""
    policy = CachePolicy(
        ttl=timedelta(minutes=1),
        stale_while_revalidate=10,
        stale_if_error=timedelta(seconds=30),
        early_refresh=1,
        jitter=0.1,
        soft_timeout=2,
    )
    assert Lifetime.of(policy, 300.0) == Lifetime(60.0, 10.0, 30.0, 1.0, 0.1, 2.0)


def test_lifetime_takes_the_default_only_where_the_policy_names_none() -> None:
    """Left out means the cache's default; None means no expiry, in either place."""
    assert Lifetime.of(CachePolicy(), 300.0).ttl == 300.0
    assert Lifetime.of(CachePolicy(), None).ttl == inf
    assert Lifetime.of(CachePolicy(ttl=None), 300.0).ttl == inf
    assert Lifetime.plain(5).ttl == 5.0
    assert Lifetime.plain(None).ttl == inf


def test_spans_without_jitter_draw_nothing() -> None:
    """The stale windows count from the end of freshness."""
    assert Lifetime(60.0, 10.0, 30.0).spans(NOW, no_draw) == (NOW + 60, NOW + 70, NOW + 90)


def test_spans_of_an_endless_life() -> None:
    """Jitter does not turn infinity into something else."""
    assert Lifetime(inf, 10.0, 30.0, jitter=1.0).spans(NOW, lambda: 1.0) == (inf, inf, inf)


@given(ttl=st.floats(0.001, 1e8), jitter=st.floats(0, 1), draw=st.floats(0, 1))
def test_jitter_only_shortens(ttl: float, jitter: float, draw: float) -> None:
    """A value never lives longer than was asked for, and never ends before it began."""
    fresh_until, stale_until, error_until = Lifetime(ttl, 5.0, 7.0, jitter=jitter).spans(NOW, lambda: draw)
    assert NOW <= fresh_until <= NOW + ttl
    assert (stale_until, error_until) == (fresh_until + 5.0, fresh_until + 7.0)


def test_a_store_keeps_an_entry_until_its_last_end() -> None:
    """The store's ttl covers the stale windows, in whole milliseconds; None where there is no end."""
    assert store_ttl(entry(60, 10, 30), NOW) == 90.0
    assert store_ttl(entry(60, 10, 30), NOW + 0.25) == 89.75
    assert store_ttl(entry(1.23456), NOW) == 1.235
    assert store_ttl(entry(inf), NOW) is None


def test_a_store_is_never_told_a_ttl_it_would_refuse() -> None:
    """An entry that is already useless gets the shortest ttl there is."""
    assert store_ttl(entry(60), NOW + 60) == 0.001
    killed = entry()
    killed.kill()
    assert store_ttl(killed, NOW) == 0.001
