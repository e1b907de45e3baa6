"""`Fronts`: hits that need no thinking.

Once a request has been answered the long way, the next one that is the same in everything that could matter
(target, host, no credentials, no conditions but this response's own entity tag) is answered from a `Front`:
the entry, the response, and its head made ready, which changes once a second. A front asks the clock and the
tags each time, and the store kills the entries it drops: so a front never answers for what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from asynccache._engine.entry import Entry
from asynccache._engine.store import EntryStore
from asynccache.http import cache_status
from asynccache.http._bounded import BoundedDict
from asynccache.http._replies import Reply, replay
from asynccache.http._responses import Found
from asynccache.http._rfc9111.fields import field_values
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.validation import not_modified_fields
from asynccache.http.rules import CREDENTIALS, OVERRIDES, Scope
from asynccache.policy import CachePolicy

__all__ = ["ANYONE", "Fronts"]

ANYONE: Final = CachePolicy(public=True)
"""Stands for the policy of what a shared cache answers with: nobody is asked before."""

_LIMIT: Final = 4096
_BYTES: Final = 32 * 2**20
"""Bodies that fronts may hold beside the store."""
NOT_MODIFIED: Final = 304

_HOST, _TAG, _AUTHORIZATION, _COOKIE, _OVERRIDE, _OTHER = 1, 2, 4, 8, 16, 32
_KINDS: Final = (
    {
        b"host": _HOST,
        b"if-none-match": _TAG,
        b"authorization": _AUTHORIZATION,
        b"cookie": _COOKIE,
        b"if-modified-since": _OTHER,
        b"content-length": _OTHER,
        b"transfer-encoding": _OTHER,
    }
    | dict.fromkeys(OVERRIDES, _OVERRIDE)
    | dict.fromkeys(CREDENTIALS, _AUTHORIZATION)
)
"""Request fields on which it depends whether a front may answer."""
_SHARED_KINDS: Final = _KINDS | dict.fromkeys(
    (b"cache-control", b"pragma", b"range", b"if-range", b"if-match", b"if-unmodified-since"), _OTHER
)
"""The same for a shared cache."""

Target = tuple[bytes, bytes, bytes, str]
Key = Target | tuple[Target, tuple[tuple[bytes, ...], ...]]
"""What is asked for and, where responses vary, the values that select one, as they were sent."""


class Front:
    """One response, ready to be sent to whoever sends nothing that matters."""

    __slots__ = (
        "allowed",
        "born",
        "entry",
        "fresh_headers",
        "index",
        "policy",
        "response",
        "since",
        "unchanged_headers",
        "until",
    )

    def __init__(
        self,
        policy: CachePolicy,
        entry: Entry,
        response: StoredResponse,
        index: Entry | None,
        *,
        credentials: bool,
    ) -> None:
        self.policy = policy
        self.entry = entry
        self.response = response
        self.index = index
        # Fields that let an application answer differently do not matter to what is stored already.
        self.allowed = _HOST | _OVERRIDE | (_TAG if response.etag else 0)
        if credentials:
            self.allowed |= _AUTHORIZATION | _COOKIE
        elif policy.cookies == ():
            self.allowed |= _COOKIE
        self.born = entry.created - response.initial_age
        self.since = self.until = -inf
        """When the heads are right: age is told in whole seconds."""
        self.fresh_headers: list[tuple[bytes, bytes]] = []
        self.unchanged_headers: list[tuple[bytes, bytes]] = []

    def prepare(self, now: float, *, status: bool) -> None:
        """Write the head anew: Age and the remaining freshness have changed."""
        self.since = self.born + (now - self.born) // 1
        self.until = self.since + 1
        member = cache_status.hit(self.entry.fresh_until - now) if status else None
        self.fresh_headers = headers = replay(self.response, self.entry, now, member=member).headers
        own = [field for field in headers if field[0] in (b"age", b"cache-status")]
        self.unchanged_headers = [*not_modified_fields(self.response.headers), *own]


class Fronts:
    """The fronts of one middleware.

    Args:
        store: A store in this process.
        status: Whether responses carry Cache-Status.
        shared: They are those of a shared cache, to which requests may say more.
    """

    def __init__(self, store: EntryStore, *, status: bool, shared: bool = False) -> None:
        self._store = store
        self._kinds = _SHARED_KINDS if shared else _KINDS
        self._clock = store.clock
        self._tally = store.tally
        self._status = status
        self._fronts: dict[Key, Front] = {}
        self._names: BoundedDict[Target, tuple[bytes, ...]] = BoundedDict(_LIMIT)
        """The request fields that select a variant, where responses vary."""
        self._bytes = 0
        self.public: bool = False
        """Whether any front may answer before routing."""

    def remember(
        self,
        scope: Scope,
        policy: CachePolicy,
        found: Found,
        *,
        credentials: bool,
    ) -> None:
        """Answer requests like this one from a front, if the response was stored for just such a request.

        Args:
            scope: The request.
            policy: Its route's policy, or `ANYONE`.
            found: What answered it.
            credentials: Whether it answers requests with credentials too.
        """
        entry, response = found.entry, found.response
        if entry is None or response is None or entry.key != found.key:
            return
        flags, target, _ = _examined(scope, self._kinds)
        front = Front(policy, entry, response, found.root, credentials=credentials)
        size = len(response.body)
        if target is None or flags & ~front.allowed or size > _BYTES:
            return
        if found.vary is None:
            self._names.pop(target, None)
        else:
            self._names[target] = found.vary.names
        key = self._key(target, scope)
        self._drop(key)
        while len(self._fronts) >= _LIMIT or self._bytes + size > _BYTES:
            self._drop(next(iter(self._fronts)))
        self._fronts[key] = front
        self._bytes += size
        self.public = self.public or policy.public

    def _key(self, target: Target, scope: Scope) -> Key:
        names = self._names.get(target)
        if names is None:
            return target
        headers = scope["headers"]
        return target, tuple([tuple(field_values(headers, name)) for name in names])

    def _drop(self, key: Key) -> None:
        front = self._fronts.pop(key, None)
        if front is not None:
            self._bytes -= len(front.response.body)

    def reply(self, scope: Scope, policy: CachePolicy | None) -> Reply | None:
        """Return the answer to a GET if there is one that needs no thinking.

        Args:
            scope: The request.
            policy: Its route's policy; None before routing, when only public responses may be served.
        """
        flags, target, tag = _examined(scope, self._kinds)
        if target is None:
            return None
        key: Key = self._key(target, scope) if self._names else target
        front = self._fronts.get(key)
        if front is None or flags & ~front.allowed:
            return None
        if front.policy is not policy and (policy is not None or not front.policy.public):
            return None
        entry, response = front.entry, front.response
        now = self._clock()
        index = front.index
        if (
            (entry.stamps and not self._store.alive(entry))
            or not entry.created <= now < entry.fresh_until
            or (index is not None and not now < index.fresh_until)
        ):
            self._drop(key)
            return None
        unchanged = tag is not None
        if unchanged and (tag != response.etag or response.status != 200):
            return None
        if not front.since <= now < front.until:
            front.prepare(now, status=self._status)
        if entry.hits < 8:
            entry.hits += 2
            if index is not None:
                index.hits = entry.hits  # without it the variant is lost
        self._tally.hits += 1
        if unchanged:
            return Reply(NOT_MODIFIED, front.unchanged_headers.copy(), b"")
        return Reply(response.status, front.fresh_headers.copy(), response.body)


def _examined(scope: Scope, kinds: Mapping[bytes, int]) -> tuple[int, Target | None, bytes | None]:
    """Return which fields that matter a request has, what it asks for (None: unclear), and its entity tag."""
    flags = 0
    host: bytes | None = None
    tag: bytes | None = None
    for name, value in scope.get("headers", ()):
        if name in kinds:
            kind = kinds[name]
            if kind == _HOST:
                if host is not None:
                    return flags, None, tag
                host = value
            elif kind == _TAG:
                if tag is not None:
                    return flags, None, tag
                tag = value
            flags |= kind
    path: Any = scope.get("raw_path")
    if path is None or host is None:
        return flags, None, tag
    return flags, (path, scope.get("query_string", b""), host, scope.get("scheme", "http")), tag
