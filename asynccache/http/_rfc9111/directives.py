"""What responses and requests say to a shared cache (RFC 9111 section 5.2, RFC 9213, RFC 5861)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from asynccache.http._rfc9111.fields import MAX_DELTA, Directives, Headers, cache_control, field_values
from asynccache.http._rfc9111.structured import Item, dictionary

__all__ = ["NO_WISHES", "Told", "Wishes", "told", "wishes"]


class Told(Protocol):
    """What a response says to a cache: `Directives` of Cache-Control, or those of a targeted field."""

    def has(self, name: str) -> bool:
        """Return whether the directive is there."""
        ...

    def seconds(self, name: str) -> int | None:
        """Return the directive's argument in seconds; None without it."""
        ...

    def fields(self, name: str) -> tuple[bytes, ...]:
        """Return the field names the directive is limited to, lower-case; empty: it is not."""
        ...


_GRANTS: Final = frozenset({"must-understand", "public"})
"""Flags that permit something. A value of the wrong type does not set these; any other flag it does."""


class _Targeted:
    """The directives of a targeted field: a dictionary (RFC 9213 section 2.1).

    A directive whose value has the wrong type is not obeyed in the sense that would allow more: a lifetime
    that is no integer is 0, as in Cache-Control (RFC 9111 section 4.2.1), and ``no-store=1`` is ``no-store``.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Item]) -> None:
        self._members = members

    def __repr__(self) -> str:
        return f"<Targeted {' '.join(self._members)}>"

    def has(self, name: str) -> bool:
        """Return whether the directive is there, valid or not; it is not if its value is false."""
        value = self._members.get(name, False)
        return value is True if name in _GRANTS else value is not False

    def seconds(self, name: str) -> int | None:
        """Return the directive's argument in seconds; 0 if it is no such argument, None without it."""
        value = self._members.get(name, False)
        if value is False:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return 0
        return min(value, MAX_DELTA)

    def fields(self, name: str) -> tuple[bytes, ...]:
        """Return the field names the directive is limited to, lower-case; empty: it is not."""
        value = self._members.get(name)
        if not isinstance(value, str):
            return ()
        names = (part.strip().lower() for part in value.split(","))
        return tuple(name.encode("ascii") for name in names if name)


def told(headers: Headers, targeted: Iterable[str] = ()) -> tuple[Told, bool]:
    """Return what a response's fields say, and whether a targeted field says it (RFC 9213 section 2.2).

    The first targeted field that is a valid dictionary with members counts, and then neither Cache-Control
    nor Expires does.

    Args:
        headers: The response's fields.
        targeted: Names of targeted fields, lower-case, the most specific first.
    """
    for name in targeted:
        lines = field_values(headers, name.encode("latin-1"))
        members = dictionary(lines) if lines else None
        if members:
            return _Targeted(members), True
    return cache_control(headers), False


class Wishes(NamedTuple):
    """What a request asks of caches (RFC 9111 section 5.2.1, RFC 5861 section 4). Times are in seconds."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: int | None = None
    stale_if_error: int | None = None


NO_WISHES: Final = Wishes()
_REMEMBERED: Final = 64
"""The longest Cache-Control of a request, in bytes, whose meaning is remembered."""


def wishes(headers: Headers) -> Wishes:
    """Return what a request asks of caches; Pragma counts where Cache-Control is absent (section 5.4)."""
    lines = field_values(headers, b"cache-control")
    if not lines:
        pragma = field_values(headers, b"pragma")
        return Wishes(no_cache=True) if pragma and Directives(pragma).has("no-cache") else NO_WISHES
    short = len(lines) == 1 and len(lines[0]) <= _REMEMBERED
    return _remembered_wishes(lines[0]) if short else _wishes(*lines)


def _wishes(*lines: bytes) -> Wishes:
    directives = Directives(lines)
    return Wishes(
        directives.has("no-cache"),
        directives.has("no-store"),
        directives.has("only-if-cached"),
        directives.seconds("max-age"),
        directives.seconds("min-fresh"),
        directives.seconds("max-stale"),
        directives.seconds("stale-if-error"),
    )


# Browsers send few different ones. Long ones are not kept: clients choose them.
_remembered_wishes = lru_cache(maxsize=256)(_wishes)
