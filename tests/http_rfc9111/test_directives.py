"""What messages say to a shared cache: targeted fields (RFC 9213) and requests (RFC 9111 section 5.2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.directives import NO_WISHES, Wishes, told, wishes
from asynccache.http._rfc9111.fields import MAX_DELTA
from asynccache.http._rfc9111.freshness import terms
from asynccache.http._rfc9111.storing import unstorable
from asynccache.http._rfc9111.switches import Switches

CC, CDN, OURS = b"cache-control", b"cdn-cache-control", b"examplecdn-cache-control"
TARGETS = ("examplecdn-cache-control", "cdn-cache-control")
NOW = 1_700_000_000.0
Fields = list[tuple[bytes, bytes]]


def lifetime(headers: Fields) -> float | None:
    """Return how long a shared cache takes a 200 for fresh; None: it must not store it."""
    said, targeted = told(headers, TARGETS)
    switches = Switches()
    if unstorable(200, headers, said, credentials=(), targeted=targeted, switches=switches):
        return None
    return terms(said, headers, NOW, targeted=targeted, heuristic=False, switches=switches).lifetime


@pytest.mark.parametrize(
    "headers,expected",
    [
        ([(CC, b"max-age=60, s-maxage=120"), (CDN, b"max-age=600")], 600),
        ([(CDN, b"max-age=600"), (CC, b"no-store")], 600),
        ([(CC, b"no-store")], None),
        ([(CC, b"no-store"), (CDN, b"none")], None),  # it says nothing, and we do not guess by default
        ([(b"age", b"1800"), (CC, b"max-age=600"), (CDN, b"max-age=3600")], 3600),
    ],
)
def test_examples_of_rfc_9213(headers: Fields, expected: float | None) -> None:
    """The examples of its sections 2.3 and 3.1, from where the targeted cache stands."""
    assert lifetime(headers) == expected


@pytest.mark.parametrize(
    "headers,expected",
    [
        ([(OURS, b"max-age=1"), (CDN, b"max-age=2"), (CC, b"max-age=3")], 1),
        ([(CDN, b"max-age=2"), (OURS, b"max-age=1")], 1),
        ([(OURS, b""), (CDN, b"max-age=2")], 2),
        ([(OURS, b"max-age=1,"), (CDN, b"max-age=2")], 2),
        ([(OURS, b"max-age=1, &&&&"), (CDN, b"Max-Age=2"), (CC, b"max-age=3")], 3),
        ([(OURS, b""), (OURS, b""), (CC, b"max-age=3")], 3),
        ([(CDN, b"max-age=1"), (CDN, b"max-age=2"), (CC, b"max-age=3")], 2),
        ([(CDN, b"max-age=1"), (CDN, b"garbage="), (CC, b"max-age=3")], 3),
        ([(b"CDN-Cache-Control", b"max-age=2"), (CC, b"max-age=3")], 2),
        ([(b"othercdn-cache-control", b"max-age=1"), (CC, b"max-age=3")], 3),
        ([(b"surrogate-control", b"max-age=1"), (CC, b"max-age=3")], 3),
    ],
)
def test_the_first_valid_field_of_the_target_list_counts(headers: Fields, expected: float) -> None:
    """Empty and malformed fields are as if they were not there, and others are not ours (section 2.2)."""
    assert lifetime(headers) == expected


def test_beside_a_targeted_field_nothing_else_counts() -> None:
    """Neither Cache-Control nor Expires is looked at, even if the targeted field gives no lifetime."""
    others = [(CC, b"max-age=60, private"), (b"expires", b"Thu, 01 Dec 2094 16:00:00 GMT")]

    assert lifetime([(CDN, b"public"), *others]) == 0
    assert lifetime([(CDN, b"public, max-age=5"), *others]) == 5


@pytest.mark.parametrize(
    "value,name,present,seconds",
    [
        (b"max-age=60", "max-age", True, 60),
        (b"max-age=60;foo=bar", "max-age", True, 60),
        (b"max-age=0", "max-age", True, 0),
        (b"max-age=999999999999999", "max-age", True, MAX_DELTA),
        (b"max-age=60.0", "max-age", True, 0),
        (b'max-age="60"', "max-age", True, 0),
        (b"max-age=tok", "max-age", True, 0),
        (b"max-age=-1", "max-age", True, 0),
        (b"max-age", "max-age", True, 0),
        (b"max-age=?1", "max-age", True, 0),
        (b"max-age=(60)", "max-age", True, 0),
        (b"max-age=@60", "max-age", True, 0),
        (b"max-age=?0", "max-age", False, None),
        (b"max-age=1, max-age=2", "max-age", True, 2),
        (b"s-maxage=60", "max-age", False, None),
        (b"no-store", "no-store", True, 0),
        (b"no-store;a=1", "no-store", True, 0),
        (b"no-store=?0", "no-store", False, None),
        (b"no-store=1", "no-store", True, 1),
        (b"private=(a b)", "private", True, 0),
        (b"public", "public", True, 0),
        (b"public=1", "public", False, 1),
        (b"public=(a)", "public", False, 0),
        (b'must-understand="x"', "must-understand", False, 0),
    ],
)
def test_values_of_the_wrong_type(value: bytes, name: str, present: bool, seconds: int | None) -> None:
    """They never allow more: no lifetime, no permission; what restricts is obeyed (RFC 9213 section 2.1)."""
    said, targeted = told([(CDN, value)], TARGETS)

    assert targeted
    assert said.has(name) is present
    assert said.seconds(name) == seconds


@pytest.mark.parametrize(
    "value,names",
    [
        (b'no-cache="X-User, set-cookie"', (b"x-user", b"set-cookie")),
        (b"no-cache=x-user", (b"x-user",)),
        (b"no-cache", ()),
        (b'no-cache=""', ()),
        (b'no-cache=" , "', ()),
        (b"no-cache=5", ()),
        (b"no-cache=:YQ==:", ()),
        (b'no-cache=%"x-user"', ()),
        (b"private", ()),
    ],
)
def test_qualified_forms_in_a_targeted_field(value: bytes, names: tuple[bytes, ...]) -> None:
    """A string or token names fields; any other value means the whole response (section 2.1)."""
    said, _ = told([(CDN, value)], TARGETS)

    assert said.fields("no-cache") == names


def test_targeted_directives_tell_what_they_hold() -> None:
    """The representation names the directives."""
    assert repr(told([(CDN, b"public, max-age=1")], TARGETS)[0]) == "<Targeted public max-age>"


def test_without_a_target_list_it_is_cache_control_that_speaks() -> None:
    """A cache that is no CDN passes the field on and does not obey it (RFC 9213 section 2.2)."""
    said, targeted = told([(CC, b"max-age=1"), (CDN, b"max-age=2")])

    assert not targeted
    assert said.seconds("max-age") == 1


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"no-cache", Wishes(no_cache=True)),
        (b"No-Cache", Wishes(no_cache=True)),
        (b"no-store", Wishes(no_store=True)),
        (b"only-if-cached", Wishes(only_if_cached=True)),
        (b"max-age=5", Wishes(max_age=5)),
        (b'max-age="5"', Wishes(max_age=5)),
        (b"max-age=0, max-age=60", Wishes(max_age=0)),
        (b"max-age=soon", Wishes(max_age=0)),
        (b"max-age", Wishes(max_age=0)),
        (b"min-fresh=20", Wishes(min_fresh=20)),
        (b"min-fresh=soon", Wishes(min_fresh=MAX_DELTA)),
        (b"max-stale=10", Wishes(max_stale=10)),
        (b"max-stale", Wishes(max_stale=MAX_DELTA)),
        (b"max-stale=10, max-stale", Wishes(max_stale=10)),
        (b"max-stale=soon", Wishes(max_stale=0)),
        (b"stale-if-error=600", Wishes(stale_if_error=600)),
        (b"no-transform, community=UCI", Wishes()),
        (b"x-no-cache, no-cached", Wishes()),
        (b'x="no-store, no-cache"', Wishes()),
        (b"max-age=0, only-if-cached;max-stale", Wishes(only_if_cached=True, max_age=0, max_stale=MAX_DELTA)),
    ],
)
def test_request_directives(value: bytes, expected: Wishes) -> None:
    """Each is read in any case, quoted or not; an invalid argument asks for the safest (section 5.2.1)."""
    assert wishes([(b"Cache-Control", value)]) == expected
    assert wishes([(CC, b"x=" + b"y" * 100), (CC, value)]) == expected


@pytest.mark.parametrize(
    "headers,no_cache",
    [
        ([(b"pragma", b"no-cache")], True),
        ([(b"Pragma", b"No-Cache")], True),
        ([(b"pragma", b"foo, no-cache")], True),
        ([(b"pragma", b"foo"), (b"pragma", b"no-cache")], True),
        ([(b"pragma", b"foo")], False),
        ([(b"pragma", b"no-cached")], False),
        ([(b"pragma", b"no-cache"), (CC, b"max-age=60")], False),
        ([(b"pragma", b"no-cache"), (CC, b"")], False),
        ([], False),
    ],
)
def test_pragma(headers: Fields, no_cache: bool) -> None:
    """It is for requests without Cache-Control only (RFC 9111 section 5.4, RFC 7234 section 5.4)."""
    assert wishes(headers).no_cache is no_cache


def test_a_request_without_directives_wishes_nothing() -> None:
    """That is the usual case, and costs no object."""
    assert wishes([(b"accept", b"*/*")]) is NO_WISHES


@given(st.lists(st.tuples(st.sampled_from([CC, CDN, b"pragma"]), st.binary(max_size=80)), max_size=4))
def test_no_bytes_raise(headers: Fields) -> None:
    """Whatever arrives, there is an answer to every question."""
    said, _ = told(headers, TARGETS)

    for name in ("max-age", "no-cache", "private", "public", "no-store", "a", ""):
        seconds = said.seconds(name)
        assert seconds is None or 0 <= seconds <= MAX_DELTA
        assert said.has(name) in (True, False)
        assert all(field == field.lower() for field in said.fields(name))
    assert isinstance(wishes(headers), Wishes)
