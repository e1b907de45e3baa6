"""What the cache keeps for a URI: a response, or the index of its variants (RFC 9111 sections 3 and 4.1).

Both are encoded as msgpack arrays that begin with their tag; a field may only ever be added at the
end and with a default, so that older entries stay readable.
"""

from __future__ import annotations

import msgspec

__all__ = ["Stored", "StoredResponse", "VaryIndex"]


# gc=False on both: nothing in them could refer back to them, and a near cache may hold very many.
class StoredResponse(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """One complete response, ready for replay."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """Fields to replay, lower-case, with ETag; never Set-Cookie, connection fields or Content-Length."""
    body: bytes
    etag: bytes
    """The entity tag as in the field, with quotes."""
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


class VaryIndex(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Stands under a URI's key whose responses vary; the variants' keys are made from it."""

    names: tuple[bytes, ...]
    """The request fields that select a variant: lower-case, sorted."""
    generation: str
    """Random, and part of every variant's key: a new index never revives variants of a deleted one."""


Stored = StoredResponse | VaryIndex
"""What is found under the key of a URI."""
