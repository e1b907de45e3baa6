"""How old a response is, and how long clients may keep it (RFC 9111 section 4.2)."""

from __future__ import annotations

from typing import Final

from asynccache.http._rfc9111.directives import Told
from asynccache.http._rfc9111.fields import MAX_DELTA, Headers, age, field_values, http_date
from asynccache.http._rfc9111.stored import StoredResponse, Terms
from asynccache.http._rfc9111.switches import Switches

__all__ = [
    "client_cache_control",
    "current_age",
    "explicit_lifetime",
    "heuristic_lifetime",
    "initial_age",
    "only_date",
    "precise_age",
    "terms",
]

_HEURISTIC_SHARE: Final = 0.1
_HEURISTIC_MOST: Final = 86400.0


def initial_age(headers: Headers, request_time: float, response_time: float) -> float:
    """Return a response's age on receipt, in seconds (``corrected_initial_age``, RFC 9111 section 4.2.3).

    Args:
        headers: The response's fields; Age and Date count.
        request_time: When the handler was called, seconds since the epoch.
        response_time: When its response began, by the same clock.
    """
    dates = field_values(headers, b"date")
    date = http_date(dates[0], response_time) if dates else None
    apparent_age = 0.0 if date is None else max(0.0, response_time - date)
    response_delay = max(0.0, response_time - request_time)
    corrected_age = (age(headers) or 0) + response_delay
    return min(max(apparent_age, corrected_age), float(MAX_DELTA))


def current_age(stored: StoredResponse, created: float, now: float) -> int:
    """Return a stored response's Age, in whole seconds (``current_age``, RFC 9111 section 4.2.3).

    Args:
        stored: The response.
        created: When it was received, seconds since the epoch.
        now: The same for the present; a clock that went back in between does not make it younger.
    """
    return min(int(stored.initial_age + max(0.0, now - created)), MAX_DELTA)


def precise_age(stored: StoredResponse, created: float, now: float) -> float:
    """Return ``current_age`` without rounding it: what freshness is judged by (RFC 9111 section 4.2)."""
    return stored.initial_age + max(0.0, now - created)


def only_date(headers: Headers, name: bytes, now: float) -> float | None:
    """Return the date in a field, in seconds since the epoch; None if it is not exactly one valid date."""
    values = field_values(headers, name)
    return http_date(values[0], now) if len(values) == 1 else None


def explicit_lifetime(
    told: Told, headers: Headers, response_time: float, *, targeted: bool, private: bool = False
) -> float | None:
    """Return the ``freshness_lifetime`` that a response states; None: it does not (RFC 9111 section 4.2.1).

    An Expires that is no single valid date is in the past (section 5.3).

    Args:
        told: What the response says to this cache.
        headers: Its fields.
        response_time: When it came, seconds since the epoch; stands in for a missing Date.
        targeted: ``told`` is a targeted field, beside which Expires does not count (RFC 9213 section 2.2).
        private: The cache is a private one, which ``s-maxage`` is not meant for (section 5.2.2.10).
    """
    for name in ("max-age",) if private else ("s-maxage", "max-age"):
        seconds = told.seconds(name)
        if seconds is not None:
            return float(seconds)
    if targeted or not field_values(headers, b"expires"):
        return None
    expires = only_date(headers, b"expires", response_time)
    if expires is None:
        return 0.0
    date = only_date(headers, b"date", response_time)
    return max(0.0, min(expires - (response_time if date is None else date), float(MAX_DELTA)))


def heuristic_lifetime(headers: Headers, response_time: float) -> float:
    """Return the lifetime of a response that states none: a tenth of its age (RFC 9111 section 4.2.2).

    Args:
        headers: The response's fields; without Last-Modified there is nothing to go by.
        response_time: When it came, seconds since the epoch.
    """
    modified = only_date(headers, b"last-modified", response_time)
    if modified is None:
        return 0.0
    date = only_date(headers, b"date", response_time)
    since = (response_time if date is None else date) - modified
    return min(max(0.0, since * _HEURISTIC_SHARE), _HEURISTIC_MOST)


def terms(
    told: Told, headers: Headers, response_time: float, *, targeted: bool, heuristic: bool, switches: Switches
) -> Terms:
    """Return what a response allows to do with it (RFC 9111 sections 4.2 and 5.2.2, RFC 5861).

    Args:
        told: What the response says to this cache.
        headers: Its fields.
        response_time: When it came, seconds since the epoch.
        targeted: ``told`` is a targeted field.
        heuristic: Its status allows to guess a lifetime, and so does the configuration. A response that says
            ``public`` needs neither (section 5.2.2.9).
        switches: The configuration.
    """
    private = switches.private
    lifetime = explicit_lifetime(told, headers, response_time, targeted=targeted, private=private)
    if lifetime is None:
        guess = heuristic or told.has("public")
        lifetime = heuristic_lifetime(headers, response_time) if guess else 0.0
    shared_only = () if private else ("proxy-revalidate", "s-maxage")
    return Terms(
        lifetime,
        told.has("no-cache") and not told.fields("no-cache"),
        any(told.has(name) for name in ("must-revalidate", *shared_only)),
        float(told.seconds("stale-while-revalidate") or 0),
        float(told.seconds("stale-if-error") or 0),
        told.has("must-revalidate"),
    )


def client_cache_control(
    policy_client_ttl: float | None,
    public: bool,  # noqa: FBT001 - facts, none of them a mode
    application_set: bool,  # noqa: FBT001
) -> bytes | None:
    """Return a marked route's Cache-Control for clients; None if it has its own (RFC 9111 section 5.2.2).

    Args:
        policy_client_ttl: Seconds a client may keep the response; None: it asks every time, by entity tag.
        public: The policy is public, so caches between us and the client may keep it as well.
        application_set: The response has a Cache-Control already.
    """
    if application_set:
        return None
    audience = b"public" if public else b"private"
    if policy_client_ttl is None:
        return audience + b", no-cache"
    return b"%b, max-age=%d" % (audience, min(max(0, int(policy_client_ttl)), MAX_DELTA))
