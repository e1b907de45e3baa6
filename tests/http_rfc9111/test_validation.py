"""Entity tags and conditional requests (RFC 9111 section 4.3, RFC 9110 section 13)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asynccache.http._rfc9111.fields import http_date
from asynccache.http._rfc9111.validation import make_etag, not_modified, not_modified_fields

INM, IMS = b"if-none-match", b"if-modified-since"
THEN = b"Sat, 29 Oct 1994 19:43:31 GMT"
BEFORE = b"Sat, 29 Oct 1994 19:43:30 GMT"
MODIFIED = http_date(THEN)


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
