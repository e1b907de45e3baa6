"""`Attempt`: what a request wants from the cache, and which responses would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any

from asynccache._engine.expiry import Lifetime
from asynccache.errors import ConfigurationError, InvalidKeyError
from asynccache.http import rules
from asynccache.http._coalescing import Shared
from asynccache.http._reads import Reads
from asynccache.http._responses import ResponseCache, Wanted
from asynccache.http._rfc9111.selection import variant_digest, vary_names
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http.cache_status import Forward
from asynccache.policy import CachePolicy

__all__ = ["Attempt", "wanted_by"]


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
        if self.wanted.names and not set(self.wanted.names) <= set(vary_names(response.headers) or ()):
            return "vary-miss"  # stored when nobody knew yet that it varies by that
        return "bypass" if self.shared_only and not response.shared else None

    def expecting(self, responses: ResponseCache) -> Attempt:
        """Return the same with the tags that have been learned meanwhile."""
        tags = responses.expected(self.wanted, self.tags)
        return self if tags == self.tags else replace(self, tags=tags)

    def suits(self, answer: Shared) -> bool:
        """Return whether another request's response is the one this request would get."""
        mine, others = self.wanted, answer.wanted
        return variant_digest(answer.names, mine.headers, mine.extra) == variant_digest(
            answer.names, others.headers, others.extra
        )


async def wanted_by(
    policy: CachePolicy,
    asked: rules.Asked,
    scope: rules.Scope,
    connection: Any,
    part: str | None,
    *,
    reads: Reads,
) -> tuple[Wanted | None, str | None]:
    """Return what to look for (None: the cache stays out of it), and what makes that risky.

    The URL is not a full key yet.

    Args:
        policy: The route's policy.
        asked: The request.
        scope: Its scope.
        connection: What ``policy.vary_on`` is called with.
        part: One more part of the key, from the framework.
        reads: What the endpoint is known to read.

    Raises:
        ConfigurationError: ``vary_on`` is a dependency that the framework has not resolved.
    """
    if not asked.url:
        return None, "host"
    if asked.content:
        return None, "content"
    headers, keyed = scope["headers"], reads.under(policy)
    reason = rules.credentials(policy, asked, keyed.credentials)
    if reason not in {None, "authorization"}:
        return None, reason
    distinction = None
    if policy.vary_on is not None:
        if not callable(policy.vary_on):
            raise ConfigurationError(f"vary_on={policy.vary_on!r}: dependencies are for routes of FastAPI")
        distinction = policy.vary_on(connection)
        if isawaitable(distinction):
            distinction = await distinction
        if distinction is None:
            return None, "vary-on"
    try:
        extra = rules.user_key(policy, asked, distinction, part, keyed.keys(headers))
    except InvalidKeyError:
        return None, "vary-on"
    url = rules.policy_url(policy, asked, scope, keyed.queries)
    return Wanted(url, headers, extra, reads.names(policy)), reason
