"""Range requests, answered from what is stored, and partial responses (RFC 9110 sections 14 and 15.3.7)."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from asynccache.http._rfc9111.fields import Headers, field_values, http_date
from asynccache.http._rfc9111.stored import Part, StoredResponse
from asynccache.http._rfc9111.validation import entity_tag, make_etag, modified_before, updated_fields

__all__ = [
    "Content",
    "combined",
    "content_range",
    "fits",
    "holds_if_range",
    "missing_range",
    "requested",
    "select",
]

Span = tuple[int, int]
"""First and last position, both included."""
Requested = tuple[tuple[int | None, int | None], ...]
"""Ranges as asked for: ``5-9`` is (5, 9), ``5-`` is (5, None), ``-5`` is (None, 5)."""

_MOST_RANGES: Final = 16
_SPEC: Final = re.compile(rb"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_CONTENT_RANGE: Final = re.compile(
    rb"bytes +(?P<first>[0-9]+)-(?P<last>[0-9]+)/(?P<complete>[0-9]+)", re.IGNORECASE
)
_FAR: Final = 2**63 - 1
"""A position beyond all bodies, which any larger one is read as."""
_DIGITS: Final = len(str(_FAR))
_WHOLE_OR_PART: Final = frozenset({200, 206})


def requested(headers: Headers) -> Requested | None:
    """Return the byte ranges a request asks for; None: the whole, which is also what is malformed means.

    Many ranges are ignored: they would cost more than they save (RFC 9110 sections 14.2 and 17.15).
    """
    lines = field_values(headers, b"range")
    if len(lines) != 1:
        return None
    unit, equals, text = lines[0].strip().partition(b"=")
    if unit.lower() != b"bytes" or not equals:
        return None
    specs = [spec for part in text.split(b",") if (spec := part.strip(b" \t"))]
    if not 0 < len(specs) <= _MOST_RANGES:
        return None
    ranges: list[tuple[int | None, int | None]] = []
    for spec in specs:
        found = _SPEC.fullmatch(spec)
        if found is None or spec == b"-":
            return None
        first = _position(found["first"]) if found["first"] else None
        last = _position(found["last"]) if found["last"] else None
        if first is not None and last is not None and last < first:
            return None
        ranges.append((first, last))
    return tuple(ranges)


def _position(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    # int() of a long text is quadratic, and refused beyond some thousand digits.
    return _FAR if len(significant) > _DIGITS else min(int(significant or b"0"), _FAR)


def _span(wanted: tuple[int | None, int | None], complete: int) -> Span | None:
    """Return what a range is of ``complete`` bytes; None if nothing (RFC 9110 section 14.1.2)."""
    first, last = wanted
    if first is None:
        length = min(last or 0, complete)
        return (complete - length, complete - 1) if length else None
    return None if first >= complete else (first, complete - 1 if last is None else min(last, complete - 1))


class Content(NamedTuple):
    """What answers a range request."""

    status: Literal[206, 416]
    headers: tuple[tuple[bytes, bytes], ...]
    """Content-Range, or the Content-Type of several parts."""
    body: bytes


def select(stored: StoredResponse, wanted: Requested) -> Content | None:
    """Return what a stored 200 or 206 has for a range request; None if it does not have all of it.

    Also None where the whole is the better answer: to ranges that overlap, to the last bytes of an empty
    body, and if the status is another one (RFC 9110 section 14.2).

    Args:
        stored: The response.
        wanted: What is asked for.
    """
    if stored.status not in _WHOLE_OR_PART:
        return None
    start, complete = _extent(stored)
    spans = [span for spec in wanted if (span := _span(spec, complete)) is not None]
    if not spans:
        if complete == 0 and any(first is None and last for first, last in wanted):
            return None  # satisfiable, but there are no positions that a Content-Range could name
        return Content(416, ((b"content-range", b"bytes */%d" % complete),), b"")
    end = start + len(stored.body)
    if any(first < start or last >= end for first, last in spans):
        return None
    if len(spans) == 1:
        first, last = spans[0]
        field = (b"content-range", b"bytes %d-%d/%d" % (first, last, complete))
        return Content(206, (field,), stored.body[first - start : last - start + 1])
    if sum(last - first + 1 for first, last in spans) > complete:
        return None  # somebody wants more than there is (RFC 9110 section 17.15)
    return _several(stored, spans, start, complete)


def _extent(stored: StoredResponse) -> tuple[int, int]:
    """Return where in the representation the stored bytes begin, and how long the whole of it is."""
    return (0, len(stored.body)) if stored.part is None else (stored.part.first, stored.part.complete)


def _several(stored: StoredResponse, spans: list[Span], start: int, complete: int) -> Content:
    """Return a multipart/byteranges (RFC 9110 section 14.6)."""
    boundary = make_etag(stored.body)[1:-1]  # a digest: nobody can write a body that contains its own
    kinds = field_values(stored.headers, b"content-type")
    kind = b"content-type: %b\r\n" % kinds[0] if kinds else b""
    parts = [
        b"--%b\r\n%bcontent-range: bytes %d-%d/%d\r\n\r\n%b\r\n"
        % (boundary, kind, first, last, complete, stored.body[first - start : last - start + 1])
        for first, last in spans
    ]
    body = b"".join((*parts, b"--%b--\r\n" % boundary))
    return Content(206, ((b"content-type", b"multipart/byteranges; boundary=" + boundary),), body)


def holds_if_range(request_headers: Headers, stored: StoredResponse, now: float) -> bool:
    """Return whether ranges may be served; if not, the whole is asked for (RFC 9110 section 13.1.5).

    Args:
        request_headers: The request's fields.
        stored: The response.
        now: Seconds since the epoch, for dates with a two-digit year.
    """
    lines = field_values(request_headers, b"if-range")
    if not lines:
        return True
    value = lines[0].strip()
    if len(lines) > 1:
        return False
    if value.startswith((b'"', b"W/")):
        tag = entity_tag(stored.headers)
        return tag is not None and not tag.weak and value == tag.opaque
    date = http_date(value, now)
    # Only a date that is a strong validator (section 8.8.2.2).
    return date is not None and date == stored.last_modified and modified_before(date, stored.date)


def content_range(headers: Headers, length: int) -> Part | None:
    """Return which part a 206 of ``length`` bytes is; None if it does not say, or says what cannot be.

    A 206 of several parts says it in each of them, and must not say it in its header (section 15.3.7.2).

    Args:
        headers: The response's fields.
        length: The length of its body.
    """
    lines = field_values(headers, b"content-range")
    found = _CONTENT_RANGE.fullmatch(lines[0].strip()) if len(lines) == 1 else None
    kinds = field_values(headers, b"content-type")
    if found is None or any(kind.strip().lower().startswith(b"multipart/byteranges") for kind in kinds):
        return None
    first, last, complete = (_position(found[name]) for name in ("first", "last", "complete"))
    return Part(first, complete) if first <= last < complete and last - first + 1 == length else None


def combined(old: StoredResponse | None, new: StoredResponse) -> StoredResponse:
    """Return a new 206 together with what was stored, where they fit (RFC 9110 section 15.3.7.3).

    They do if both have the same strong entity tag and leave no gap; else the new one alone is returned. The
    fields are the stored ones, updated with the new ones (RFC 9111 section 3.4): a 206 to a request with
    If-Range leaves out what the client is known to have. Terms and age are those of the new response. What
    has become whole is a 200.

    Args:
        old: What is stored for the same request; None: nothing.
        new: The 206, as it would be stored alone.
    """
    if new.part is None:
        return new
    if old is None or not fits(old, new):
        return _joined(new, new.headers, new.body, new.part)
    start, _ = _extent(old)
    first, end = new.part.first, new.part.first + len(new.body)
    body = old.body[: max(0, first - start)] + new.body + old.body[max(0, end - start) :]
    joined = _joined(
        new, updated_fields(old.headers, new.headers), body, Part(min(start, first), new.part.complete)
    )
    return joined if new.last_modified is not None else replace(joined, last_modified=old.last_modified)


def fits(old: StoredResponse, new: StoredResponse) -> bool:
    """Return whether a 206 and what is stored are of one representation, and leave no gap between them."""
    part = new.part
    if part is None:
        return False
    mine, other = entity_tag(old.headers), entity_tag(new.headers)
    if old.status not in _WHOLE_OR_PART or mine is None or mine.weak or mine != other:
        return False
    start, complete = _extent(old)
    touching = part.first <= start + len(old.body) and start <= part.first + len(new.body)
    return complete == part.complete and touching


def _joined(response: StoredResponse, fields: Headers, body: bytes, part: Part) -> StoredResponse:
    whole = part.first == 0 and len(body) == part.complete
    return replace(
        response,
        status=200 if whole else 206,
        headers=tuple(field for field in fields if field[0] != b"content-range"),
        body=body,
        part=None if whole else part,
    )


def missing_range(stored: StoredResponse) -> list[tuple[bytes, bytes]]:
    """Return the request fields that ask for what a stored part lacks; none if that cannot be asked safely.

    Only with a strong entity tag can what comes be put together with what is there (RFC 9110 section
    15.3.7.3), and only what lacks a single end can be asked for as one range.
    """
    tag = entity_tag(stored.headers)
    if stored.part is None or tag is None or tag.weak:
        return []
    first, end = stored.part.first, stored.part.first + len(stored.body)
    if first == 0:
        wanted = b"bytes=%d-" % end
    elif end == stored.part.complete:
        wanted = b"bytes=0-%d" % (first - 1)
    else:
        return []
    return [(b"range", wanted), (b"if-range", tag.opaque)]
