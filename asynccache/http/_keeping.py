"""What a shared cache keeps of a response, for how long, and why not (``rfc9111`` mode). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from asynccache._engine.expiry import Lifetime
from asynccache.config import HTTPConfig
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.directives import Told, Wishes, told
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.freshness import explicit_lifetime, initial_age, only_date, terms
from asynccache.http._rfc9111.selection import vary_names
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import HEURISTIC, shared_by_origin, storable_fields, unstorable, useless
from asynccache.http._rfc9111.switches import Switches
from asynccache.http._rfc9111.validation import updated_fields
from asynccache.http.rules import Asked
from asynccache.policy import seconds

__all__ = ["Reading", "freshened", "kept_for", "not_kept", "read", "switches_of", "whole"]

PARTIAL_CONTENT: Final = 206


def switches_of(http: HTTPConfig) -> Switches:
    """Return the switches of a configuration."""
    return Switches(
        store_set_cookie=http.store_set_cookie,
        share_with_cookies=http.share_with_cookies,
        heuristic=http.heuristic,
        stale_on_error=http.stale_on_error,
        honour_client_directives=bool(http.honour_client_directives),
        private=http.private,
        keep_stale=seconds(http.keep_stale, "keep_stale", zero=True),
        # They speak to shared caches.
        targeted=() if http.private else tuple(http.targeted),
    )


class Reading(NamedTuple):
    """The head of a response, read once."""

    said: Told
    targeted: bool
    """A targeted field says it."""
    response: StoredResponse
    """What would be stored, without the body."""
    received: float
    """When it came, seconds since the epoch."""


def read(
    status: int, headers: Headers, *, request_time: float, response_time: float, switches: Switches
) -> Reading:
    """Read the head of a response.

    Args:
        status: Its status.
        headers: Its fields, as received.
        request_time: When the application was called, seconds since the epoch.
        response_time: When its response began.
        switches: The configuration.
    """
    said, targeted = told(headers, switches.targeted)
    heuristic = switches.heuristic and status in HEURISTIC
    etags = field_values(headers, b"etag")
    date = only_date(headers, b"date", response_time)
    response = StoredResponse(
        status=status,
        headers=storable_fields(headers, said, private=switches.private),
        body=b"",
        etag=etags[0] if len(etags) == 1 else b"",
        shared=shared_by_origin(said),
        public=False,
        date=response_time if date is None else date,
        initial_age=initial_age(headers, request_time, response_time),
        last_modified=only_date(headers, b"last-modified", response_time),
        terms=terms(said, headers, response_time, targeted=targeted, heuristic=heuristic, switches=switches),
    )
    return Reading(said, targeted, response, response_time)


def whole(reading: Reading, headers: Headers, body: bytes, now: float) -> StoredResponse:
    """Return what is stored of a response whose body has come.

    Args:
        reading: Its head.
        headers: Its fields.
        body: Its body.
        now: Seconds since the epoch. The response has aged since its head came.
    """
    response = reading.response
    return replace(
        response,
        body=body,
        initial_age=response.initial_age + max(0.0, now - reading.received),
        part=ranges.content_range(headers, len(body)) if response.status == PARTIAL_CONTENT else None,
    )


def freshened(
    stored: StoredResponse, news: Headers, *, request_time: float, response_time: float, switches: Switches
) -> StoredResponse:
    """Return a stored response with what a 304 says of it, or a 200 to HEAD (RFC 9111 sections 4.3.4 and 5).

    Args:
        stored: The response.
        news: The fields of the message.
        request_time: When the application was called, seconds since the epoch.
        response_time: When the message came.
        switches: The configuration.
    """
    headers = updated_fields(stored.headers, news)
    # Age is not among the stored fields: it is that of the message, or none.
    aged = (*headers, *((b"age", value) for value in field_values(news, b"age")))
    if not field_values(news, b"date"):  # the stored one is of the bytes, not of their confirmation
        aged = tuple(field for field in aged if field[0] != b"date")
    made = read(
        stored.status, aged, request_time=request_time, response_time=response_time, switches=switches
    ).response
    said, _ = told(headers, switches.targeted)
    fields = storable_fields(headers, said, private=switches.private)
    return replace(made, headers=fields, body=stored.body, part=stored.part)


def kept_for(response: StoredResponse, switches: Switches) -> Lifetime:
    """Return for how long a response is kept: as long as it is fresh, and then while it may be of use.

    Args:
        response: The response.
        switches: The configuration.
    """
    said = response.terms
    if said is None:
        raise ValueError("a response of a marked route")
    useful = max(switches.keep_stale, said.stale_if_error, said.stale_while_revalidate)
    fresh = max(0.0, said.lifetime - response.initial_age)
    return Lifetime(ttl=fresh, stale_while_revalidate=0.0, stale_if_error=useful)


def not_kept(
    reading: Reading,
    headers: Headers,
    *,
    asked: Asked,
    scheme: str,
    wishes: Wishes,
    credentials: Iterable[bytes],
    post: bool,
    switches: Switches,
) -> str | None:
    """Return why a response is not stored, as a token for Cache-Status; None if it is.

    Args:
        reading: Its head.
        headers: Its fields.
        asked: The request's head.
        scheme: The request's scheme.
        wishes: What the request asks of caches.
        credentials: The request's fields that tell who is asking.
        post: It answers a POST, and may stand for its URL.
        switches: The configuration.
    """
    said, targeted, response, now = reading
    private = switches.private
    reason = unstorable(
        response.status, headers, said, credentials=credentials, targeted=targeted, switches=switches
    )
    if reason is not None:
        return reason
    if wishes.no_store:
        return "request"
    if post and explicit_lifetime(said, headers, now, targeted=targeted, private=private) is None:
        return "method"  # RFC 9110 section 9.3.3
    if asked.overrides:
        override = asked.unkeyed(scheme, [name.decode("latin-1") for name in vary_names(headers) or ()])
        if override is not None:
            return override
    validator = bool(response.etag) or response.last_modified is not None
    wanting = response.terms is None or useless(
        response.terms, response.initial_age, validator=validator, switches=switches
    )
    return "stale" if wanting else None
