"""`Reads`: what an application is known to read of a request, beside its target.

A framework knows what an endpoint and its dependencies declare. Responses vary by that, whether or not they
say so: it goes into the key, and into ``Vary``, for every other cache on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Self

from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.selection import vary_names
from asynccache.http.rules import CREDENTIALS
from asynccache.policy import CachePolicy

__all__ = ["NOTHING", "Reads", "varied"]

_RULED: Final = frozenset({"authorization", "cookie", "host"})
"""Request fields that have rules of their own."""
_EVER_NEW: Final = frozenset(
    {
        "referer",
        "traceparent",
        "user-agent",
        "x-correlation-id",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
    }
)


class Reads(NamedTuple):
    """What an endpoint is known to read of a request. Names are in lower case; see `Reads.of`."""

    fields: tuple[str, ...] = ()
    """Request fields; ``*`` for any."""
    credentials: tuple[str, ...] = ()
    """Request fields that carry an API key or the like: each value is a user."""
    queries: tuple[str, ...] = ()
    """Query parameters that do."""

    @classmethod
    def of(
        cls, fields: Iterable[str] = (), credentials: Iterable[str] = (), queries: Iterable[str] = ()
    ) -> Self:
        """Return what is read, put in order: a field that is known to carry credentials is one that does.

        Args:
            fields: Names of request fields; ``*``: any may matter.
            credentials: Names of those that carry an API key.
            queries: Names of query parameters that do.
        """
        read = {name.lower() for name in fields} - _RULED
        keys = {name.lower() for name in credentials} - _RULED
        keys |= {name for name in read if name.encode("latin-1", "replace") in CREDENTIALS}
        return cls(tuple(sorted(read - keys)), tuple(sorted(keys)), tuple(sorted(set(queries))))

    def __or__(self, other: Reads) -> Reads:
        """Return what either reads."""
        return Reads.of(*({*mine, *others} for mine, others in zip(self, other, strict=True)))

    @property
    def ever_new(self) -> tuple[str, ...]:
        """Those of the fields that differ with nearly every client or request: nothing will be a hit."""
        return tuple(name for name in self.fields if name in _EVER_NEW)

    def under(self, policy: CachePolicy) -> Reads:
        """Return what keeps requests apart: credentials do unless the policy says itself what users share."""
        return self if policy.vary_on is None and not policy.public else Reads(self.fields)

    def names(self, policy: CachePolicy) -> tuple[bytes, ...]:
        """Return the request fields by which responses vary, beside those that they name themselves."""
        read = self.under(policy)
        names = (*policy.vary, *read.fields, *read.credentials)
        return tuple(sorted({name.encode("latin-1") for name in names})) if names else ()

    def keys(self, headers: Headers) -> dict[str, list[str]]:
        """Return the credentials that a request has sent, in the fields that carry them."""
        sent = {name: field_values(headers, name.encode("latin-1")) for name in self.credentials}
        return {name: [value.decode("latin-1") for value in sent[name]] for name in sent if sent[name]}


NOTHING: Final = Reads()


def varied(message: Any, names: Iterable[bytes]) -> Any:
    """Return the head of a response with ``names`` in its Vary.

    In one line: some middleware looks at the first only.
    """
    headers = message.get("headers", ())
    known = vary_names(headers)
    new = [] if known is None else [name for name in names if name not in known]
    if not new:
        return message
    value = b", ".join([*field_values(headers, b"vary"), *new])
    others = [field for field in headers if field[0].lower() != b"vary"]
    return {**message, "headers": [*others, (b"vary", value)]}
