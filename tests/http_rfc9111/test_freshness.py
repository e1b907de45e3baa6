"""Ages, and what clients are told (RFC 9111 section 4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.fields import MAX_DELTA, format_http_date
from asynccache.http._rfc9111.freshness import client_cache_control, current_age, initial_age
from asynccache.http._rfc9111.stored import StoredResponse

NOW = 1_700_000_000.0


def response(initial: float) -> StoredResponse:
    return StoredResponse(200, (), b"", b'""', shared=False, public=False, date=NOW, initial_age=initial)


@pytest.mark.parametrize(
    "age,date,delay,expected",
    [
        (None, None, 0.0, 0.0),
        (None, None, 2.0, 2.0),
        (b"10", None, 2.0, 12.0),
        (b"10", NOW - 5, 2.0, 12.0),
        (b"10", NOW - 50, 2.0, 50.0),
        (b"soon", NOW - 50, 2.0, 50.0),
        (None, NOW + 50, 2.0, 2.0),
        (None, NOW, -3.0, 0.0),
        (b"99999999999", None, 2.0, float(MAX_DELTA)),
    ],
)
def test_initial_age(age: bytes | None, date: float | None, delay: float, expected: float) -> None:
    """The greater of apparent age and corrected Age counts, exactly as section 4.2.3 computes it."""
    headers = [(b"Age", age)] if age is not None else []
    if date is not None:
        headers.append((b"Date", format_http_date(date)))

    assert initial_age(headers, NOW - delay, NOW) == expected


def test_an_invalid_date_is_none() -> None:
    """A Date that is no date counts as the time of receipt."""
    assert initial_age([(b"date", b"yesterday")], NOW, NOW) == 0


@pytest.mark.parametrize(
    "initial,resident,expected",
    [(0.0, 0.0, 0), (0.0, 0.999, 0), (1.5, 1.5, 3), (2.0, -60.0, 2), (0.0, 1e12, MAX_DELTA)],
)
def test_current_age(initial: float, resident: float, expected: int) -> None:
    """Age is what it was on receipt and the time since, in whole seconds, whatever the clock does."""
    assert current_age(response(initial), NOW, NOW + resident) == expected


@given(st.floats(0, 1e6), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_age_is_never_negative(initial: float, created: float, now: float) -> None:
    """No pair of clocks gives a negative Age, which would be an invalid field."""
    assert current_age(response(initial), created, now) >= 0


@pytest.mark.parametrize(
    "ttl,public,expected",
    [
        (60.0, True, b"public, max-age=60"),
        (60.9, False, b"private, max-age=60"),
        (0.0, False, b"private, max-age=0"),
        (None, False, b"private, no-cache"),
        (None, True, b"public, no-cache"),
        (1e300, True, b"public, max-age=2147483648"),
    ],
)
def test_what_clients_are_told(ttl: float | None, public: bool, expected: bytes) -> None:
    """Clients revalidate unless the policy gives them time, and share only what is public."""
    assert client_cache_control(ttl, public, False) == expected


@pytest.mark.parametrize("public", [True, False])
def test_the_applications_own_word_stands(public: bool) -> None:
    """A Cache-Control the application set is never replaced."""
    assert client_cache_control(60.0, public, True) is None
