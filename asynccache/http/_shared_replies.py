"""What a shared cache stores of a response, and what it answers with it (``rfc9111`` mode). Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from asynccache._engine.entry import Entry
from asynccache._engine.expiry import Lifetime
from asynccache.config import HTTPConfig
from asynccache.http import cache_status
from asynccache.http._replies import Reply, replay
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.directives import told
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.freshness import current_age, initial_age, only_date, terms
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import HEURISTIC, shared_by_origin, storable_fields
from asynccache.http._rfc9111.switches import Switches
from asynccache.http._rfc9111.validation import updated_fields
from asynccache.policy import seconds

__all__ = ["answer", "freshened", "kept_for", "received", "response_tags", "switches_of"]


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
        targeted=tuple(http.targeted),
    )


def received(
    status: int,
    headers: Headers,
    body: bytes,
    *,
    request_time: float,
    response_time: float,
    switches: Switches,
) -> StoredResponse:
    """Return what is stored of a response.

    Args:
        status: Its status.
        headers: Its fields, as received.
        body: Its body.
        request_time: When the application was called, seconds since the epoch.
        response_time: When its response began.
        switches: The configuration.
    """
    said, targeted = told(headers, switches.targeted)
    heuristic = switches.heuristic and status in HEURISTIC
    etags = field_values(headers, b"etag")
    date = only_date(headers, b"date", response_time)
    return StoredResponse(
        status=status,
        headers=storable_fields(headers, said, private=switches.private),
        body=body,
        etag=etags[0] if len(etags) == 1 else b"",
        shared=shared_by_origin(said),
        public=False,
        date=response_time if date is None else date,
        initial_age=initial_age(headers, request_time, response_time),
        last_modified=only_date(headers, b"last-modified", response_time),
        terms=terms(said, headers, response_time, targeted=targeted, heuristic=heuristic, switches=switches),
        part=ranges.content_range(headers, len(body)) if status == 206 else None,
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
    if not field_values(
        news, b"date"
    ):  # the stored one says when the bytes were made, not when they were confirmed
        aged = tuple(field for field in aged if field[0] != b"date")
    made = received(
        stored.status,
        aged,
        stored.body,
        request_time=request_time,
        response_time=response_time,
        switches=switches,
    )
    said, _ = told(headers, switches.targeted)
    return msgspec.structs.replace(
        made,
        headers=storable_fields(headers, said, private=switches.private),
        etag=stored.etag,
        part=stored.part,
    )


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


_OF_CONTENT: Final = frozenset({b"content-length", b"content-range", b"content-type"})


def answer(
    response: StoredResponse,
    entry: Entry,
    now: float,
    *,
    member: bytes | None,
    request_headers: Headers,
    conditional: bool,
    wanted: ranges.Requested | None,
    head: bool,
) -> Reply | None:
    """Return the answer to a GET or HEAD from a stored response; None if it lacks what is asked for.

    Args:
        response: The stored response.
        entry: Its entry.
        now: Seconds since the epoch.
        member: The Cache-Status member.
        request_headers: The request's fields.
        conditional: There may be conditions among them, which come before ranges (RFC 9110 section 13.2.2).
        wanted: The ranges it asks for.
        head: The method is HEAD.
    """
    conditions = request_headers if conditional else None
    if conditions is not None and response.last_modified is None:
        response = msgspec.structs.replace(response, last_modified=response.date)  # RFC 9111 section 4.3.2
    if wanted is None or head or response.status not in (200, 206):
        if response.part is not None:
            return None
        return replay(response, entry, now, member=member, conditions=conditions, head=head)
    if conditions is not None:
        whole = replay(response, entry, now, member=member, conditions=conditions)
        if whole.status == 304:
            return whole
    if not ranges.holds_if_range(request_headers, response, now):
        return None if response.part is not None else replay(response, entry, now, member=member)
    content = ranges.select(response, wanted)
    if content is None:
        return None
    replaced = {name for name, _ in content.headers} | {b"content-range"}
    if content.status == 416:
        replaced |= _OF_CONTENT
    headers = [field for field in response.headers if field[0] not in replaced]
    headers += (*content.headers, (b"age", b"%d" % current_age(response, entry.created, now)))
    headers.append((b"content-length", b"%d" % len(content.body)))
    if member is not None:
        cache_status.append(headers, member)
    return Reply(content.status, headers, content.body)


_TAG_FIELDS: Final = ((b"cache-tag", b","), (b"surrogate-key", b" "))


def response_tags(headers: Headers) -> tuple[str, ...]:
    """Return the tags of a response: Cache-Tag has commas between them, Surrogate-Key spaces."""
    tags: dict[str, None] = {}
    for field, separator in _TAG_FIELDS:
        for value in field_values(headers, field):
            for tag in value.split(separator):
                if name := tag.strip().decode("latin-1"):
                    tags[name] = None
    return tuple(tags)
