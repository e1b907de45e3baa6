"""What a client gets out of a response it may have: all of it, a part, or word that its own is still good.

RFC 9110 sections 13 and 14, for RFC 9111 sections 3.4 (combining parts) and 4.3.2 (evaluating conditions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.http_middleware.rfc_messages import Request, Response, Stored, bare, items, moment

__all__ = ["Expected", "answers", "combined", "ranges", "still_good"]

Span = tuple[int, int]
"""First and last byte, both included."""


@dataclass(frozen=True)
class Expected:
    """One permitted answer."""

    status: int
    body: bytes
    content_range: str | None = None
    spans: tuple[Span, ...] = ()
    """Of ``body``, for an answer of several parts."""


def still_good(response: Response, request: Request) -> bool | None:
    """Whether the client's own copy is this one (RFC 9110 section 13.2.2); None: the RFC leaves it open."""
    wanted = request.get("if-none-match")
    if wanted is not None:  # section 13.1.2: weak comparison; * is anything that exists
        if wanted == "*":
            return True
        return response.etag is not None and bare(response.etag) in map(bare, items(wanted))
    since = moment(request.get("if-modified-since") or "")
    if since is None:
        return False
    if response.modified is not None:  # section 13.1.3
        return (moment(response.modified) or 0) <= since
    # RFC 9111 section 4.3.2: "SHOULD use the Date", or else the time of arrival
    return None if response.dated <= since else False


def ranges(field: str, length: int) -> list[Span] | None:
    """Return the spans that ``bytes=...`` names (RFC 9110 section 14.1.2); None for a field to ignore."""
    unit, _, specs = field.partition("=")
    if unit != "bytes":
        return None
    spans: list[Span] = []
    for spec in items(specs):
        first, _, last = spec.partition("-")
        if not first:
            count = min(int(last), length)
            if count:
                spans.append((length - count, length - 1))
        elif int(first) < length:
            spans.append((int(first), min(int(last or length), length - 1)))
    return spans


def _applies(response: Response, request: Request) -> bool:
    """Section 13.1.5: If-Range must name this very representation, by a strong validator."""
    condition = request.get("if-range")
    if condition is None:
        return True
    return condition == response.strong if '"' in condition else condition == response.modified


def answers(stored: Stored, request: Request) -> list[Expected]:
    """Return the permitted answers made of ``stored``, the best first."""
    response = stored.response
    if response.status == 206:
        return _of_part(response, request)
    full = Expected(response.status, response.body)
    if not 200 <= response.status < 300:  # section 13.2.1: preconditions are for what would succeed
        return [full]
    good = still_good(response, request)
    if good or good is None:
        # RFC 9111 section 4.3.2 speaks of stored 200 and 206 only.
        return [Expected(304, b"")] + ([full] if good is None or response.status != 200 else [])
    wanted = request.get("range")
    if request.method != "GET" or response.status != 200 or wanted is None or not _applies(response, request):
        return [full]
    spans = ranges(wanted, len(response.body))
    if spans is None:
        return [full]
    if not spans:
        return [Expected(416, b"", f"bytes */{len(response.body)}"), full]
    if len(spans) == 1:
        return [_part(response.body, *spans[0]), full]
    return [Expected(206, response.body, spans=tuple(spans)), full]


def _part(body: bytes, first: int, last: int) -> Expected:
    return Expected(206, body[first : last + 1], f"bytes {first}-{last}/{len(body)}")


def held(response: Response) -> tuple[int, int]:
    """Return where a part begins and the length of the whole."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.get("content-range") or "")
    assert found is not None, response
    return int(found[1]), int(found[2])


def _of_part(response: Response, request: Request) -> list[Expected]:
    first, total = held(response)
    wanted = request.get("range")
    if wanted is None or request.method != "GET":
        return []
    # RFC 9111 section 4.3.2: conditions "SHOULD" be evaluated for a 206 too; before ranges (RFC 9110 13.2.2).
    good = still_good(response, request)
    if good:
        return [Expected(304, b"")]
    unchanged = [] if good is False else [Expected(304, b"")]
    if not _applies(response, request):
        return unchanged
    spans = ranges(wanted, total)
    if not spans:  # a part says how long the whole is
        return unchanged + ([] if spans is None else [Expected(416, b"", f"bytes */{total}")])
    end = first + len(response.body)
    return unchanged + [
        Expected(206, response.body[a - first : b - first + 1], f"bytes {a}-{b}/{total}")
        for a, b in spans
        if len(spans) == 1 and first <= a <= b < end
    ]


def combined(found: list[Stored]) -> Iterator[Stored]:
    """Give what parts with one strong entity tag amount to (RFC 9111 section 3.4): a longer one."""
    tags = {stored.response.strong for stored in found if stored.response.status == 206}
    for tag in tags - {None}:
        group = [stored for stored in found if stored.response.strong == tag]
        content: dict[int, int] = {}
        total = 0
        for stored in group:
            response = stored.response
            first, total = held(response) if response.status == 206 else (0, len(response.body))
            content |= {first + place: byte for place, byte in enumerate(response.body)}
        first, last = min(content), max(content)
        if len(group) == 1 or len(content) != last - first + 1:
            continue
        newest = group[-1].response
        # The new response "MUST" replace fields of the stored one; Age and Date are those of a message.
        merged = {n: v for stored in group for n, v in stored.response.fields if n not in {"age", "date"}}
        merged |= {**dict(newest.fields), "content-range": f"bytes {first}-{last}/{total}"}
        whole = len(content) == total
        left_out = {"content-length", "content-range"} if whole else {"content-length"}
        made = replace(
            newest,
            status=200 if whole else 206,
            fields=tuple((name, value) for name, value in merged.items() if name not in left_out),
            body=bytes(content[place] for place in range(first, last + 1)),
        )
        yield Stored(group[-1].request, made, certain=False)
