"""What the cache keeps for a URI: a response, or the index of its variants (RFC 9111 sections 3 and 4.1).

Both are encoded as msgpack arrays that begin with their tag; a field may only ever be added at the
end and with a default, so that older entries stay readable.
"""

from __future__ import annotations

import msgspec

__all__ = ["Part", "Stored", "StoredResponse", "Terms", "VaryIndex"]


class Terms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a response's fields allow a cache to do with it (``rfc9111`` mode). Times are in seconds."""

    lifetime: float
    """``freshness_lifetime`` (RFC 9111 section 4.2.1)."""
    always: bool
    """``no-cache``: never without asking (section 5.2.2.4)."""
    strict: bool
    """``must-revalidate`` and what means the same: never stale (section 4.2.4)."""
    stale_while_revalidate: float
    stale_if_error: float
    """The windows of RFC 5861, in seconds after freshness."""
    authorized: bool = False
    """``must-revalidate``: it may be shared among requests with Authorization too (section 3.5)."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which part of a representation a 206 is (RFC 9110 section 14.4)."""

    first: int
    """Position of the first byte that is there; the body's length says which is the last."""
    complete: int
    """Length of the whole representation, in bytes."""


# gc=False on both: nothing in them could refer back to them, and a near cache may hold very many.
class StoredResponse(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """One complete response, ready for replay."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """Fields to replay, lower-case, with ETag; never Set-Cookie, connection fields or Content-Length."""
    body: bytes
    etag: bytes
    """The entity tag as in the field, with quotes; empty if it has none (``rfc9111`` mode only)."""
    shared: bool
    """The response said itself that it may be shared: see `asynccache.http._rfc9111.storing.is_shared`."""
    public: bool
    """The policy under which it was stored was public."""
    date: float
    """The origin's Date, or when the response was received; seconds since the epoch."""
    initial_age: float
    """Its age in seconds when it was received (RFC 9111 section 4.2.3)."""
    last_modified: float | None = None
    """The origin's Last-Modified; seconds since the epoch."""
    terms: Terms | None = None
    """None: stored under a route's policy, which said all this (``marked`` mode)."""
    part: Part | None = None
    """None: the body is complete."""


class VaryIndex(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Stands under a URI's key whose responses vary; the variants' keys are made from it."""

    names: tuple[bytes, ...]
    """The request fields that select a variant: lower-case, sorted."""
    generation: str
    """Random, and part of every variant's key: a new index never revives variants of a deleted one."""


Stored = StoredResponse | VaryIndex
"""What is found under the key of a URI."""
