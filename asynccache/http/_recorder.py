"""`Recording`: a copy of a response as it passes.

It delays nothing and holds at most ``limit`` bytes of body.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from asynccache.http._rfc9111.fields import FieldLines, Headers
from asynccache.http._rfc9111.storing import content_length, refusal

_EMPTY: Final = frozenset({204, 205, 304})
UNRECORDABLE: Final = frozenset(
    {"http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"}
)
"""Messages by which a response is more than its body messages say."""

__all__ = ["UNRECORDABLE", "Message", "Recording", "listed"]

Message = Mapping[str, Any]
"""An ASGI message."""


def listed(message: Any) -> Any:
    """Return the head of a response with fields that can be read twice; ASGI allows any iterable."""
    headers = message.get("headers", ())
    return message if isinstance(headers, (list, tuple)) else {**message, "headers": list(headers)}


class Recording:
    """What has been seen of a response. Every step returns why it cannot be stored, or None while it can."""

    __slots__ = ("_announced", "_chunks", "_limit", "_size", "complete", "headers", "started", "status")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._announced: int | None = None
        self.started = False
        self.complete = False
        self.status = 0
        self.headers: Headers = ()

    @property
    def framed(self) -> bool:
        """It is known how long the response is, so it is no stream whose head somebody is waiting for."""
        return self._announced is not None or self.status in _EMPTY

    def start(self, message: Message, statuses: Container[int]) -> str | None:
        """Take the head of a marked route's response."""
        return self.begin(message) or refusal(self.status, self.headers, statuses=statuses)

    def begin(self, message: Message) -> str | None:
        """Take the head of any response."""
        self.started = True
        self.status = message["status"]
        self.headers = FieldLines.of(
            (bytes(name), bytes(value)) for name, value in message.get("headers", ())
        )
        if message.get("trailers"):
            return "trailers"
        announced = content_length(self.headers)
        if announced == "invalid":
            return "length"
        self._announced = announced
        return "too-large" if announced is not None and announced > self._limit else None

    def take(self, message: Message) -> str | None:
        """Take a part of the body."""
        # A copy, unless they are bytes: what is in a buffer may be something else by the end of the response.
        chunk = bytes(message.get("body", b""))
        self._size += len(chunk)
        if self._size > self._limit:
            return "too-large"
        if chunk:
            self._chunks.append(chunk)
        if message.get("more_body", False):
            return None
        if self._announced is not None and self._size != self._announced:
            return "length"
        self.complete = True
        return None

    def body(self) -> bytes:
        """Return what there is of the body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
