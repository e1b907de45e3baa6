"""Which responses may be stored, and what of them (RFC 9111 section 3)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from http import HTTPStatus
from typing import Final, Literal

from asynccache.http._rfc9111.directives import Told
from asynccache.http._rfc9111.fields import Headers, cache_control, field_values, list_members
from asynccache.http._rfc9111.selection import vary_names
from asynccache.http._rfc9111.stored import Terms
from asynccache.http._rfc9111.switches import Switches

__all__ = [
    "HEURISTIC",
    "content_length",
    "is_shared",
    "refusal",
    "replayable",
    "shared_by_origin",
    "storable_fields",
    "unstorable",
    "useless",
]

PARTIAL_CONTENT: Final = 206
NOT_MODIFIED: Final = 304
UNSATISFIABLE: Final = 416
HEURISTIC: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose lifetime may be guessed (RFC 9110 section 15.1)."""
_UNDERSTOOD: Final = frozenset(status.value for status in HTTPStatus if status >= HTTPStatus.OK) - {
    HTTPStatus.IM_USED,  # part of a response, to be put together by rules of its own (RFC 3229)
    HTTPStatus.IM_A_TEAPOT,  # not registered
}
"""What ``must-understand`` asks for: registered, and without rules for caches that are not kept here."""
_STREAMS: Final = frozenset({b"text/event-stream", b"multipart/x-mixed-replace"})
_COOKIES: Final = frozenset({b"set-cookie", b"set-cookie2"})
_ESSENTIAL: Final = frozenset({b"vary"})
"""Not even the application can have them left out: without Vary a response would be for everybody."""
_FRAMING: Final = frozenset({b"content-type", b"trailer", b"transfer-encoding"})
_LENGTH_DIGITS: Final = 18
_LINE_ENDS: Final = re.compile(rb"[\r\n\0]")

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
    ``vary-any``, ``partial``, ``status``, ``malformed``, ``stream``, ``trailers``, ``hop-by-hop`` or
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
        or _malformed(headers)
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


def _malformed(headers: Headers) -> str | None:
    """Return the reason if a field holds what would end it on the wire (RFC 9110 section 5.5).

    Not every server refuses to write that: one response could be two, and from here it would be so for all.
    """
    written = b"".join([part for field in headers for part in field])
    return "malformed" if _LINE_ENDS.search(written) else None


def _unframed(headers: Headers) -> str | None:
    """Return why a response is not one body with a known end that could be replayed."""
    types = field_values(headers, b"content-type")
    if any(value.partition(b";")[0].strip().lower() in _STREAMS for value in types):
        return "stream"
    if field_values(headers, b"trailer"):
        return "trailers"
    return "hop-by-hop" if _codings(headers, b"transfer-encoding") - {b"chunked"} else None


def _refused_framing(headers: Headers, names: set[bytes]) -> str | None:
    if not names.isdisjoint(_FRAMING) and (reason := _unframed(headers)) is not None:
        return reason
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
    return _without(headers, cache_control(headers).fields("no-cache"))


def storable_fields(
    headers: Headers, told: Told, *, private: bool = False
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields to store, names in lower case (RFC 9111 sections 3.1, 5.2.2.4 and 5.2.2.7).

    They are the `replayable` ones, but it is ``told`` that names fields that no cache or no shared one may
    keep: a targeted field is obeyed instead of Cache-Control.

    Args:
        headers: The response's fields.
        told: What it says to this cache.
        private: The cache is a private one.
    """
    return _without(headers, (*told.fields("no-cache"), *(() if private else told.fields("private"))))


def _without(headers: Headers, kept_out: Iterable[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields without those of one connection, those computed anew, and those named."""
    named = {member.lower() for member in list_members(headers, b"connection")}
    dropped = _NOT_REPLAYED.union(named, kept_out) - _ESSENTIAL
    return tuple((lower, value) for name, value in headers if (lower := name.lower()) not in dropped)


def shared_by_origin(told: Told) -> bool:
    """Return whether a response says itself that all may share it: ``public`` or ``s-maxage``."""
    return told.has("public") or told.seconds("s-maxage") is not None


def unstorable(
    status: int,
    headers: Headers,
    told: Told,
    *,
    credentials: Iterable[bytes],
    targeted: bool,
    switches: Switches,
) -> str | None:
    """Return why a response to GET must not be stored, None if it may be (RFC 9111 section 3).

    The reason is a token for Cache-Status and events. A 206 is as storable as any; what part it is, and
    whether there is use for it, others decide.

    Args:
        status: The response's status.
        headers: Its fields.
        told: What it says to this cache.
        credentials: The request's fields that tell who is asking, lower-case.
        targeted: ``told`` is a targeted field, beside which Expires does not count.
        switches: The configuration.
    """
    return (
        _kept_out(status, told, private=switches.private)
        or _personal(headers, told, credentials, switches)
        or _unmarked(status, headers, told, targeted=targeted, switches=switches)
        or _malformed(headers)
        or _unframed(headers)
    )


def _kept_out(status: int, told: Told, *, private: bool) -> str | None:
    understood = status in _UNDERSTOOD
    if told.has("must-understand"):
        if not understood:
            return "must-understand"
    elif told.has("no-store"):  # which must-understand is there to override (section 5.2.2.3)
        return "no-store"
    if told.has("private") and not private and not told.fields("private"):
        return "private"
    # A 416 is about the range that was asked for, which is no part of the key.
    return "status" if status < HTTPStatus.OK or status in (NOT_MODIFIED, UNSATISFIABLE) else None


def _personal(headers: Headers, told: Told, credentials: Iterable[bytes], switches: Switches) -> str | None:
    """Section 3.5, and the same care for what is a credential in all but name: see `Switches`."""
    varies = vary_names(headers)
    if varies is None:
        return "vary-any"
    if not switches.store_set_cookie and any(field_values(headers, name) for name in _COOKIES):
        return "set-cookie"
    if switches.private or shared_by_origin(told):
        return None
    for name in credentials:
        if name == b"authorization":
            if not told.has("must-revalidate"):
                return "authorization"
        elif name not in varies and not switches.share_with_cookies:
            return name.decode("latin-1")
    return None


def _unmarked(status: int, headers: Headers, told: Told, *, targeted: bool, switches: Switches) -> str | None:
    """Return why nothing in a response says that it may be stored; None if something does."""
    said = ("public", "max-age", "private" if switches.private else "s-maxage")
    if any(told.has(name) for name in said) or (not targeted and field_values(headers, b"expires")):
        return None
    # The status alone would do. Whoever says no-cache counts on being asked, whatever else is switched off.
    return None if status in HEURISTIC and (switches.heuristic or told.has("no-cache")) else "no-lifetime"


def useless(terms: Terms, initial_age: float, *, validator: bool, switches: Switches) -> bool:
    """Return whether there is nothing that a stored response could ever be used for.

    Args:
        terms: What it allows.
        initial_age: Its age on receipt in seconds.
        validator: It has an entity tag or a Last-Modified, with which the application can be asked.
        switches: The configuration.
    """
    stale_for = initial_age - terms.lifetime
    windows = max(terms.stale_while_revalidate, terms.stale_if_error)
    if stale_for >= max(switches.keep_stale, windows):
        return True  # it would be gone at once
    if validator or (not terms.always and stale_for < 0):
        return False
    lenient = stale_for < windows
    return terms.always or terms.strict or not (lenient or switches.stale_on_error)


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
