"""Entity tags and conditional requests (RFC 9111 section 4.3, RFC 9110 section 13)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asynccache.http._rfc9111.fields import http_date
from asynccache.http._rfc9111.validation import (
    conditions,
    entity_tag,
    make_etag,
    not_modified,
    not_modified_fields,
    same,
    updated_fields,
)

INM, IMS = b"if-none-match", b"if-modified-since"
THEN = b"Sat, 29 Oct 1994 19:43:31 GMT"
BEFORE = b"Sat, 29 Oct 1994 19:43:30 GMT"
MODIFIED = http_date(THEN)
ETAG, LM, DATE = b"etag", b"last-modified", b"date"
LATER = b"Sat, 29 Oct 1994 19:43:32 GMT"
Fields = list[tuple[bytes, bytes]]


def test_entity_tags_are_strong_and_differ() -> None:
    """A tag is quoted, not weak, and other bytes have another one."""
    assert make_etag(b"") == b'"e3b0c44298fc1c149afbf4c8996fb924"'
    assert len({make_etag(bytes([number])) for number in range(256)}) == 256


def test_entity_tags_are_the_same_in_every_process() -> None:
    """A restart or another worker with another hash seed gives the same tag (fastapi-cache2 does not)."""
    code = "from asynccache.http._rfc9111.validation import make_etag as m; print(m(b'body').decode())"
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in "12"
    ]

    assert runs[0].strip() == runs[1].strip() == make_etag(b"body")


@pytest.mark.parametrize(
    "one,other,weakly",
    [
        (b'W/"1"', b'W/"1"', True),
        (b'W/"1"', b'W/"2"', False),
        (b'W/"1"', b'"1"', True),
        (b'"1"', b'"1"', True),
    ],
)
def test_comparison_table_of_rfc_9110_section_8_8_3_2(one: bytes, other: bytes, weakly: bool) -> None:
    """Both directions of the RFC's table of weak comparisons."""
    assert not_modified([(INM, one)], other, None) is weakly
    assert not_modified([(INM, other)], one, None) is weakly


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([b'"xyzzy"'], True),
        ([b'W/"xyzzy"'], True),
        ([b'"xyzzy", "r2d2xxxx", "c3piozzzz"'], True),
        ([b'W/"r2d2xxxx", W/"xyzzy"'], True),
        ([b'"a,b" , "xyzzy"'], True),
        ([b'"other"', b'"xyzzy"'], True),
        ([b"*"], True),
        ([b'"other"'], False),
        ([b"xyzzy"], False),
        ([b'"XYZZY"'], False),
        ([b'w/"xyzzy"'], False),
        ([b'"a"xyzzy"'], False),
        ([b'"x, \\"xyzzy\\""'], False),
        ([b""], False),
    ],
)
def test_if_none_match(lines: list[bytes], expected: bool) -> None:
    """Lists over several lines match weakly; malformed members match nothing (RFC 9110 section 13.1.2)."""
    assert not_modified([(INM, line) for line in lines], b'"xyzzy"', None) is expected


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([THEN], True),
        ([b"Saturday, 29-Oct-94 19:43:31 GMT"], True),
        ([b"Sat, 29 Oct 2094 19:43:31 GMT"], True),
        ([BEFORE], False),
        ([b"yesterday"], False),
        ([b""], False),
        ([THEN, THEN], False),
        ([THEN + b", " + THEN], False),
        ([], False),
    ],
)
def test_if_modified_since(lines: list[bytes], expected: bool) -> None:
    """One valid date not before Last-Modified will do; all else is ignored (RFC 9110 section 13.1.3)."""
    assert not_modified([(IMS, line) for line in lines], b'"x"', MODIFIED) is expected


def test_if_modified_since_needs_a_date_to_compare() -> None:
    """Without Last-Modified the whole response is sent."""
    assert not not_modified([(IMS, THEN)], b'"x"', None)


@pytest.mark.parametrize("tags", [b'"other"', b"", b"garbage"])
def test_if_none_match_takes_precedence(tags: bytes) -> None:
    """Where If-None-Match is present, If-Modified-Since is not looked at (RFC 9110 section 13.2.2)."""
    assert not not_modified([(IMS, THEN), (INM, tags)], b'"x"', MODIFIED)
    assert not_modified([(IMS, BEFORE), (INM, b'"x"')], b'"x"', MODIFIED)


def test_fields_of_a_304() -> None:
    """A 304 carries the six fields of RFC 9110 section 15.4.5 and nothing about content."""
    carried = [
        (b"cache-control", b"1"),
        (b"content-location", b"2"),
        (b"Date", b"3"),
        (b"etag", b"4"),
        (b"expires", b"5"),
        (b"vary", b"6"),
        (b"vary", b"7"),
    ]
    others = [
        (b"content-length", b"x"),
        (b"content-type", b"x"),
        (b"content-encoding", b"x"),
        (b"last-modified", b"x"),
        (b"set-cookie", b"x"),
    ]

    assert not_modified_fields([*others, *carried, *others]) == tuple(carried)


@pytest.mark.parametrize("tags", [[b'""'], [b"garbage"], [b""], []])
def test_a_response_without_a_tag_matches_no_tag(tags: list[bytes]) -> None:
    """Where nothing is known of the stored response's tag, only an asterisk matches (section 13.1.2)."""
    assert not not_modified([(INM, tag) for tag in tags], b"", None)
    assert not_modified([(INM, b"*")], b"", None)


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([b'"a"'], (b'"a"', False)),
        ([b'W/"a"'], (b'"a"', True)),
        ([b'"a"', b'"a"'], None),
        ([b'"a", "b"'], None),
        ([b"a"], None),
        ([b"*"], None),
        ([], None),
    ],
)
def test_the_entity_tag_of_a_response(lines: list[bytes], expected: tuple[bytes, bool] | None) -> None:
    """It has one or none (RFC 9110 section 8.8.3)."""
    assert entity_tag([(ETAG, line) for line in lines]) == expected


@pytest.mark.parametrize(
    "headers,expected",
    [
        ([(ETAG, b'"a"'), (LM, THEN)], [(INM, b'"a"'), (IMS, THEN)]),
        ([(ETAG, b'W/"a"')], [(INM, b'W/"a"')]),
        ([(LM, THEN)], [(IMS, THEN)]),
        ([(ETAG, b"unquoted"), (LM, b"yesterday")], [(INM, b"unquoted"), (IMS, b"yesterday")]),
        ([(ETAG, b'"a"'), (ETAG, b'"b"'), (LM, THEN)], [(IMS, THEN)]),
        ([(DATE, THEN)], []),
    ],
)
def test_the_application_is_asked_by_its_own_validators(headers: Fields, expected: Fields) -> None:
    """Both are sent, as they came (RFC 9111 section 4.3.1)."""
    assert conditions(headers) == expected


@pytest.mark.parametrize(
    "stored,news,expected",
    [
        # A strong tag is the same or it is not.
        ([(ETAG, b'"a"')], [(ETAG, b'"a"')], True),
        ([(ETAG, b'"a"')], [(ETAG, b'"b"')], False),
        ([(ETAG, b'W/"a"')], [(ETAG, b'"a"')], False),
        ([(ETAG, b'"a"'), (LM, THEN)], [(ETAG, b'"b"'), (LM, THEN)], False),
        ([(ETAG, b'"a"'), (LM, THEN)], [(ETAG, b'"a"'), (LM, LATER)], True),
        # Weak ones correspond.
        ([(ETAG, b'W/"a"')], [(ETAG, b'W/"a"')], True),
        ([(ETAG, b'"a"')], [(ETAG, b'W/"a"')], True),
        ([(ETAG, b'W/"a"')], [(ETAG, b'W/"b"')], False),
        # Dates, where one side has no tag.
        ([(LM, THEN)], [(LM, THEN)], True),
        ([(LM, THEN)], [(LM, LATER)], False),
        ([(ETAG, b'"a"'), (LM, THEN)], [(LM, THEN)], True),
        ([(ETAG, b'"a"'), (LM, THEN)], [(LM, BEFORE)], False),
        ([(ETAG, b'"a"')], [(LM, THEN)], False),
        ([(LM, THEN)], [(LM, THEN), (LM, THEN)], False),
        ([(LM, THEN)], [(ETAG, b'W/"a"'), (LM, THEN)], True),
        ([(LM, THEN)], [(ETAG, b'W/"a"')], False),
        ([(LM, THEN)], [(ETAG, b'"a"'), (LM, THEN)], False),
        ([(LM, THEN), (DATE, THEN)], [(ETAG, b'"a"'), (LM, THEN)], False),
        ([(LM, THEN), (DATE, LATER)], [(ETAG, b'"a"'), (LM, THEN)], True),
        ([(LM, LATER), (DATE, THEN)], [(ETAG, b'"a"'), (LM, LATER)], False),
        ([], [(ETAG, b'"a"')], False),
        # Nothing to compare: it answers what we asked.
        ([(ETAG, b'"a"'), (LM, THEN)], [(DATE, LATER)], True),
        ([], [], True),
    ],
)
def test_which_304_speaks_of_the_stored_response(stored: Fields, news: Fields, expected: bool) -> None:
    """The three rules of RFC 9111 section 4.3.4, in their order."""
    assert same(stored, news) is expected


@pytest.mark.parametrize(
    "name",
    [
        "cache-control",
        "content-foo",
        "content-language",
        "content-location",
        "content-security-policy",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "link",
        "repr-digest",
        "vary",
        "x-frame-options",
        "x-test",
    ],
)
def test_a_304_updates_a_field(name: str) -> None:
    """Content-* or not, what it has replaces every stored line, and is added where there was none (3.2)."""
    field = name.encode()
    old = ((b"a", b"1"), (field, b"old"), (field, b"older"))

    assert updated_fields(old, [(field.title(), b"new")]) == ((b"a", b"1"), (field, b"new"))
    assert updated_fields(old[:1], [(field, b"x"), (field, b"y")]) == (old[0], (field, b"x"), (field, b"y"))
    assert updated_fields(old, []) == old


@pytest.mark.parametrize(
    "name",
    [
        "age",
        "connection",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ],
)
def test_a_304_does_not_update_a_field(name: str) -> None:
    """Not those that are never stored, nor those that say how the stored bytes are to be read (3.2)."""
    field = name.encode()

    assert updated_fields(((field, b"old"),), [(field.title(), b"new")]) == ((field, b"old"),)
    assert updated_fields((), [(field, b"new")]) == ()


def test_a_304_does_not_update_what_its_connection_names() -> None:
    """Such a field is for the next hop only (RFC 9110 section 7.6.1)."""
    news = [(b"connection", b"close, X-Hop"), (b"x-hop", b"new")]

    assert updated_fields(((b"x-hop", b"old"),), news) == ((b"x-hop", b"old"),)
