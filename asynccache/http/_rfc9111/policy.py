"""What to do with a request for which something is stored (RFC 9111 section 4): the decision on top.

One call, no I/O, no clock: what it costs is what a hit costs beyond the look-up.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from enum import Enum
from typing import Final, Literal, NamedTuple

from asynccache.http._rfc9111.directives import Wishes
from asynccache.http._rfc9111.stored import StoredResponse, Terms
from asynccache.http._rfc9111.switches import Switches

__all__ = ["Decision", "Use", "decide", "refuses", "stands_in", "withheld"]


class Use(Enum):
    """What a stored response is good for."""

    SERVE = "serve"
    """It answers the request."""
    SERVE_AND_REFRESH = "serve and refresh"
    """It answers the request, and is validated in the background (RFC 5861 section 3)."""
    VALIDATE = "validate"
    """The application has to be asked whether it still holds (section 4.3)."""


class Decision(NamedTuple):
    """What to do, and why."""

    use: Use
    forward: Literal["stale", "request"] | None = None
    """Why it does not answer the request, for Cache-Status; None: it does."""


_SERVE: Final = Decision(Use.SERVE)
_REFRESH: Final = Decision(Use.SERVE_AND_REFRESH)
_STALE: Final = Decision(Use.VALIDATE, "stale")
_REQUEST: Final = Decision(Use.VALIDATE, "request")


def decide(terms: Terms, age: float, wishes: Wishes) -> Decision:
    """Return what a stored response is good for (RFC 9111 sections 4 and 4.2, 5.2.1).

    Args:
        terms: What the response allows.
        age: Its ``current_age`` in seconds.
        wishes: What the request asks for.
    """
    left = terms.lifetime - age
    if wishes.no_cache or (wishes.max_age is not None and age > wishes.max_age):
        return _REQUEST if left > 0 else _STALE  # "request" is said of what is fresh (RFC 9211 section 2.2)
    if terms.always:
        return _STALE
    if left > 0:
        return _REQUEST if wishes.min_fresh is not None and left < wishes.min_fresh else _SERVE
    if terms.strict or not _accepts_stale(wishes, -left):
        return _STALE
    if -left < terms.stale_while_revalidate:
        return _REFRESH
    return _STALE if wishes.max_stale is None else _SERVE


def _accepts_stale(wishes: Wishes, stale_for: float) -> bool:
    """Return whether a client takes what has been stale for so many seconds, if the origin lets us.

    One that states an age or a freshness does not, unless it adds how stale (section 5.2.1.1).
    """
    if wishes.max_stale is not None:
        return stale_for <= wishes.max_stale and wishes.min_fresh is None
    return wishes.max_age is None and wishes.min_fresh is None


def refuses(wishes: Wishes, age: float, left: float) -> bool:
    """Return whether a request excludes a stored response whose lifetime a route's policy decides (5.2.1).

    Args:
        wishes: What the request asks for.
        age: The response's age in seconds.
        left: The freshness it has left, in seconds; negative once it is stale.
    """
    return (
        wishes.no_cache
        or wishes.no_store
        or (wishes.max_age is not None and age > wishes.max_age)
        or (wishes.min_fresh is not None and left < wishes.min_fresh)
    )


def stands_in(terms: Terms, age: float, wishes: Wishes, switches: Switches) -> bool:
    """Return whether a stored response may stand in for an error (RFC 5861 section 4).

    Args:
        terms: What the response allows.
        age: Its ``current_age`` in seconds.
        wishes: What the request asks for; a client may accept more, never forbid.
        switches: The configuration.
    """
    if terms.always or terms.strict:
        return False
    stale_for = age - terms.lifetime
    accepted = max(terms.stale_if_error, float(wishes.stale_if_error or 0))
    return switches.stale_on_error or stale_for < accepted


def withheld(
    stored: StoredResponse, credentials: Iterable[bytes], varies_by: Container[bytes], switches: Switches
) -> str | None:
    """Return which of a request's credentials keeps a stored response from answering it; None: none does.

    The RFC would let whatever was stored answer them. But what an application says to nobody in particular is
    not always what it says to somebody, and few tell caches so.

    Args:
        stored: The response.
        credentials: The request's fields that tell who is asking, lower-case.
        varies_by: The fields by which responses of this URL vary.
        switches: The configuration.
    """
    if stored.shared or switches.private:
        return None
    for name in credentials:
        if name == b"authorization":
            if stored.terms is None or not stored.terms.authorized:
                return "authorization"
        elif name not in varies_by and not switches.share_with_cookies:
            return name.decode("latin-1")
    return None
