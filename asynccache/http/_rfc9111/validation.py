"""Entity tags, and when a 304 is answer enough (RFC 9111 section 4.3, RFC 9110 section 13)."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from asynccache.http._rfc9111.fields import EntityTag, Headers, entity_tags, field_values, http_date
from asynccache.http._rfc9111.storing import replayable

__all__ = [
    "conditions",
    "entity_tag",
    "make_etag",
    "modified_before",
    "not_modified",
    "not_modified_fields",
    "same",
    "updated_fields",
]

_IN_NOT_MODIFIED: Final = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"}
)

_OF_THE_BYTES: Final = frozenset({b"content-digest", b"content-encoding", b"content-md5", b"content-range"})
"""Fields that a 304 does not update, to assure the integrity of what is stored (RFC 9111 section 3.2).

They say how to read the stored bytes, or are digests of a message's own content, of which a 304 has none.
"""


def make_etag(body: bytes) -> bytes:
    """Return a body's strong entity tag, the same in every process (RFC 9110 section 8.8.3)."""
    # Processors compute SHA-256 themselves: twice as fast as BLAKE2 where measured. 128 bits are plenty.
    return b'"%b"' % sha256(body).hexdigest()[:32].encode()


def not_modified(
    request_headers: Headers, etag: bytes, last_modified: float | None, now: float | None = None
) -> bool:
    """Return whether a client's copy is still good, so that a 304 answers it (RFC 9111 section 4.3.2).

    Only for GET and HEAD, and only where the stored status is 200. If-None-Match takes precedence
    (RFC 9110 section 13.2.2) and is compared weakly; If-Modified-Since is ignored if it is not
    exactly one valid date.

    Args:
        request_headers: The request's fields.
        etag: The stored response's entity tag, as in the field.
        last_modified: Its Last-Modified, seconds since the epoch; None if it has none.
        now: Seconds since the epoch, for dates with a two-digit year.
    """
    wanted = field_values(request_headers, b"if-none-match")
    if wanted:
        return (etag != b"" and wanted[0] == etag) or _matches(request_headers, etag)
    if last_modified is None:
        return False
    since = field_values(request_headers, b"if-modified-since")
    date = http_date(since[0], now) if len(since) == 1 else None
    return date is not None and last_modified <= date


def _matches(request_headers: Headers, etag: bytes) -> bool:
    tags = entity_tags(request_headers, b"if-none-match")
    opaque = etag.removeprefix(b"W/")
    return tags == "*" or any(tag.opaque == opaque for tag in tags)


def not_modified_fields(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return those of a 200's fields that its 304 must carry (RFC 9110 section 15.4.5), and no others.

    A 304 has no content, so nothing that describes content belongs into it.
    """
    return tuple((name, value) for name, value in headers if name.lower() in _IN_NOT_MODIFIED)


def entity_tag(headers: Headers) -> EntityTag | None:
    """Return the entity tag of a response; None if it does not have exactly one valid one."""
    tags = entity_tags(headers, b"etag")
    return tags[0] if len(tags) == 1 and tags != "*" else None


def conditions(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the request fields that ask whether a stored response still holds (RFC 9111 section 4.3.1).

    Args:
        headers: The stored response's fields. Validators are sent as they came, valid or not: only their
            author compares them.
    """
    pairs = ((b"etag", b"if-none-match"), (b"last-modified", b"if-modified-since"))
    found = [(question, field_values(headers, name)) for name, question in pairs]
    return [(question, values[0]) for question, values in found if len(values) == 1]


def same(stored: Headers, news: Headers) -> bool:
    """Return whether a 304 speaks of the stored response (RFC 9111 section 4.3.4).

    A strong entity tag has to be the stored one, a weak one must correspond to it. A Last-Modified does the
    work where either has no entity tag; beside a strong entity tag only if it is a strong validator as well.
    Without any validator, a 304 is taken for the answer to our question, which was about one response.

    Args:
        stored: The stored response's fields.
        news: Those of the 304.
    """
    theirs, ours = entity_tag(news), entity_tag(stored)
    if theirs is not None and ours is not None:
        return theirs.opaque == ours.opaque and (theirs.weak or not ours.weak)
    modified, modified_then = (field_values(fields, b"last-modified") for fields in (news, stored))
    if theirs is None and not modified:
        return True
    strong_enough = theirs is None or theirs.weak or _strongly_dated(stored)
    return strong_enough and len(modified) == 1 and modified == modified_then


def _strongly_dated(stored: Headers) -> bool:
    """Return whether a stored Last-Modified is a strong validator (RFC 9110 section 8.8.2.2)."""
    dates = (field_values(stored, name) for name in (b"date", b"last-modified"))
    date, modified = (http_date(values[0]) if len(values) == 1 else None for values in dates)
    return date is not None and modified is not None and modified_before(modified, date)


def modified_before(modified: float, date: float) -> bool:
    """Return whether a response was changed so long before its Date that no later change has the same time.

    Args:
        modified: Its Last-Modified, seconds since the epoch.
        date: Its Date.
    """
    return date - modified >= 1


def updated_fields(stored: Headers, news: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return a stored response's fields with what a 304, a 206 or HEAD has to say (RFC 9111 section 3.2).

    Every field it has replaces all lines of that name, but for those that speak of the stored bytes.

    Args:
        stored: The stored response's fields, names in lower case.
        news: Those of the newer message, as received.
    """
    changed = tuple(field for field in replayable(news) if field[0] not in _OF_THE_BYTES)
    names = {name for name, _ in changed}
    return (*(field for field in stored if field[0] not in names), *changed)
