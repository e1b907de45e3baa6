"""What a shared cache stores, and what of it (``rfc9111`` mode; RFC 9111 sections 3, 3.1 and 3.5)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.directives import told
from asynccache.http._rfc9111.freshness import terms
from asynccache.http._rfc9111.stored import Terms
from asynccache.http._rfc9111.storing import (
    HEURISTIC,
    shared_by_origin,
    storable_fields,
    unstorable,
    useless,
)
from asynccache.http._rfc9111.switches import Switches

CC, CDN = b"cache-control", b"cdn-cache-control"
Fields = list[tuple[bytes, bytes]]
SAFE = Switches()
NONE: set[bytes] = set()


def why_not(
    headers: Fields,
    *,
    status: int = 200,
    credentials: tuple[bytes, ...] = (),
    switches: Switches = SAFE,
) -> str | None:
    """Return why a response to GET is not stored."""
    said, targeted = told(headers, switches.targeted)
    return unstorable(status, headers, said, credentials=credentials, targeted=targeted, switches=switches)


@pytest.mark.parametrize(
    "value,reason",
    [
        (b"max-age=60", None),
        (b"s-maxage=60", None),
        (b"public", None),
        (b"max-age=0", None),
        (b"max-age=soon", None),
        (b"no-cache", None),
        (b"no-cache, max-age=60", None),
        (b"no-store", "no-store"),
        (b"No-Store, max-age=60", "no-store"),
        (b"max-age=60, no-store, no-store=0", "no-store"),
        (b"private", "private"),
        (b"private, max-age=60, public", "private"),
        (b'private="set-cookie", max-age=60', None),
        (b'private="x-user", private, max-age=60', "private"),
        (b'private="", max-age=60', "private"),
        (b"must-revalidate", "no-lifetime"),
        (b"proxy-revalidate", "no-lifetime"),
        (b"immutable", "no-lifetime"),
        (b"stale-while-revalidate=60", "no-lifetime"),
        (b"no-transform", "no-lifetime"),
        (b"x-max-age=60", "no-lifetime"),
        (b'private, community="UCI"', "private"),
        (b"", "no-lifetime"),
    ],
)
def test_directives_that_allow_or_forbid_storing(value: bytes, reason: str | None) -> None:
    """One of section 3's reasons to store has to be there, and none of those not to (5.2.2, 5.2.3)."""
    assert why_not([(CC, value)]) == reason


@pytest.mark.parametrize(
    "status", sorted({*HEURISTIC, 201, 202, 302, 303, 307, 400, 403, 418, 500, 503, 599, 799})
)
def test_any_final_status_with_explicit_freshness_is_stored(status: int) -> None:
    """The status matters only where nothing is said (section 3); a 206 is stored as a part."""
    assert why_not([(CC, b"max-age=60")], status=status) is None
    assert why_not([(b"expires", b"Thu, 01 Dec 2094 16:00:00 GMT")], status=status) is None
    assert why_not([], status=status) == "no-lifetime"


@pytest.mark.parametrize("status", [100, 101, 103, 199, 304])
def test_what_is_no_response_is_not_stored(status: int) -> None:
    """Interim responses are not final, and a 304 is about another one (sections 3 and 4.3.4)."""
    assert why_not([(CC, b"public, max-age=60")], status=status) == "status"


@pytest.mark.parametrize(
    "status,stored", [(200, True), (206, True), (404, True), (201, False), (302, False), (500, False)]
)
def test_guessing_is_for_certain_statuses(status: int, stored: bool) -> None:
    """With heuristics, responses that say nothing are stored by their status (RFC 9110 section 15.1)."""
    assert (why_not([], status=status, switches=Switches(heuristic=True)) is None) is stored
    assert (why_not([(CC, b"no-cache")], status=status) is None) is stored
    assert why_not([(CC, b"public")], status=status) is None


@pytest.mark.parametrize(
    "value,status,reason",
    [
        (b"must-understand, no-store, max-age=60", 200, None),
        (b"no-store, max-age=60, must-understand", 404, None),
        (b"must-understand, max-age=60", 200, None),
        (b"must-understand, no-store, max-age=60", 599, "must-understand"),
        (b"must-understand, max-age=60", 599, "must-understand"),
        (b"must-understand, max-age=60", 226, "must-understand"),
        (b"must-understand, no-store, max-age=60", 206, None),
        (b"must-understand, private, max-age=60", 200, "private"),
        (b"must-understand, no-store", 200, "no-lifetime"),
        (b"no-store, max-age=60", 599, "no-store"),
        (b"max-age=60", 599, None),
    ],
)
def test_must_understand(value: bytes, status: int, reason: str | None) -> None:
    """It lifts no-store for a status that is understood, and forbids all others (section 5.2.2.3)."""
    assert why_not([(CC, value)], status=status) == reason


@pytest.mark.parametrize(
    "value,reason",
    [
        (b"max-age=60", "authorization"),
        (b"no-cache", "authorization"),
        (b"proxy-revalidate, max-age=60", "authorization"),
        (b"max-age=60, must-revalidate", None),
        (b"max-age=60, public", None),
        (b"s-maxage=60", None),
        (b"s-maxage=0", None),  # never without asking the origin, with the client's own credentials
        (b"public, private", "private"),
        (b"x-public, max-age=60", "authorization"),
    ],
)
def test_responses_to_authorised_requests(value: bytes, reason: str | None) -> None:
    """Only three directives share them: must-revalidate, public and s-maxage (section 3.5)."""
    headers = [(CC, value), (b"vary", b"Authorization")]

    assert why_not(headers, credentials=(b"authorization",)) == reason


@pytest.mark.parametrize(
    "headers,credentials,reason",
    [
        ([(CC, b"max-age=60")], (b"cookie",), "cookie"),
        ([(CC, b"max-age=60, must-revalidate")], (b"cookie",), "cookie"),
        ([(CC, b"max-age=60"), (b"vary", b"Cookie")], (b"cookie",), None),
        ([(CC, b"max-age=60, public")], (b"cookie", b"x-api-key"), None),
        ([(CC, b"max-age=60"), (b"vary", b"X-Api-Key")], (b"x-api-key", b"cookie"), "cookie"),
        ([(CDN, b"max-age=60"), (CC, b"public")], (b"cookie",), "cookie"),
    ],
)
def test_other_credentials_get_the_same_care(
    headers: Fields, credentials: tuple[bytes, ...], reason: str | None
) -> None:
    """A cookie tells who is asking as well as Authorization does, though the RFC knows nothing of it."""
    assert why_not(headers, credentials=credentials) == reason
    if reason == "cookie":
        assert why_not(headers, credentials=credentials, switches=Switches(share_with_cookies=True)) is None


@pytest.mark.parametrize(
    "headers,reason",
    [
        ([(b"set-cookie", b"a=b")], "set-cookie"),
        ([(b"Set-Cookie2", b"a=b")], "set-cookie"),
        ([(b"vary", b"*")], "vary-any"),
        ([(b"vary", b"accept"), (b"vary", b"*")], "vary-any"),
        ([(b"content-type", b"text/event-stream")], "stream"),
        ([(b"trailer", b"x")], "trailers"),
        ([(b"transfer-encoding", b"gzip, chunked")], "hop-by-hop"),
        ([(b"content-encoding", b"gzip")], None),
        ([(b"content-range", b"bytes 0-0/1")], None),
    ],
)
def test_what_else_keeps_a_response_out(headers: Fields, reason: str | None) -> None:
    """Cookies, ``Vary: *``, and what is no body with an end, however fresh (sections 3.1, 3.3 and 4.1)."""
    assert why_not([(CC, b"public, max-age=60"), *headers]) == reason


def test_set_cookie_by_configuration() -> None:
    """The response is stored then, but never the field."""
    headers = [(CC, b"max-age=60"), (b"set-cookie", b"a=b")]

    assert why_not(headers, switches=Switches(store_set_cookie=True)) is None
    assert storable_fields(headers, told(headers)[0]) == ((CC, b"max-age=60"),)


@pytest.mark.parametrize(
    "value,reason",
    [
        (b"private", None),
        (b"private, max-age=60", None),
        (b"max-age=60", None),
        (b"s-maxage=60", "no-lifetime"),
        (b"no-store", "no-store"),
    ],
)
def test_a_private_cache(value: bytes, reason: str | None) -> None:
    """It may store what is private, whoever asks, and s-maxage does not concern it (section 3)."""
    private = Switches(private=True)

    assert why_not([(CC, value)], credentials=(b"authorization", b"cookie"), switches=private) == reason


@pytest.mark.parametrize(
    "headers,reason",
    [
        ([(CDN, b"max-age=60"), (CC, b"no-store, private")], None),
        ([(CDN, b"no-store"), (CC, b"max-age=60")], "no-store"),
        ([(CDN, b"private"), (CC, b"max-age=60")], "private"),
        ([(CDN, b'private="x-user", max-age=60')], None),
        ([(CDN, b"none"), (CC, b"max-age=60")], "no-lifetime"),
        ([(CDN, b"none"), (b"expires", b"Thu, 01 Dec 2094 16:00:00 GMT")], "no-lifetime"),
        ([(CDN, b"no-store=1"), (CC, b"max-age=60")], "no-store"),
        ([(CDN, b"no-store,"), (CC, b"max-age=60")], None),
        ([(CDN, b"must-understand, no-store, max-age=60")], None),
    ],
)
def test_targeted_fields(headers: Fields, reason: str | None) -> None:
    """A valid one decides instead of Cache-Control and Expires (RFC 9213 section 2.2)."""
    assert why_not(headers) == reason


HEADERS = [(b"Date", b"x"), (b"X-User", b"alice"), (b"X-Other", b"1")]


@pytest.mark.parametrize(
    "field,kept,kept_privately",
    [
        ((CC, b"max-age=60"), {b"x-user", b"x-other"}, {b"x-user", b"x-other"}),
        ((CC, b'no-cache="X-User"'), {b"x-other"}, {b"x-other"}),
        ((CC, b'private="X-User"'), {b"x-other"}, {b"x-user", b"x-other"}),
        ((CC, b'private="x-user, x-other"'), NONE, {b"x-user", b"x-other"}),
        ((CC, b'no-cache="x-other", private="x-user"'), NONE, {b"x-user"}),
        ((CC, b"private=x-user"), {b"x-other"}, {b"x-user", b"x-other"}),
        ((b"Connection", b"close, X-User"), {b"x-other"}, {b"x-other"}),
        ((CDN, b'private="x-user"'), {b"x-other"}, {b"x-user", b"x-other"}),
    ],
)
def test_fields_that_are_not_stored(
    field: tuple[bytes, bytes], kept: set[bytes], kept_privately: set[bytes]
) -> None:
    """Qualified directives and Connection name them (sections 3.1, 5.2.2.4 and 5.2.2.7)."""
    headers = [*HEADERS, field]
    said, _ = told(headers, SAFE.targeted)
    passed_on = {b"date"} if field[0] == b"Connection" else {b"date", field[0]}

    assert {name for name, _ in storable_fields(headers, said)} == kept | passed_on
    assert {name for name, _ in storable_fields(headers, said, private=True)} == kept_privately | passed_on


def test_a_targeted_field_names_the_fields_instead_of_cache_control() -> None:
    """Cache-Control is for others then, and is passed on to them (RFC 9213 section 2.2)."""
    headers = [(CC, b'no-cache="x-user"'), (CDN, b"max-age=60"), (b"x-user", b"alice")]

    assert storable_fields(headers, told(headers, SAFE.targeted)[0]) == tuple(headers)


@pytest.mark.parametrize(
    "value,shared",
    [
        (b"public", True),
        (b"s-maxage=60", True),
        (b"s-maxage=0", True),
        (b"must-revalidate, max-age=60", False),
        (b"max-age=60", False),
        (b'x="public"', False),
    ],
)
def test_who_says_that_all_may_share(value: bytes, shared: bool) -> None:
    """It is public or s-maxage that says so to shared caches (sections 5.2.2.9 and 5.2.2.10)."""
    assert shared_by_origin(told([(CC, value)])[0]) is shared


FRESH = Terms(60.0, always=False, strict=False, stale_while_revalidate=0.0, stale_if_error=0.0)
NEVER = Terms(60.0, always=True, strict=False, stale_while_revalidate=60.0, stale_if_error=60.0)
STRICT = Terms(0.0, always=False, strict=True, stale_while_revalidate=60.0, stale_if_error=60.0)
WINDOW = Terms(0.0, always=False, strict=False, stale_while_revalidate=0.0, stale_if_error=60.0)
STALE = Terms(0.0, always=False, strict=False, stale_while_revalidate=0.0, stale_if_error=0.0)


@pytest.mark.parametrize(
    "said,age,validator,on_error,expected",
    [
        (FRESH, 0, False, False, False),
        (FRESH, 59, False, False, False),
        (FRESH, 60, False, False, True),
        (FRESH, 60, True, False, False),
        (FRESH, 60, False, True, False),
        (NEVER, 0, False, True, True),
        (NEVER, 0, True, False, False),
        (STRICT, 0, False, True, True),
        (STRICT, 0, True, False, False),
        (WINDOW, 0, False, False, False),
        (WINDOW, 59, False, False, False),
        (WINDOW, 60, False, False, True),
        (STALE, 0, False, False, True),
        (STALE, 0, False, True, False),
        (STALE, 0, True, False, False),
    ],
)
def test_what_is_not_worth_storing(
    said: Terms, age: float, validator: bool, on_error: bool, expected: bool
) -> None:
    """What is stale, cannot be validated and must not stand in for an error has no use (4.2.4, 4.3.1)."""
    assert useless(said, age, validator=validator, switches=Switches(stale_on_error=on_error)) is expected


NAMES = st.sampled_from([CC, CDN, b"vary", b"connection", b"set-cookie", b"expires", b"content-type", b"x"])
VALUES = st.binary() | st.sampled_from(
    [b"private", b'private="x"', b"no-store", b"public", b"max-age=60", b"must-understand", b"*", b"x"]
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.integers(100, 999), st.booleans())
def test_what_is_stored_breaks_no_rule(headers: Fields, status: int, authorised: bool) -> None:
    """Whatever arrives, what is stored by default is shareable, final, and has no field of one user."""
    said, _ = told(headers, SAFE.targeted)
    if why_not(headers, status=status, credentials=(b"authorization",) if authorised else ()) is not None:
        return

    assert status >= 200
    assert status != 304
    assert said.has("must-understand") or not said.has("no-store")
    assert not said.has("private") or said.fields("private")
    assert not authorised or shared_by_origin(said) or said.has("must-revalidate")
    stored = {name for name, _ in storable_fields(headers, said)}
    assert stored.isdisjoint(
        {b"set-cookie", b"connection", *said.fields("private"), *said.fields("no-cache")}
    )


@pytest.mark.parametrize(
    "value,age,expected",
    [
        (b"max-age=60", 0, False),
        (b"max-age=0", 0, True),
        (b"max-age=60", 60, True),
        (b"no-cache", 0, True),
        (b"no-cache, max-age=60", 0, False),
        (b"max-age=0, stale-if-error=5", 0, False),
    ],
)
def test_a_validator_is_of_no_use_where_nothing_is_kept_beyond_its_freshness(
    value: bytes, age: float, expected: bool
) -> None:
    """``keep_stale=0``: there will be nothing left to ask about."""
    said, targeted = told(headers := [(b"cache-control", value)])
    switches = Switches(keep_stale=0.0)
    allowed = terms(said, headers, 0.0, targeted=targeted, heuristic=False, switches=switches)
    assert useless(allowed, age, validator=True, switches=switches) is expected
