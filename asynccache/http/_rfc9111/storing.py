"""Which responses may be stored, and what of them (RFC 9111 section 3)."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal

from asynccache.http._rfc9111.fields import Headers, cache_control, field_values, list_members
from asynccache.http._rfc9111.selection import vary_names

__all__ = ["content_length", "is_shared", "refusal", "replayable"]

PARTIAL_CONTENT: Final = 206
_STREAMS: Final = frozenset({b"text/event-stream", b"multipart/x-mixed-replace"})
_COOKIES: Final = frozenset({b"set-cookie", b"set-cookie2"})
_LENGTH_DIGITS: Final = 18

_NOT_REPLAYED: Final = _COOKIES | {
    # RFC 9110 section 7.6.1 and RFC 9111 section 3.1: about one connection or one proxy only.
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authentication-info",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    # Computed anew for each replay.
    b"age",
    b"content-length",
}


def refusal(status: int, headers: Headers, *, statuses: Container[int]) -> str | None:
    """Return why a marked route's response is not stored, None if it may be (RFC 9111 sections 3, 5.2.2).

    The reason is a token for Cache-Status and events: ``set-cookie``, ``private``, ``no-store``,
    ``vary-any``, ``partial``, ``status``, ``stream``, ``trailers``, ``hop-by-hop`` or
    ``content-encoding``. What no route may override comes first.

    Args:
        status: The response's status.
        headers: Its header fields.
        statuses: The statuses the policy allows.
    """
    names = {name.lower() for name, _ in headers}
    return (
        _refused_sharing(headers, names)
        or _refused_status(status, names, statuses)
        or _refused_framing(headers, names)
    )


def _refused_sharing(headers: Headers, names: set[bytes]) -> str | None:
    if not names.isdisjoint(_COOKIES):
        return "set-cookie"
    if b"cache-control" in names:
        directives = cache_control(headers)
        # private="field" would allow storing the rest; an author who wrote it meant a person's response.
        for directive in ("private", "no-store"):
            if directives.has(directive):
                return directive
    return "vary-any" if b"vary" in names and vary_names(headers) is None else None


def _refused_status(status: int, names: set[bytes], statuses: Container[int]) -> str | None:
    if status == PARTIAL_CONTENT or b"content-range" in names:
        return "partial"
    return None if status in statuses else "status"


def _refused_framing(headers: Headers, names: set[bytes]) -> str | None:
    types = field_values(headers, b"content-type")
    if any(value.partition(b";")[0].strip().lower() in _STREAMS for value in types):
        return "stream"
    if b"trailer" in names:
        return "trailers"
    if b"transfer-encoding" in names and _codings(headers, b"transfer-encoding") - {b"chunked"}:
        return "hop-by-hop"
    # Encoded for one client: unless Vary says so, every other one would get the same bytes.
    encoded = b"content-encoding" in names and _codings(headers, b"content-encoding")
    return "content-encoding" if encoded and b"accept-encoding" not in (vary_names(headers) or ()) else None


def _codings(headers: Headers, name: bytes) -> set[bytes]:
    return {member.lower() for member in list_members(headers, name)} - {b"identity"}


def replayable(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields to store for replay, names in lower case (RFC 9111 sections 3.1 and 5.2.2.4).

    Left out are the fields of one connection, those Connection names, those ``no-cache="…"`` names,
    Set-Cookie, and what each replay computes (Age, Content-Length). A Cache-Status from further
    inside stays: RFC 9211 section 2 wants the chain of caches kept, ours last.
    """
    named = {member.lower() for member in list_members(headers, b"connection")}
    dropped = _NOT_REPLAYED.union(named, cache_control(headers).fields("no-cache"))
    return tuple((lower, value) for name, value in headers if (lower := name.lower()) not in dropped)


def is_shared(headers: Headers) -> bool:
    """Return whether a response to a request with Authorization may answer others (RFC 9111 section 3.5).

    ``public`` or an ``s-maxage`` above 0 says so. Unlike the RFC, ``must-revalidate`` does not, and
    ``no-cache`` or ``s-maxage=0`` take it back: they count on the origin being asked each time,
    while a marked route's ttl is authoritative.
    """
    directives = cache_control(headers)
    if any(directives.has(name) for name in ("private", "no-store")):
        return False
    if directives.has("no-cache") and not directives.fields("no-cache"):
        return False
    shared_age = directives.seconds("s-maxage")
    return directives.has("public") if shared_age is None else shared_age > 0


def content_length(headers: Headers) -> int | Literal["invalid"] | None:
    """Return the length announced; None if none is, ``"invalid"`` if it is no length (RFC 9110 section 8.6).

    The same length given several times counts as one; lengths that differ are invalid.
    """
    values = field_values(headers, b"content-length")
    if not values:
        return None
    texts = {text.strip() for value in values for text in value.split(b",")}
    lengths = {int(text) if text.isdigit() and len(text) <= _LENGTH_DIGITS else -1 for text in texts}
    length = lengths.pop()
    return "invalid" if lengths or length < 0 else length
