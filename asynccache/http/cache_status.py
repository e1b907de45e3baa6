"""The Cache-Status field: what the cache did with a request, and why (RFC 9211)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

__all__ = ["NAME", "Forward", "append", "forward", "hit", "untold"]

NAME: Final = "asynccache"
"""How the cache calls itself unless `HTTPConfig` says otherwise."""

Forward = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]
"""Why a request went to the handler (RFC 9211 section 2.2)."""

_FIELD: Final = b"cache-status"
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_MAX_INTEGER: Final = 999_999_999_999_999


def hit(ttl: float, *, stale: bool = False, detail: str | None = None, name: str = NAME) -> bytes:
    """Return the member for a response from the cache (RFC 9211 sections 2.1 and 2.4).

    Args:
        ttl: Remaining freshness in seconds, rounded down; negative once it is stale.
        stale: It is served stale, which is said as the detail unless there is another.
        detail: Anything to add.
        name: The cache's name.
    """
    seconds = int(max(-_MAX_INTEGER, min(ttl, _MAX_INTEGER)) // 1)  # before int(): it may be infinite
    member = f"{_item(name)}; hit; ttl={seconds}"
    if stale and detail is None:
        detail = "stale"
    return (member if detail is None else f"{member}; detail={_item(detail)}").encode("ascii")


def forward(
    fwd: Forward,
    *,
    status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str | None = None,
    name: str = NAME,
) -> bytes:
    """Return the member for a response from the handler (RFC 9211 sections 2.2 to 2.7).

    Args:
        fwd: Why the handler was asked.
        status: The status it answered with, if that is not the response's own.
        stored: Its response was stored.
        collapsed: The request waited for that of another client, and was answered with it.
        detail: Anything to add, such as why the response was not stored.
        name: The cache's name.
    """
    parts = [_item(name), f"fwd={fwd}"]
    if status is not None:
        parts.append(f"fwd-status={status}")
    if stored:
        parts.append("stored")
    if collapsed:
        parts.append("collapsed")
    if detail is not None:
        parts.append(f"detail={_item(detail)}")
    return "; ".join(parts).encode("ascii")


def untold(detail: str, name: str = NAME) -> bytes:
    """Return the member for a response that neither was stored nor is the handler's (RFC 9211 section 2).

    Args:
        detail: What it is instead.
        name: The cache's name.
    """
    return f"{_item(name)}; detail={_item(detail)}".encode("ascii")


def append(headers: list[tuple[bytes, bytes]], value: bytes) -> None:
    """Add our member to a response's fields, in place, after those of caches further in (RFC 9211 section 2).

    It gets a line of its own, which is the same as being last in the one list all lines form: so no
    malformed line of others can swallow it here.
    """
    headers.append((_FIELD, value))


@lru_cache(maxsize=256)
def _item(text: str) -> str:
    """Write a token, or a string where it is none (RFC 8941 sections 3.3.3 and 3.3.4)."""
    if _TOKEN.fullmatch(text):
        return text
    printable = _UNPRINTABLE.sub("?", text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
