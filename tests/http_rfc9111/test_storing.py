"""Which responses are never stored, and what of the others is replayed (RFC 9111 section 3)."""

from __future__ import annotations

import pytest

from asynccache.http._rfc9111.storing import content_length, is_shared, refusal, replayable

ALLOWED = frozenset({200, 301, 404})
Fields = list[tuple[bytes, bytes]]


def test_a_plain_response_is_stored() -> None:
    """Nothing in an ordinary response stands against storing it."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"2"),
        (b"cache-control", b"max-age=60"),
        (b"vary", b"accept-encoding"),
        (b"etag", b'"x"'),
    ]

    assert refusal(200, headers, statuses=ALLOWED) is None
    assert refusal(404, [], statuses=ALLOWED) is None


@pytest.mark.parametrize(
    "headers,reason",
    [
        ([(b"set-cookie", b"a=b")], "set-cookie"),
        ([(b"Set-Cookie", b"")], "set-cookie"),
        ([(b"SET-COOKIE2", b"a=b")], "set-cookie"),
        ([(b"cache-control", b"private")], "private"),
        ([(b"cache-control", b'private="x-user"')], "private"),
        ([(b"cache-control", b"public"), (b"Cache-Control", b"max-age=1, No-Store")], "no-store"),
        ([(b"cache-control", b"no-store, must-understand")], "no-store"),
        ([(b"vary", b"*")], "vary-any"),
        ([(b"vary", b"accept, *")], "vary-any"),
        ([(b"vary", b"accept"), (b"Vary", b" * ")], "vary-any"),
        ([(b"vary", b"accept encoding")], "vary-any"),
        ([(b"content-range", b"bytes 0-1/2")], "partial"),
        ([(b"content-type", b"Text/Event-Stream; charset=utf-8")], "stream"),
        ([(b"content-type", b"multipart/x-mixed-replace;boundary=x")], "stream"),
        ([(b"trailer", b"x-checksum")], "trailers"),
        ([(b"transfer-encoding", b"gzip, chunked")], "hop-by-hop"),
        ([(b"content-encoding", b"gzip")], "content-encoding"),
        ([(b"content-encoding", b"GZIP"), (b"vary", b"accept")], "content-encoding"),
    ],
)
def test_never_stored(headers: Fields, reason: str) -> None:
    """Each row is refused whatever the route says, with its own reason."""
    assert refusal(200, headers, statuses=ALLOWED) == reason


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"Identity")],
        [(b"content-encoding", b"identity")],
        [(b"content-encoding", b"")],
        [(b"content-encoding", b"gzip"), (b"Vary", b"Accept-Encoding")],
        [(b"content-type", b"text/event-streams")],
        [(b"cache-control", b"no-cache, max-age=0, s-maxage=0, must-revalidate")],
        [(b"vary", b"")],
    ],
)
def test_stored_all_the_same(headers: Fields) -> None:
    """Chunked framing, declared encodings and directives about freshness do not stand against it."""
    assert refusal(200, headers, statuses=ALLOWED) is None


@pytest.mark.parametrize(
    "status,reason", [(206, "partial"), (100, "status"), (302, "status"), (304, "status"), (500, "status")]
)
def test_other_statuses(status: int, reason: str) -> None:
    """A status the policy does not name is not stored, and a part never."""
    assert refusal(status, [], statuses=ALLOWED) == reason
    assert refusal(206, [], statuses=ALLOWED | {206}) == "partial"


def test_the_gravest_reason_is_named() -> None:
    """What is about a person is said before what is about form."""
    headers = [(b"content-range", b"x"), (b"vary", b"*"), (b"cache-control", b"no-store, private")]

    assert refusal(500, headers, statuses=ALLOWED) == "private"
    assert refusal(500, [*headers, (b"set-cookie", b"a=b")], statuses=ALLOWED) == "set-cookie"


def test_fields_of_the_connection_are_not_replayed() -> None:
    """Hop-by-hop fields, those Connection names, cookies, Age and Content-Length are left out."""
    gone = [
        (b"Connection", b"close, X-Hop"),
        (b"x-hop", b"1"),
        (b"Keep-Alive", b"1"),
        (b"proxy-authenticate", b"1"),
        (b"proxy-authentication-info", b"1"),
        (b"proxy-authorization", b"1"),
        (b"proxy-connection", b"1"),
        (b"te", b"1"),
        (b"trailer", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"Set-Cookie", b"a=b"),
        (b"set-cookie2", b"a=b"),
        (b"age", b"3"),
        (b"content-length", b"5"),
    ]
    kept = [
        (b"Date", b"x"),
        (b"ETag", b'"x"'),
        (b"link", b"a"),
        (b"link", b"b"),
        (b"cache-status", b"Origin; hit"),
    ]

    assert replayable([*gone, *kept]) == (
        (b"date", b"x"),
        (b"etag", b'"x"'),
        (b"link", b"a"),
        (b"link", b"b"),
        (b"cache-status", b"Origin; hit"),
    )


def test_fields_that_need_validation_are_not_replayed() -> None:
    """A qualified no-cache keeps the named fields out of later responses (RFC 9111 section 5.2.2.4)."""
    headers = [(b"cache-control", b'no-cache="X-User"'), (b"x-user", b"alice"), (b"x-other", b"1")]

    assert replayable(headers) == ((b"cache-control", b'no-cache="X-User"'), (b"x-other", b"1"))
    assert len(replayable([(b"cache-control", b"no-cache"), (b"x-user", b"alice")])) == 2


@pytest.mark.parametrize(
    "value,shared",
    [
        (b"public", True),
        (b"Public, max-age=0", True),
        (b"s-maxage=60", True),
        (b"public, s-maxage=60", True),
        (b'public, no-cache="x-user"', True),
        (b"", False),
        (b"max-age=60", False),
        (b"must-revalidate", False),
        (b"s-maxage=0", False),
        (b"s-maxage=soon", False),
        (b"public, s-maxage=0", False),
        (b"public, private", False),
        (b"public, no-store", False),
        (b"public, no-cache", False),
        (b"x-public", False),
        (b'x="public"', False),
    ],
)
def test_only_an_explicit_word_shares(value: bytes, shared: bool) -> None:
    """Only public or s-maxage shares a response to an authorised request, unless something takes it back."""
    assert is_shared([(b"Cache-Control", value)]) is shared


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([], None),
        ([b"0"], 0),
        ([b" 12 "], 12),
        ([b"12", b"12"], 12),
        ([b"12, 12"], 12),
        ([b"12, 012"], 12),
        ([b"12, 13"], "invalid"),
        ([b"12", b"13"], "invalid"),
        ([b"-1"], "invalid"),
        ([b"+1"], "invalid"),
        ([b"1.0"], "invalid"),
        ([b""], "invalid"),
        ([b"12,"], "invalid"),
        ([b"9" * 5000], "invalid"),
    ],
)
def test_content_length(lines: list[bytes], expected: int | str | None) -> None:
    """One length is a length, several equal ones too; anything else is invalid (RFC 9110 section 8.6)."""
    assert content_length([(b"Content-Length", line) for line in lines]) == expected
