"""`Attempt`: what a request wants from the cache, and which responses would do."""

from __future__ import annotations

from dataclasses import dataclass

from asynccache._engine.expiry import Lifetime
from asynccache.http._coalescing import Shared
from asynccache.http._responses import Wanted
from asynccache.http._rfc9111.selection import variant_digest
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http.cache_status import Forward
from asynccache.policy import CachePolicy

__all__ = ["Attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a request wants from the cache."""

    policy: CachePolicy
    lifetime: Lifetime
    wanted: Wanted
    tags: tuple[str, ...]
    shared_only: bool
    """It carries Authorization, so only a response that says itself that it may be shared will do."""

    def withheld(self, response: StoredResponse) -> Forward | None:
        """Return why a stored response is not for this request, however fresh it is; None if it may be."""
        if response.public and not self.policy.public:
            return "uri-miss"  # stored when the policy still said that all get the same
        return "bypass" if self.shared_only and not response.shared else None

    def suits(self, answer: Shared) -> bool:
        """Return whether another request's response is the one this request would get."""
        mine, others = self.wanted, answer.wanted
        return variant_digest(answer.names, mine.headers, mine.extra) == variant_digest(
            answer.names, others.headers, others.extra
        )
