"""Putting parts together, and asking for what is missing (RFC 9110 section 15.3.7.3)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.ranges import combined, missing_range, requested, select
from asynccache.http._rfc9111.stored import Part, StoredResponse, Terms

NOW = 1_700_000_000.0
TAG = b'"xyzzy"'
WHOLE = b"0123456789"


def part(
    first: int, last: int, *fields: tuple[bytes, bytes], tag: bytes = TAG, whole: bytes = WHOLE
) -> StoredResponse:
    """Return a stored 206 of some positions of the whole, both included."""
    headers = ((b"etag", tag), (b"content-range", b"bytes %d-%d/%d" % (first, last, len(whole))), *fields)
    return StoredResponse(
        206,
        headers,
        whole[first : last + 1],
        tag,
        shared=False,
        public=False,
        date=NOW,
        initial_age=0.0,
        part=Part(first, len(whole)),
    )


def complete(*fields: tuple[bytes, bytes], tag: bytes = TAG, status: int = 200) -> StoredResponse:
    """Return a stored response of the whole."""
    headers = ((b"etag", tag), *fields)
    return StoredResponse(status, headers, WHOLE, tag, shared=False, public=False, date=NOW, initial_age=0.0)


@pytest.mark.parametrize(
    "old,new,first,body",
    [
        (part(0, 4), part(5, 9), None, WHOLE),
        (part(5, 9), part(0, 4), None, WHOLE),
        (part(0, 6), part(3, 9), None, WHOLE),
        (part(3, 9), part(0, 6), None, WHOLE),
        (part(0, 9), part(3, 4), None, WHOLE),
        (part(3, 4), part(0, 9), None, WHOLE),
        (complete(), part(3, 4), None, WHOLE),
        (part(0, 3), part(4, 6), 0, b"0123456"),
        (part(6, 8), part(2, 5), 2, b"2345678"),
        (part(2, 4), part(3, 3), 2, b"234"),
    ],
)
def test_parts_that_touch_become_one(
    old: StoredResponse, new: StoredResponse, first: int | None, body: bytes
) -> None:
    """Adjacent, overlapping and nested parts of one representation are one part, or the whole as a 200."""
    result = combined(old, new)

    assert result.body == body
    assert result.part == (None if first is None else Part(first, len(WHOLE)))
    assert result.status == (200 if first is None else 206)
    assert all(name != b"content-range" for name, _ in result.headers)


@pytest.mark.parametrize(
    "old,new",
    [
        (part(0, 3), part(5, 9)),
        (part(6, 9), part(0, 4)),
        (part(0, 4, tag=b'"other"'), part(5, 9)),
        (part(0, 4, tag=b'W/"xyzzy"'), part(5, 9)),
        (part(0, 4), part(5, 9, tag=b'W/"xyzzy"')),
        (part(0, 4, tag=b'W/"xyzzy"'), part(5, 9, tag=b'W/"xyzzy"')),
        (part(0, 4, tag=b"xyzzy"), part(5, 9, tag=b"xyzzy")),
        (part(0, 4, whole=b"012345678"), part(5, 9)),
        (complete(status=404), part(5, 9)),
        (part(0, 4), complete()),
    ],
)
def test_parts_that_do_not_fit_stay_apart(old: StoredResponse, new: StoredResponse) -> None:
    """A gap, another length, or no strong entity tag in common: the new response alone is left."""
    result = combined(old, new)

    assert (result.body, result.part, result.status) == (new.body, new.part, new.status)
    assert result.headers == tuple(field for field in new.headers if field[0] != b"content-range")
    assert combined(None, new) == result


def test_the_fields_are_the_stored_ones_updated() -> None:
    """A 206 to If-Range leaves out what the client has; what it says replaces (RFC 9111 section 3.2)."""
    old = part(0, 4, (b"content-type", b"text/plain"), (b"cache-control", b"max-age=1"), (b"x-old", b"1"))
    new = part(5, 9, (b"cache-control", b"max-age=60"), (b"date", b"now"), (b"content-encoding", b"gzip"))

    assert dict(combined(old, new).headers) == {
        b"etag": TAG,
        b"content-type": b"text/plain",
        b"cache-control": b"max-age=60",
        b"x-old": b"1",
        b"date": b"now",
    }


def test_age_and_terms_are_those_of_the_new_response() -> None:
    """The origin has just confirmed the representation; only a Last-Modified it did not repeat is kept."""
    old = StoredResponse(206, ((b"etag", TAG),), b"01", TAG, True, False, NOW, 50.0, 5.0, None, Part(0, 10))
    terms = Terms(60.0, always=False, strict=False, stale_while_revalidate=0.0, stale_if_error=0.0)
    new = StoredResponse(
        206, ((b"etag", TAG),), b"23", TAG, False, False, NOW + 9, 1.0, None, terms, Part(2, 10)
    )

    result = combined(old, new)

    assert (result.date, result.initial_age, result.last_modified) == (NOW + 9, 1.0, 5.0)
    assert result.terms is terms
    assert not result.shared


@pytest.mark.parametrize(
    "response,value",
    [
        (part(0, 3), b"bytes=4-"),
        (part(0, 0), b"bytes=1-"),
        (part(4, 9), b"bytes=0-3"),
        (part(9, 9), b"bytes=0-8"),
        (part(1, 8), None),  # two ends are missing, and one range cannot ask for both
        (part(0, 3, tag=b'W/"xyzzy"'), None),
        (part(0, 3, tag=b"xyzzy"), None),
        (complete(), None),
    ],
)
def test_what_is_missing_is_asked_for(response: StoredResponse, value: bytes | None) -> None:
    """With If-Range, so that a representation that has changed comes as a whole (RFC 9111 section 3.3)."""
    fields = missing_range(response)

    assert fields == ([] if value is None else [(b"range", value), (b"if-range", TAG)])


@pytest.mark.parametrize("response", [part(0, 3), part(4, 9), part(9, 9)])
def test_what_comes_for_the_missing_range_completes_the_part(response: StoredResponse) -> None:
    """Asked of the whole, what is missing and what is there are all of it."""
    ranges = requested(missing_range(response))
    assert ranges is not None
    answer = select(complete(), ranges)
    assert answer is not None
    first = WHOLE.index(answer.body)

    assert combined(response, part(first, first + len(answer.body) - 1)).body == WHOLE


BODIES = st.binary(min_size=1, max_size=30)
SPANS = st.tuples(st.integers(0, 29), st.integers(0, 29))


@given(BODIES, st.lists(SPANS, min_size=1, max_size=6))
def test_whatever_is_combined_is_the_representation(whole: bytes, spans: list[tuple[int, int]]) -> None:
    """Any sequence of parts gives the same bytes for any range as the whole does, or says that it cannot."""
    result: StoredResponse | None = None
    for one, other in spans:
        first, last = sorted((one % len(whole), other % len(whole)))
        new = part(first, last, whole=whole)
        result = combined(result, new)
        start = 0 if result.part is None else result.part.first
        end = start + len(result.body)

        assert result.body == whole[start:end]
        assert start <= first
        assert last < end
        assert (result.status == 200) is (result.part is None) is (len(result.body) == len(whole))
        for position in range(len(whole)):
            content = select(result, ((position, len(whole) - 1),))
            expected = whole[position:] if start <= position and end == len(whole) else None
            assert (content and content.body) == expected


@given(BODIES, SPANS, SPANS)
def test_the_order_of_two_parts_does_not_matter(
    whole: bytes, one: tuple[int, int], other: tuple[int, int]
) -> None:
    """Where two parts fit, they make the same one either way; where not, the later is left."""
    (first, last), (start, end) = (sorted(n % len(whole) for n in span) for span in (one, other))
    a, b = part(first, last, whole=whole), part(start, end, whole=whole)
    forth, back = combined(a, b), combined(b, a)

    if last + 1 < start or end + 1 < first:
        assert (forth, back) == (combined(None, b), combined(None, a))
    else:
        assert (forth.body, forth.part, forth.status) == (back.body, back.part, back.status)
        assert len(forth.body) == max(last, end) - min(first, start) + 1
