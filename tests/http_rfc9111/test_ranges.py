"""What ranges a request asks for, and what a stored response has of them (RFC 9110 section 14)."""

from __future__ import annotations

import re
from email import message_from_bytes

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.fields import format_http_date
from asynccache.http._rfc9111.ranges import Requested, content_range, holds_if_range, requested, select
from asynccache.http._rfc9111.stored import Part, StoredResponse

NOW = 1_700_000_000.0
TEXT = (b"content-type", b"text/plain")
BODY = bytes(range(256)) * 40
Spans = list[tuple[int, int]]


def stored(
    body: bytes,
    *fields: tuple[bytes, bytes],
    part: Part | None = None,
    status: int | None = None,
    modified: float | None = None,
) -> StoredResponse:
    """Return a stored response, a 206 where it is a part."""
    code = status or (200 if part is None else 206)
    return StoredResponse(
        code,
        fields,
        body,
        b"",
        shared=False,
        public=False,
        date=NOW,
        initial_age=0.0,
        last_modified=modified,
        part=part,
    )


def wanted(text: bytes) -> Requested:
    """Return what a Range asks for."""
    ranges = requested([(b"range", text)])
    assert ranges is not None
    return ranges


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"bytes=0-499", [(0, 499)]),
        (b"bytes=500-999", [(500, 999)]),
        (b"bytes=-500", [(9500, 9999)]),
        (b"bytes=9500-", [(9500, 9999)]),
        (b"bytes=0-0,-1", [(0, 0), (9999, 9999)]),
        (b"bytes= 0-999, 4500-5499, -1000", [(0, 999), (4500, 5499), (9000, 9999)]),
        (b"bytes=500-600,601-999", [(500, 600), (601, 999)]),
        (b"bytes=500-700,601-999", [(500, 700), (601, 999)]),
        (b"bytes=0-99999", [(0, 9999)]),
        (b"bytes=-99999", [(0, 9999)]),
        (b"bytes=9999-9999", [(9999, 9999)]),
        (b"bytes=9999-10000", [(9999, 9999)]),
        (b"bytes=0-99999999999999999999999999", [(0, 9999)]),
        (b"bytes=-99999999999999999999999999", [(0, 9999)]),
        (b"bytes=000000000000000000000000000001-2", [(1, 2)]),
        (b"Bytes=0-1", [(0, 1)]),
        (b" bytes=0-1 ", [(0, 1)]),
        (b"bytes=,0-1,,\t3-4 ,", [(0, 1), (3, 4)]),
        (b"bytes=0-1, 10000-", [(0, 1)]),
        (b"bytes=-0, 5-5", [(5, 5)]),
    ],
)
def test_ranges_of_ten_thousand_bytes(value: bytes, expected: Spans) -> None:
    """The examples of RFC 9110 section 14.1.2, and the limits of its rules."""
    body = BODY[:10000]
    content = select(stored(body, TEXT), wanted(value))

    assert content is not None
    assert content.status == 206
    assert parts_of(content.headers, content.body) == [
        (b"bytes %d-%d/10000" % span, body[span[0] : span[1] + 1]) for span in expected
    ]


def parts_of(headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> list[tuple[bytes, bytes]]:
    """Return Content-Range and content of each part of a 206, as another implementation reads them."""
    fields = dict(headers)
    if b"content-range" in fields:
        assert b"content-type" not in fields  # the stored one stays
        return [(fields[b"content-range"], body)]
    message = message_from_bytes(b"content-type: " + fields[b"content-type"] + b"\r\n\r\n" + body)
    assert message.get_content_type() == "multipart/byteranges"
    assert not message.defects
    pieces = re.split(rb"(?:\r\n|^)--" + str(message.get_boundary()).encode(), body)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    found: list[tuple[bytes, bytes]] = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n"))
        assert lines.pop(b"content-type") == TEXT[1]
        found.append((lines.pop(b"content-range"), content))
        assert not lines
    return found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=a-b",
        b"bytes=1",
        b"bytes=1-2-3",
        b"bytes=--1",
        b"bytes=+1-2",
        b"bytes=1 - 2",
        b"bytes=2-1",
        b"bytes=0-1,2-1",
        b"bytes=0-1,x",
        b"bytes=0-1;2-3",
        b"bytes =0-1",
        b"bytes:0-1",
        b"=0-1",
        b"0-1",
        b"pages=0-1",
        b"bytes=0x0-0x1",
        b"bytes=\xb2-\xb3",
        b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(17)),
    ],
)
def test_malformed_ranges_mean_the_whole(value: bytes) -> None:
    """What is invalid, of another unit or of too many parts is ignored (sections 14.2 and 17.15)."""
    assert requested([(b"range", value)]) is None


def test_only_one_line_is_a_range() -> None:
    """It is no list field, and absent most of the time."""
    assert requested([]) is None
    assert requested([(b"Range", b"bytes=0-1")]) == ((0, 1),)
    assert requested([(b"range", b"bytes=0-1"), (b"range", b"bytes=0-1")]) is None


@pytest.mark.parametrize(
    "value", [b"bytes=10-", b"bytes=10-20, 99-", b"bytes=-0", b"bytes=99999999999999999999-"]
)
def test_unsatisfiable_ranges(value: bytes) -> None:
    """Where no range has a byte of the representation, its length is told (section 15.5.17)."""
    content = select(stored(b"0123456789", TEXT), wanted(value))

    assert content == (416, ((b"content-range", b"bytes */10"),), b"")


@pytest.mark.parametrize("value,status", [(b"bytes=0-", 416), (b"bytes=-0", 416), (b"bytes=-5", None)])
def test_an_empty_body_has_no_ranges(value: bytes, status: int | None) -> None:
    """Its last bytes are the whole of it, which no Content-Range can say (section 14.1.2)."""
    content = select(stored(b""), wanted(value))

    assert (content and content.status) == status


@pytest.mark.parametrize("value", [b"bytes=0-9,0-9", b"bytes=0-,0-0", b"bytes=-6,-6"])
def test_who_wants_more_than_there_is_gets_the_whole(value: bytes) -> None:
    """Overlapping ranges must not make a small resource a large response (section 17.15)."""
    assert select(stored(b"0123456789"), wanted(value)) is None


@pytest.mark.parametrize("status", [203, 301, 404, 500])
def test_only_a_200_has_ranges(status: int) -> None:
    """A range applies where the answer would be 200 without it (section 14.2)."""
    assert select(stored(b"0123456789", status=status), wanted(b"bytes=0-1")) is None


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"bytes=4-5", b"45"),
        (b"bytes=3-6", b"3456"),
        (b"bytes=2-6", None),
        (b"bytes=3-7", None),
        (b"bytes=3-", None),
        (b"bytes=-4", None),
        (b"bytes=4-5,9-9", None),
    ],
)
def test_a_part_answers_what_lies_within_it(value: bytes, expected: bytes | None) -> None:
    """Bytes 3 to 6 of ten are good for any range wholly within them (RFC 9111 section 3.3)."""
    content = select(stored(b"3456", part=Part(3, 10)), wanted(value))

    assert (content and content.body) == expected
    if content:
        first = b"0123456789".index(content.body)
        field = b"bytes %d-%d/10" % (first, first + len(content.body) - 1)
        assert content.headers == ((b"content-range", field),)


def test_a_part_knows_what_is_unsatisfiable() -> None:
    """Beyond the end of the representation there is nothing, whichever part is stored."""
    content = select(stored(b"3456", part=Part(3, 10)), wanted(b"bytes=10-"))

    assert content == (416, ((b"content-range", b"bytes */10"),), b"")


def test_parts_without_a_type() -> None:
    """Where the whole has no Content-Type, neither have its parts (section 14.6)."""
    content = select(stored(b"0123456789"), wanted(b"bytes=0-0,-1"))

    assert content is not None
    assert b"content-type" not in content.body


def test_no_body_contains_the_boundary() -> None:
    """A body into which somebody wrote a boundary seen before is given another one (section 14.6)."""
    body = b"0" * 200
    for _ in range(3):
        content = select(stored(body, TEXT), wanted(b"bytes=0-0,-1"))
        assert content is not None
        boundary = content.headers[0][1].partition(b"boundary=")[2]
        assert boundary not in body
        assert content.body.count(b"--" + boundary) == 3
        assert content == select(stored(body, TEXT), wanted(b"bytes=0-0,-1"))
        body = b"--" + boundary + body[len(boundary) + 2 :]


STRONG, WEAK = b'"xyzzy"', b'W/"xyzzy"'
MODIFIED = NOW - 60


@pytest.mark.parametrize(
    "etag,value,holds",
    [
        (STRONG, b'"xyzzy"', True),
        (STRONG, b' "xyzzy" ', True),
        (STRONG, b'W/"xyzzy"', False),
        (STRONG, b'"other"', False),
        (STRONG, b'"xyzzy", "xyzzy"', False),
        (STRONG, b"xyzzy", False),
        (STRONG, b"*", False),
        (STRONG, b"", False),
        (WEAK, b'"xyzzy"', False),
        (WEAK, b'W/"xyzzy"', False),
        (None, b'"xyzzy"', False),
        (b"xyzzy", b'"xyzzy"', False),
    ],
)
def test_if_range_with_an_entity_tag(etag: bytes | None, value: bytes, holds: bool) -> None:
    """Only one and the same strong tag holds, compared strongly (section 13.1.5)."""
    response = stored(b"", *([(b"etag", etag)] if etag else []), modified=MODIFIED)

    assert holds_if_range([(b"If-Range", value)], response, NOW) is holds


@pytest.mark.parametrize(
    "modified,date,holds",
    [
        (MODIFIED, MODIFIED, True),
        (NOW - 1, NOW - 1, True),
        (NOW, NOW, False),  # it may have been changed again in the same second
        (MODIFIED, MODIFIED + 1, False),  # exactly: later is not good enough
        (MODIFIED, MODIFIED - 1, False),
        (None, MODIFIED, False),
    ],
)
def test_if_range_with_a_date(modified: float | None, date: float, holds: bool) -> None:
    """It holds if it is Last-Modified exactly, and that is a strong validator (sections 8.8.2.2, 13.1.5)."""
    response = stored(b"", (b"etag", STRONG), modified=modified)

    assert holds_if_range([(b"if-range", format_http_date(date))], response, NOW) is holds


def test_if_range_says_nothing_or_one_thing() -> None:
    """Without it ranges are served; two of it are none that could hold."""
    response = stored(b"", (b"etag", STRONG))

    assert holds_if_range([], response, NOW)
    assert not holds_if_range([(b"if-range", STRONG)] * 2, response, NOW)


@pytest.mark.parametrize(
    "value,length,expected",
    [
        (b"bytes 42-1233/1234", 1192, Part(42, 1234)),
        (b"bytes 0-499/1234", 500, Part(0, 1234)),
        (b"bytes 734-1233/1234", 500, Part(734, 1234)),
        (b"bytes 0-0/1", 1, Part(0, 1)),
        (b"Bytes  0-0/1 ", 1, Part(0, 1)),
        (b"bytes 42-1233/*", 1192, None),
        (b"bytes */1234", 0, None),
        (b"bytes 42-1233/1234", 1191, None),
        (b"bytes 42-1233/1233", 1192, None),
        (b"bytes 5-4/10", 0, None),
        (b"bytes=0-0/1", 1, None),
        (b"bytes 0-0/1, bytes 1-1/2", 1, None),
        (b"bytes -1/2", 1, None),
        (b"pages 0-0/1", 1, None),
        (b"bytes 0-0/" + b"9" * 5000, 1, Part(0, 2**63 - 1)),
        (b"", 0, None),
    ],
)
def test_content_range(value: bytes, length: int, expected: Part | None) -> None:
    """The examples of section 14.4; without a known length, or with another than it says, it is no part."""
    assert content_range([(b"Content-Range", value)], length) == expected


def test_a_206_that_does_not_say_its_range_once() -> None:
    """Absent, doubled, or beside several parts that have their own: nothing to go by (section 15.3.7.2)."""
    field = (b"content-range", b"bytes 0-0/1")

    assert content_range([], 1) is None
    assert content_range([field, field], 1) is None
    assert content_range([field, (b"content-type", b"Multipart/ByteRanges; boundary=x")], 1) is None
    assert content_range([field, TEXT], 1) == Part(0, 1)


PIECES = st.sampled_from(
    [b"bytes", b"=", b"-", b",", b" ", b"0", b"9" * 30, b"/", b"*", b'"x"', b"W/", b"\xff"]
)
VALUES = st.binary() | st.lists(PIECES, max_size=12).map(b"".join)
NAMES = st.sampled_from([b"range", b"if-range", b"content-range", b"etag"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.binary(max_size=8), st.integers(0, 8))
def test_no_bytes_raise(headers: list[tuple[bytes, bytes]], body: bytes, first: int) -> None:
    """Whatever either side sends, there is an answer, and it lies within the body."""
    for part in (None, Part(first, first + len(body) + 3)):
        response = stored(body, *headers, part=part)
        holds_if_range(headers, response, NOW)
        content_range(headers, len(body))
        ranges = requested(headers) or requested([(b"range", headers[0][1])]) if headers else None
        content = None if ranges is None else select(response, ranges)
        if content is not None and content.headers[0][0] == b"content-range":
            assert content.body in body


def sliced(body: bytes, first: int | None, last: int | None) -> bytes:
    """Return a range of a body, as Python has it."""
    if first is None:
        return body[-last:] if last else b""
    return body[first:] if last is None else body[first : last + 1]


POSITIONS = st.none() | st.integers(0, 12)


@given(st.binary(max_size=10), st.lists(st.tuples(POSITIONS, POSITIONS), min_size=1, max_size=4))
def test_what_is_selected_is_what_slices_are(body: bytes, asked: list[tuple[int | None, int | None]]) -> None:
    """Any ranges of any body are its slices, in the order in which they were asked for."""
    text = b",".join(b"%b-%b" % tuple(b"" if n is None else b"%d" % n for n in pair) for pair in asked)
    ranges = requested([(b"range", b"bytes=" + text)])
    if ranges is None:
        return
    content = select(stored(body, TEXT), ranges)
    slices = [piece for first, last in ranges if (piece := sliced(body, first, last))]

    if content is None:
        assert not body or sum(map(len, slices)) > len(body)
    elif content.status == 416:
        assert not slices
    else:
        assert [piece for _, piece in parts_of(content.headers, content.body)] == slices
