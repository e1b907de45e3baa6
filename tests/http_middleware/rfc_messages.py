"""Requests, responses and what was stored of them, as plainly as the reference of `rfc_reference` needs them.

Only the values that the tests generate are understood: lists without quoted strings, dates in one format.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import IntEnum

__all__ = [
    "Fields",
    "Request",
    "Response",
    "Stored",
    "Verdict",
    "bare",
    "date",
    "directives",
    "items",
    "moment",
    "without",
]

Fields = tuple[tuple[str, str], ...]


class Verdict(IntEnum):
    """What the RFCs and our own choices say to something."""

    NO = 0
    MAY = 1
    MUST = 2


def date(seconds: float) -> str:
    """Write a date (RFC 9110 section 5.6.7); a date has whole seconds."""
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def moment(text: str) -> float | None:
    """Read a date; None for what is none, such as ``0``."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def items(text: str | None) -> list[str]:
    """Split a list at its commas."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def directives(text: str | None) -> dict[str, str]:
    """Read ``a=1, b`` as ``{"a": "1", "b": ""}``."""
    pairs = [item.partition("=") for item in items(text)]
    return {name.lower(): value for name, _, value in pairs}


def bare(tag: str) -> str:
    """Return an entity tag without its weakness: what weak comparison compares (RFC 9110 section 8.8.3.2)."""
    return tag.removeprefix("W/")


def without(request: Request, names: Container[str]) -> Request:
    """Return the request without some fields."""
    return replace(request, fields=tuple(pair for pair in request.fields if pair[0] not in names))


def _get(fields: Fields, name: str) -> str | None:
    values = [value for key, value in fields if key == name]
    return ", ".join(values) if values else None


@dataclass(frozen=True)
class Request:
    """What a client, or the cache, asks. Names of fields are in lower case."""

    method: str
    url: str
    fields: Fields = ()
    body: bytes = b""

    def get(self, name: str) -> str | None:
        """Return the value of a field, its lines joined; None where there is none."""
        return _get(self.fields, name)

    @property
    def control(self) -> dict[str, str]:
        """Its cache directives; Pragma counts where there is no Cache-Control (RFC 9111 section 5.4)."""
        if self.get("cache-control") is None and "no-cache" in items(self.get("pragma")):
            return {"no-cache": ""}
        return directives(self.get("cache-control"))


@dataclass(frozen=True)
class Response:
    """What the application answered: the body is complete unless it says otherwise."""

    status: int
    fields: Fields
    body: bytes
    request_time: float
    response_time: float
    complete: bool = True

    def get(self, name: str) -> str | None:
        """Return the value of a field, its lines joined; None where there is none."""
        return _get(self.fields, name)

    @property
    def failed(self) -> bool:
        """It is an error by RFC 5861 section 4: one of the four statuses that a lost server leads to."""
        return self.status in (500, 502, 503, 504)

    @property
    def etag(self) -> str | None:
        """Its entity tag."""
        return self.get("etag")

    @property
    def strong(self) -> str | None:
        """Its entity tag, if that is a strong one."""
        return self.etag if self.etag is not None and not self.etag.startswith("W/") else None

    @property
    def modified(self) -> str | None:
        """Its Last-Modified."""
        return self.get("last-modified")

    @property
    def dated(self) -> float:
        """Its Date, or when it arrived (RFC 9110 section 6.6.1)."""
        stated = moment(self.get("date") or "")
        return self.response_time if stated is None else stated


@dataclass(eq=False)
class Stored:
    """A response in the store, with the request that it answered."""

    request: Request
    response: Response
    certain: bool = True
    """False where a cache is free to have it or not."""
    invalid: bool = False
    """It was invalidated (RFC 9111 section 4.4): at most good for its validators."""

    def __repr__(self) -> str:
        marks = ("" if self.certain else "?") + ("!" if self.invalid else "")
        response = self.response
        return f"<{marks}{self.request.url} {response.status} {response.body!r} {response.fields}>"
