"""Whatever bytes arrive: no function raises, and none takes more than linear time."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.directives import told, wishes
from asynccache.http._rfc9111.fields import (
    Headers,
    age,
    cache_control,
    entity_tags,
    http_date,
    list_members,
)
from asynccache.http._rfc9111.freshness import initial_age
from asynccache.http._rfc9111.invalidation import same_origin_targets
from asynccache.http._rfc9111.ranges import content_range, holds_if_range, requested
from asynccache.http._rfc9111.selection import normalise, variant_digest, vary_names
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import content_length, is_shared, refusal, replayable
from asynccache.http._rfc9111.validation import not_modified, not_modified_fields, same, updated_fields

FIELDS = (
    b"accept accept-encoding accept-language age cache-control connection content-encoding content-length "
    b"content-location content-type date if-modified-since if-none-match location trailer vary "
    b"transfer-encoding"
).split()
NAMES = st.sampled_from(FIELDS) | st.sampled_from(FIELDS).map(bytes.title) | st.binary(max_size=8)
PIECES = st.sampled_from(
    [
        b",",
        b'"',
        b"\\",
        b"=",
        b";",
        b" ",
        b"*",
        b"W/",
        b"q=0",
        b"private",
        b"max-age",
        b"public",
        b"gzip",
        b"//",
        b"..",
        b"?",
    ]
)
VALUES = st.binary() | st.lists(PIECES | st.binary(max_size=3), max_size=20).map(b"".join)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(HEADERS)
def test_no_response_field_raises(headers: Headers) -> None:
    """Any response can be judged, and what is replayed is lower-case and free of cookies."""
    refusal(200, headers, statuses={200})
    is_shared(headers)
    content_length(headers)
    not_modified_fields(headers)
    same_origin_targets(headers, "http", b"example.org", b"/a/b", b"c")

    assert initial_age(headers, 1.0, 2.0) >= 1
    assert all(name == name.lower() != b"set-cookie" for name, _ in replayable(headers))


@given(HEADERS, st.lists(NAMES))
def test_no_request_field_raises(headers: Headers, names: list[bytes]) -> None:
    """Any request can be matched with a variant and a validator."""
    assert len(variant_digest(names, headers)) == 32
    assert not_modified(headers, b'"\xff"', 0.0) in (True, False)


@given(VALUES)
def test_directives_never_raise(value: bytes) -> None:
    """Any Cache-Control gives answers within their bounds."""
    directives = cache_control([(b"cache-control", value)])

    for name in ("private", "max-age", "min-fresh", "max-stale", ""):
        seconds = directives.seconds(name)
        assert (seconds is not None) is directives.has(name)
        assert seconds is None or 0 <= seconds <= 2**31
        assert directives.has(name) or not directives.fields(name)


@given(st.binary())
def test_dates_never_raise(value: bytes) -> None:
    """Bytes that are no date give None."""
    assert http_date(value, 0.0) is None


@given(st.lists(st.text("abcxyz-019", min_size=1), min_size=1))
def test_tokens_are_members_and_directives(tokens: list[str]) -> None:
    """A list of tokens is read as those tokens, and has exactly these directives."""
    value = ", ".join(tokens).encode()

    assert list_members([(b"x", value)], b"x") == [token.encode() for token in tokens]
    assert [cache_control([(b"cache-control", value)]).has(t) for t in tokens] == [True] * len(tokens)
    assert not cache_control([(b"cache-control", value)]).has("private")


STORED = StoredResponse(
    200, ((b"etag", b'"x"'),), b"", b'"x"', shared=False, public=False, date=0.0, initial_age=0.0
)
PARSERS: dict[str, Callable[[bytes], object]] = {
    "list": lambda value: list_members([(b"x", value)], b"x"),
    "cache-control": lambda value: cache_control([(b"cache-control", value)]).fields("private"),
    "cache-control argument": lambda value: cache_control(
        [(b"cache-control", b'private="' + value + b'", max-age=' + value)]
    ).fields("private"),
    "age": lambda value: age([(b"age", value)]),
    "date": http_date,
    "entity tags": lambda value: entity_tags([(b"etag", value)], b"etag"),
    "vary": lambda value: vary_names([(b"vary", value)]),
    "accept-encoding": lambda value: normalise(b"accept-encoding", [value]),
    "accept-language": lambda value: normalise(b"accept-language", [value]),
    "location": lambda value: same_origin_targets([(b"location", value)], "http", b"a", b"/"),
    "content-length": lambda value: content_length([(b"content-length", value)]),
    "targeted": lambda value: told([(b"a", value)], ["a"])[0].fields("private"),
    "request directives": lambda value: wishes([(b"cache-control", value)]),
    "range": lambda value: requested([(b"range", b"bytes=" + value)]),
    "if-range": lambda value: holds_if_range([(b"if-range", value)], STORED, 0.0),
    "content-range": lambda value: content_range([(b"content-range", b"bytes " + value)], 1),
    "304": lambda value: same([(b"etag", value)], [(b"etag", value), (b"last-modified", value)]),
    "update": lambda value: updated_fields(((b"a", b""),), [(b"connection", value), (b"a", value)]),
    "replayable": lambda value: replayable(
        [(b"connection", value), (b"cache-control", b"no-cache=" + value)]
    ),
}
HOSTILE = [
    b",",
    b'"',
    b"\\",
    b'\\"',
    b'",',
    b'"\\',
    b" ",
    b"a",
    b"0",
    b"9",
    b"=",
    b";",
    b"a=,",
    b"../",
    b"a;q=0.",
    b"W/",
    b"/",
    b"0-",
    b"(",
]


@pytest.mark.parametrize("parser", PARSERS)
def test_hostile_fields_take_linear_time(parser: str) -> None:
    """64 kB, the most a server accepts, of any troublesome text take a fraction of a second."""
    for piece in HOSTILE:
        text = piece * (65_536 // len(piece))
        for value in (text, b'"' + text, b"a" + text + b"\x00"):
            started = process_time()
            PARSERS[parser](value)
            assert process_time() - started < 1
