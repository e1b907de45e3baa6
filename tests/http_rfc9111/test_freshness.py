"""Ages, and what clients are told (RFC 9111 section 4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.directives import told
from asynccache.http._rfc9111.fields import MAX_DELTA, format_http_date
from asynccache.http._rfc9111.freshness import (
    client_cache_control,
    current_age,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
    only_date,
    precise_age,
    terms,
)
from asynccache.http._rfc9111.stored import StoredResponse, Terms
from asynccache.http._rfc9111.switches import Switches

NOW = 1_700_000_000.0
Fields = list[tuple[bytes, bytes]]


def at(seconds: float) -> bytes:
    """Return the date so many seconds from now."""
    return format_http_date(NOW + seconds)


def terms_of(headers: Fields, *, heuristic: bool = False) -> Terms:
    """Return what a shared cache may do with a response."""
    said, targeted = told(headers)
    return terms(said, headers, NOW, targeted=targeted, heuristic=heuristic, switches=Switches())


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


def test_an_example_of_age_arithmetic() -> None:
    """Ten seconds old in another cache, two on the way, and five with us (RFC 9111 section 4.2.3)."""
    headers = [(b"age", b"10"), (b"date", at(-11))]
    stored = response(initial_age(headers, NOW - 2, NOW))

    assert stored.initial_age == 12
    assert precise_age(stored, NOW, NOW + 5.5) == 17.5
    assert current_age(stored, NOW, NOW + 5.5) == 17
    assert precise_age(stored, NOW, NOW - 60) == 12


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([b"7200"], 7200),
        ([b"007"], 7),
        ([b"7200, 0"], 7200),
        ([b"0, 7200"], 0),
        ([b"7200", b"0"], 7200),
        ([b"", b"7200"], 7200),
        ([b"7200;a=1"], 0),
        ([b"7200.0"], 0),
        ([b"-7200"], 0),
        ([b"+7200"], 0),
        ([b'"7200"'], 0),
        ([b"7 200"], 0),
        ([b"\xb2"], 0),
        ([b"2147483649"], MAX_DELTA),
    ],
)
def test_received_ages(lines: list[bytes], expected: int) -> None:
    """The first of a list counts, garbage counts for nothing, and none overflows (section 5.1)."""
    assert initial_age([(b"age", line) for line in lines], NOW, NOW) == expected


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"max-age=60", 60),
        (b"s-maxage=60", 60),
        (b"s-maxage=10, max-age=60", 10),
        (b"max-age=10, s-maxage=60", 60),
        (b"max-age=0060", 60),
        (b'max-age="60"', 60),
        (b"MAX-AGE=60", 60),
        (b"max-age=99999999999", MAX_DELTA),
        (b"max-age=-60", 0),
        (b"max-age=60.0", 0),
        (b"max-age='60'", 0),
        (b"max-age =60", 0),
        (b"max-age= 60", 0),
        (b"max-age=6 0", 0),
        (b"max-age", 0),
        (b"max-age=", 0),
        (b"max-age=60, max-age=10", 10),
        (b"max-age=10, max-age=60", 10),
        (b"max-age=60, max-age=60", 60),
        (b"max-age=60, max-age=soon", 0),
        (b"s-maxage=soon, max-age=60", 0),
        (b"x-max-age=60", None),
        (b'a="b, max-age=60"', None),
        (b"public", None),
    ],
)
def test_stated_lifetimes(value: bytes, expected: int | None) -> None:
    """First s-maxage, then max-age; what is invalid or said twice is no fresher for it (section 4.2.1)."""
    headers = [(b"cache-control", value)]

    assert explicit_lifetime(told(headers)[0], headers, NOW, targeted=False) == expected


@pytest.mark.parametrize(
    "headers,expected",
    [
        ([(b"expires", at(60))], 60),
        ([(b"expires", at(60)), (b"date", at(0))], 60),
        ([(b"expires", at(60)), (b"date", at(-60))], 120),
        ([(b"expires", at(60)), (b"date", at(50))], 10),
        ([(b"expires", at(60)), (b"date", b"garbage")], 60),
        ([(b"expires", at(60)), (b"date", at(0)), (b"date", at(50))], 60),
        ([(b"expires", at(0))], 0),
        ([(b"expires", at(-60))], 0),
        ([(b"expires", b"Thu, 01 Dec 1994 16:00:00 GMT")], 0),
        ([(b"expires", b"Fri, 31 Dec 9999 23:59:59 GMT")], MAX_DELTA),
        ([(b"expires", b"0")], 0),
        ([(b"expires", b"")], 0),
        ([(b"expires", b"-1")], 0),
        ([(b"expires", at(60).replace(b"GMT", b"UTC"))], 0),
        ([(b"expires", at(60).lower())], 60),
        ([(b"expires", at(60)), (b"expires", at(60))], 0),
        ([(b"expires", at(60) + b", " + at(60))], 0),
        ([(b"expires", at(60)), (b"cache-control", b"max-age=10")], 10),
        ([(b"expires", at(60)), (b"cache-control", b"s-maxage=10")], 10),
        ([(b"expires", at(60)), (b"cache-control", b"max-age=soon")], 0),
        ([(b"expires", b"0"), (b"cache-control", b"max-age=10")], 10),
        ([(b"expires", at(60)), (b"cache-control", b"public")], 60),
        ([], None),
    ],
)
def test_expires(headers: Fields, expected: int | None) -> None:
    """It is compared with Date, invalid is past, and max-age puts it aside (sections 4.2.1 and 5.3)."""
    assert explicit_lifetime(told(headers)[0], headers, NOW, targeted=False) == expected


def test_expires_beside_a_targeted_field() -> None:
    """It is meant for other caches then (RFC 9213 section 2.2)."""
    headers = [(b"cdn-cache-control", b"public"), (b"expires", at(60))]
    said, targeted = told(headers, ["cdn-cache-control"])

    assert explicit_lifetime(said, headers, NOW, targeted=targeted) is None


@pytest.mark.parametrize("value,expected", [(b"s-maxage=10, max-age=60", 60), (b"s-maxage=10", None)])
def test_a_private_cache_ignores_s_maxage(value: bytes, expected: int | None) -> None:
    """It is for shared caches (section 5.2.2.10)."""
    headers = [(b"cache-control", value)]

    assert explicit_lifetime(told(headers)[0], headers, NOW, targeted=False, private=True) == expected


@pytest.mark.parametrize(
    "headers,expected",
    [
        ([(b"last-modified", at(-600))], 60),
        ([(b"last-modified", at(-600)), (b"date", at(-100))], 50),
        ([(b"last-modified", at(-(10**8)))], 86400),
        ([(b"last-modified", at(0))], 0),
        ([(b"last-modified", at(60))], 0),
        ([(b"last-modified", b"yesterday")], 0),
        ([(b"last-modified", at(-600)), (b"last-modified", at(-600))], 0),
        ([], 0),
    ],
)
def test_guessed_lifetimes(headers: Fields, expected: float) -> None:
    """A tenth of the time since the last change, but a day at most (section 4.2.2)."""
    assert heuristic_lifetime(headers, NOW) == expected


@pytest.mark.parametrize(
    "value,heuristic,expected",
    [
        (b"", True, 60),
        (b"", False, 0),
        (b"public", False, 60),
        (b"max-age=5", True, 5),
        (b"max-age=soon", True, 0),
        (b"public, max-age=5", False, 5),
        (b"must-revalidate", True, 60),
    ],
)
def test_when_a_lifetime_is_guessed(value: bytes, heuristic: bool, expected: float) -> None:
    """Only where none is stated, and the configuration or public allows it (sections 4.2.2 and 5.2.2.9)."""
    headers = [(b"cache-control", value), (b"last-modified", at(-600))]

    assert terms_of(headers, heuristic=heuristic).lifetime == expected


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"max-age=600, stale-while-revalidate=30", Terms(600, False, False, 30, 0)),
        (b"max-age=600, stale-if-error=1200", Terms(600, False, False, 0, 1200)),
        (b"no-cache", Terms(0, True, False, 0, 0)),
        (b'no-cache="x-user"', Terms(0, False, False, 0, 0)),
        (b"max-age=60, must-revalidate", Terms(60, False, True, 0, 0, authorized=True)),
        (b"max-age=60, proxy-revalidate", Terms(60, False, True, 0, 0)),
        (b"s-maxage=60", Terms(60, False, True, 0, 0)),
        (b"max-age=60, immutable", Terms(60, False, False, 0, 0)),
        (b"max-age=60, stale-if-error=-1, stale-while-revalidate", Terms(60, False, False, 0, 0)),
    ],
)
def test_terms(value: bytes, expected: Terms) -> None:
    """What a response allows is told by its directives alone (sections 5.2.2, RFC 5861, RFC 8246)."""
    assert terms_of([(b"cache-control", value)]) == expected


@pytest.mark.parametrize("lines", [[], [b"garbage"], [at(0), at(0)], [at(0) + b", " + at(0)]])
def test_only_one_valid_date_is_a_date(lines: list[bytes]) -> None:
    """Two dates are none, because nobody knows which is meant."""
    assert only_date([(b"expires", line) for line in lines], b"expires", NOW) is None
    assert only_date([(b"Expires", at(5))], b"expires", NOW) == NOW + 5


NAMES = st.sampled_from([b"cache-control", b"expires", b"date", b"last-modified"])


@given(st.lists(st.tuples(NAMES, st.binary())))
def test_no_response_has_odd_terms(headers: Fields) -> None:
    """Whatever bytes arrive, no time is negative or too large to be written."""
    said = terms_of(headers, heuristic=True)

    for seconds in (said.lifetime, said.stale_while_revalidate, said.stale_if_error):
        assert 0 <= seconds <= MAX_DELTA
