"""What goes to the client: stored responses made ready to send, and fields added to fresh ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from asynccache._engine.entry import Entry
from asynccache.http import cache_status
from asynccache.http._recorder import Recording, listed
from asynccache.http._rfc9111.fields import Headers, field_values, http_date
from asynccache.http._rfc9111.freshness import client_cache_control, current_age, initial_age
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import is_shared, replayable
from asynccache.http._rfc9111.validation import make_etag, not_modified, not_modified_fields
from asynccache.policy import CachePolicy, seconds

__all__ = [
    "Fields",
    "Reply",
    "added_fields",
    "nothing_stored",
    "replay",
    "stored_response",
    "without_repeated",
]

OK: Final = 200
NOT_MODIFIED: Final = 304
GATEWAY_TIMEOUT: Final = 504
_BODILESS: Final = frozenset({204, 304})


Fields = tuple[tuple[bytes, bytes], ...]
"""Fields that will not change."""


class Reply(NamedTuple):
    """A complete response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return it as ASGI messages, new ones: whoever is outside may change them."""
        return (
            {"type": "http.response.start", "status": self.status, "headers": self.headers},
            {"type": "http.response.body", "body": self.body},
        )


def replay(
    response: StoredResponse,
    entry: Entry,
    now: float,
    *,
    member: bytes | None = None,
    conditions: Headers | None = None,
    head: bool = False,
) -> Reply:
    """Return the answer to a GET or HEAD from a stored response.

    Args:
        response: The stored response.
        entry: Its entry.
        now: Seconds since the epoch.
        member: The Cache-Status member.
        conditions: The request's fields, if there are conditions among them.
        head: The method is HEAD.
    """
    own: list[tuple[bytes, bytes]] = [(b"age", b"%d" % current_age(response, entry.created, now))]
    if member is not None:
        cache_status.append(own, member)
    if (
        conditions is not None
        and response.status == OK
        and not_modified(conditions, response.etag, response.last_modified, now)
    ):
        return Reply(NOT_MODIFIED, [*not_modified_fields(response.headers), *own], b"")
    if response.status not in _BODILESS:
        own.append((b"content-length", b"%d" % len(response.body)))
    return Reply(response.status, [*response.headers, *own], b"" if head else response.body)


def without_repeated(message: Any, replayed: Fields) -> Any:
    """Return the head of a stored response without lines that have been added to it a second time.

    Middleware between the route and the cache added them when the response was stored, and adds them again
    on its way out. What it sets it may set anew.

    Args:
        message: The head as it arrives at the cache.
        replayed: The stored response's fields.
    """
    message = listed(message)
    headers: Headers = message.get("headers", ())
    if len(headers) <= len(replayed):
        return message
    left = Counter(replayed)
    kept: list[tuple[bytes, bytes]] = []
    for field in headers:
        known = left.get(field)
        if known != 0:
            kept.append(field)
            if known is not None:
                left[field] -= 1
    return {**message, "headers": kept}


def nothing_stored(*, status: bool) -> Reply:
    """Return the answer to ``only-if-cached`` where nothing suitable is stored (RFC 9111 section 5.2.1.7)."""
    headers: list[tuple[bytes, bytes]] = [(b"content-length", b"0")]
    if status:
        cache_status.append(headers, cache_status.untold("only-if-cached"))
    return Reply(GATEWAY_TIMEOUT, headers, b"")


def added_fields(
    headers: Headers, policy: CachePolicy, body: bytes | None, status: int
) -> list[tuple[bytes, bytes]]:
    """Return the fields a marked route's response lacks: Cache-Control, and ETag if ``body`` is known."""
    names = {name.lower() for name, _ in headers}
    added: list[tuple[bytes, bytes]] = []
    if body is not None and b"etag" not in names and status == OK:
        added.append((b"etag", make_etag(body)))
    client_ttl = None if policy.client_ttl is None else seconds(policy.client_ttl, "client_ttl", zero=True)
    control = client_cache_control(client_ttl, policy.public, b"cache-control" in names)
    if control is not None:
        added.append((b"cache-control", control))
    return added


def stored_response(
    recording: Recording,
    added: Sequence[tuple[bytes, bytes]],
    *,
    public: bool,
    request_time: float,
    response_time: float,
) -> StoredResponse:
    """Return what to store of a complete recording.

    Args:
        recording: The response.
        added: Fields it lacks, from `added_fields`.
        public: The policy is public.
        request_time: When the application was called, seconds since the epoch.
        response_time: When its response began.
    """
    body = recording.body()
    headers = (*replayable(recording.headers), *added)
    etags = field_values(headers, b"etag")
    dates = field_values(recording.headers, b"date")
    date = http_date(dates[0], response_time) if dates else None
    modified = field_values(recording.headers, b"last-modified")
    return StoredResponse(
        status=recording.status,
        headers=headers,
        body=body,
        etag=etags[0] if etags else make_etag(body),
        shared=is_shared(recording.headers),
        public=public,
        date=response_time if date is None else date,
        initial_age=initial_age(recording.headers, request_time, response_time),
        last_modified=http_date(modified[0], response_time) if len(modified) == 1 else None,
    )
