"""What a shared cache answers with what is stored (``rfc9111`` mode). Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from asynccache._engine.entry import Entry
from asynccache.http import cache_status
from asynccache.http._replies import Reply, replay
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.freshness import current_age
from asynccache.http._rfc9111.stored import StoredResponse

__all__ = ["answer", "response_tags"]

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
        # A part too says whether the client's copy is still good: it has the validators of the whole.
        as_whole = msgspec.structs.replace(response, status=200)
        whole = replay(as_whole, entry, now, member=member, conditions=conditions)
        if whole.status == 304:
            return whole
    if not ranges.holds_if_range(request_headers, response, now):
        return None if response.part is not None else replay(response, entry, now, member=member)
    content = ranges.select(response, wanted)
    if content is None:
        # Of what is there as a whole, ranges that would be more than that are not worth it.
        return None if response.part is not None else replay(response, entry, now, member=member)
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
