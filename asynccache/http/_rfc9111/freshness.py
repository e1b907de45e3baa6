"""How old a response is, and how long clients may keep it (RFC 9111 section 4.2)."""

from __future__ import annotations

from asynccache.http._rfc9111.fields import MAX_DELTA, Headers, age, field_values, http_date
from asynccache.http._rfc9111.stored import StoredResponse

__all__ = ["client_cache_control", "current_age", "initial_age"]


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
