"""`Exchange`: one request and its response, seen from the cache.

The middleware makes one per request. A route's decorator asks it in place of the endpoint: the answer is a
`Reply`, or None for "run the endpoint", whose response is recorded on its way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from asynccache._engine.entry import Entry
from asynccache._engine.expiry import Freshness, judge
from asynccache.http import cache_status, rules
from asynccache.http._attempt import Attempt, wanted_by
from asynccache.http._claim import Approach, approach
from asynccache.http._coalescing import Answer, Shared
from asynccache.http._context import CacheContext
from asynccache.http._production import SERVER_ERROR, Production
from asynccache.http._recorder import listed
from asynccache.http._replies import Fields, Reply, nothing_stored, replay, without_repeated
from asynccache.http._responses import Found, Wanted
from asynccache.http._rfc9111.directives import NO_WISHES, Wishes, wishes
from asynccache.http._rfc9111.invalidation import SAFE, invalidates
from asynccache.http._rfc9111.policy import refuses
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.policy import CachePolicy

if TYPE_CHECKING:
    from asynccache.http._middleware import CacheMiddleware

__all__ = ["SCOPE_KEY", "Exchange", "Send"]

SCOPE_KEY: Final = "asynccache"
"""Where a connection's scope has its `Exchange` (or, for websockets, whatever has the ``cache``)."""

Send = Callable[[Any], Awaitable[None]]


class Exchange:
    """One request's dealings with the cache."""

    # Defaults of the class, not set for each request: most requests are for routes without a policy.
    policy: CachePolicy | None = None
    inherited: CachePolicy | None = None
    """What the nearest layer around the route says, for a route that says nothing itself."""
    adjusted: CacheContext | None = None
    """What the running handler says of its response, if it says anything."""
    forward: cache_status.Forward | None = None
    """Why the endpoint runs; None as long as nothing was looked up, and after a hit."""
    refreshing = False
    """This request is the cache's own: what is stored does not answer it."""
    part: str | None = None
    """One more part of the key, from the framework; unlike ``vary_on`` it says nothing about who asks."""
    _asked: rules.Asked | None = None
    _wishes: Wishes | None = None
    _client_gone = False
    _replayed: Fields | None = None
    """The fields of a stored response, as it began its way out."""
    _production: Production | None = None
    _refusal: str | None = None
    _fallback: tuple[Entry, StoredResponse] | None = None

    def __init__(self, middleware: CacheMiddleware, scope: rules.Scope, send: Send) -> None:
        self._middleware = middleware
        self.cache: Final = middleware.cache
        self.scope = scope
        self.pristine: dict[str, Any] = dict(scope)
        """The scope as it was before routing, for a request that repeats this one."""
        self.method: str = scope["method"]
        self._send = send

    @property
    def open(self) -> bool:
        """A response is still expected from the application."""
        return self._production is not None

    @property
    def context(self) -> CacheContext:
        """Where the running handler says something about its response."""
        if self.adjusted is None:
            self.adjusted = CacheContext()
        return self.adjusted

    @property
    def asked(self) -> rules.Asked:
        """The relevant part of the request's head."""
        if self._asked is None:
            self._asked = rules.examine(self.scope)
        return self._asked

    @property
    def wishes(self) -> Wishes:
        """What the request asks of caches, if that is heeded."""
        if self._wishes is None:
            heeded = self._middleware.http.honour_client_directives
            self._wishes = wishes(self.scope["headers"]) if heeded else NO_WISHES
        return self._wishes

    # -- the request --------------------------------------------------------------------------------

    def ready(self, policy: CachePolicy) -> Reply | None:
        """Return the reply if it needs no thinking (see `Fronts`); None: ask `lookup`."""
        fronts = self._middleware.fronts
        if fronts is None or self.policy is not None or self.method != "GET" or self.refreshing:
            return None
        reply = fronts.reply(self.scope, policy)
        if reply is not None:
            self.policy = policy
            self._replayed = tuple(reply.headers)
        return reply

    async def lookup(
        self, policy: CachePolicy, parameters: Mapping[str, Any] | None = None, connection: Any = None
    ) -> Reply | None:
        """Return the stored response to this request; None if the endpoint has to run.

        Args:
            policy: The route's policy.
            parameters: What ``{names}`` in the policy's tags stand for: path parameters, arguments.
            connection: What ``policy.vary_on`` is called with; left out: the scope.
        """
        if self.policy is not None:
            # A decorator inside another, or inside a shared cache: it has been decided.
            if self._middleware.shared:
                once = {name: self.scope[name] for name in ("method", "path")}  # of the first route only
                self._middleware.warn_once(None, "mode='rfc9111'", once)
            return None
        self.policy = policy
        if self.method not in ("GET", "HEAD"):
            return self._bypass("method", None)
        connection = self.scope if connection is None else connection
        read = self._middleware.reads(self.scope)
        wanted, reason = await wanted_by(policy, self.asked, self.scope, connection, self.part, reads=read)
        if wanted is None:
            return self._bypass("bypass", reason)
        tags = policy.tags_for(parameters or self.scope.get("path_params") or {})
        wanted, tags = self._middleware.responses.named(wanted, tags, self.asked, self.pristine)
        if policy.public:
            self._middleware.remember_public(self.pristine["path"], self.asked.url, policy, wanted)
        attempt = Attempt(
            policy, self._middleware.lifetime(policy), wanted, tags, shared_only=reason is not None
        )
        reply = await (self._refresh(attempt) if self.refreshing else self._resolve(attempt))
        if reply is not None:
            self._replayed = tuple(reply.headers)
        return reply

    async def early(self, policy: CachePolicy, url: str, names: tuple[bytes, ...]) -> Reply | None:
        """Return the stored response of a public route, before routing; None: go on as usual."""
        responses = self._middleware.responses
        wanted = Wanted(url, self.scope["headers"], rules.user_key(policy, self.asked, None), names)
        found = await responses.find_early(wanted, self.asked, self.scope)
        if found.response is None or not found.response.public:
            return None
        attempt = Attempt(policy, self._middleware.lifetime(policy), wanted, (), shared_only=False)
        return await self._judged(attempt, found)

    def _bypass(self, forward: cache_status.Forward, reason: str | None) -> Reply | None:
        self.forward = forward
        self._refusal = reason
        if reason is not None:
            self._middleware.warn_once(self.policy, reason, self.scope)
        return None

    async def _resolve(self, attempt: Attempt) -> Reply | None:
        """Answer from the store or with a response that is being produced; else begin to produce one."""
        middleware = self._middleware
        self._refusal = self._unstorable(attempt)

        async def look() -> tuple[Found, Reply | None]:
            nonlocal attempt
            attempt = attempt.expecting(middleware.responses)
            found = await middleware.responses.find(attempt.wanted, attempt.tags)
            reply = await self._judged(attempt, found)
            return found, reply or self._unless_forbidden(found.key)

        def accept(shared: Shared) -> Reply | None:
            return self._collapsed(shared) if attempt.suits(shared) else None

        alone = attempt.shared_only or self._refusal is not None
        way = await approach(middleware, look, accept, alone=alone)
        if way.reply is not None:
            return way.reply
        self._note_miss(way.found.key)
        if self._refusal is not None:
            middleware.warn_once(attempt.policy, self._refusal, self.scope)
            return None
        return await self._begin(attempt, way)

    def _unless_forbidden(self, key: str) -> Reply | None:
        """Return the answer to a client that wants nothing but what is stored."""
        if not self.wishes.only_if_cached:
            return None
        self._note_miss(key)
        self.forward = None
        return nothing_stored(status=self._middleware.http.cache_status)

    def _unstorable(self, attempt: Attempt) -> str | None:
        """Return why the response to this request will not be stored, whatever it is."""
        if self.method == "HEAD":
            return "head"
        if self.wishes.no_store:
            return "request"
        return self.asked.unkeyed(self.scope.get("scheme", "http"), tuple(attempt.policy.vary))

    async def _begin(self, attempt: Attempt, way: Approach) -> Reply | None:
        self._production = production = Production(self._middleware, attempt, way.found, self._fallback)
        claim = production.claim
        claim.lead(way.leading, alone=way.alone)
        found = await claim.take_lease()
        if found.entry is not None and found.entry is not claim.found.entry:
            reply = await self._judged(attempt, found)
            if reply is not None:
                await self._abandon(Answer.RETRY)
                return reply
        await production.begin(self.scope)
        return None

    async def _refresh(self, attempt: Attempt) -> Reply | None:
        found = await self._middleware.responses.find(attempt.wanted, attempt.tags)
        self._refusal = self._unstorable(attempt)
        if self._refusal is not None:
            return None
        self._production = production = Production(self._middleware, attempt, found, None)
        claim = production.claim
        claim.lead(None, alone=False)
        await claim.take_free_lease()
        if claim.lease.held_by_other and found.entry is not None and found.response is not None:
            await self._abandon(Answer.RETRY)
            return self._replay(found.entry, found.response, None)  # nobody receives it
        await production.begin(self.scope)
        return None

    # -- what is stored -----------------------------------------------------------------------------

    async def _judged(self, attempt: Attempt, found: Found) -> Reply | None:
        """Return the reply if what was found may be served."""
        entry, response = found.entry, found.response
        if entry is None or response is None:
            self.forward = "vary-miss" if found.vary is not None else "uri-miss"
            return None
        self.forward = attempt.withheld(response)
        if self.forward is not None:
            return None
        now = self.cache.entries.clock()
        freshness = judge(entry, now, attempt.lifetime.beta)
        if freshness is Freshness.DEAD:
            self.forward = "stale"
            return None
        if refuses(self.wishes, now - entry.created, entry.fresh_until - now):
            self.forward = "request"
            return None
        if freshness is Freshness.ERROR_ONLY:
            self.forward = "stale"
            self._fallback = replace(entry), response  # a copy: the store may drop its own meanwhile
            return await self._patient(attempt, found)
        if freshness is not Freshness.FRESH:
            self._middleware.refresh(self, found.key)
        elif self.method == "GET" and not attempt.wanted.extra:
            self._middleware.remember_front(self.scope, attempt, found)
        return self.hit(entry, response, stale=freshness is Freshness.STALE)

    async def _patient(self, attempt: Attempt, found: Found) -> Reply | None:
        """With a ``soft_timeout``: produce a response aside, and serve the stale one if that takes longer."""
        timeout = attempt.lifetime.soft_timeout
        if timeout is None or self.refreshing:
            return None
        task = self._middleware.refresh(self, found.key)
        if task is not None:
            await asyncio.wait({task}, timeout=timeout)
        newer = await self._middleware.responses.find(attempt.wanted, attempt.tags)
        if newer.entry is None or newer.response is None or attempt.withheld(newer.response) is not None:
            return None
        freshness = judge(newer.entry, self.cache.entries.clock())
        if freshness is Freshness.DEAD:
            return None
        return self.hit(newer.entry, newer.response, stale=freshness is not Freshness.FRESH)

    def hit(self, entry: Entry, response: StoredResponse, *, stale: bool) -> Reply:
        """Return a stored response as the reply."""
        self.forward = None
        now = self.cache.entries.clock()
        self._middleware.responses.count_hit(entry, now, stale=stale)
        status = self._middleware.http.cache_status
        member = cache_status.hit(entry.fresh_until - now, stale=stale) if status else None
        return self._replay(entry, response, member)

    def _collapsed(self, answer: Shared) -> Reply:
        """Return another request's response, as the reply to this one."""
        self._note_miss(answer.entry.key)
        forward, self.forward = self.forward or "uri-miss", None
        member = cache_status.forward(forward, collapsed=True) if self._middleware.http.cache_status else None
        return self._replay(answer.entry, answer.response, member)

    def _replay(self, entry: Entry, response: StoredResponse, member: bytes | None) -> Reply:
        conditions = self.scope["headers"] if self.asked.conditional else None
        now = self.cache.entries.clock()
        return replay(response, entry, now, member=member, conditions=conditions, head=self.method == "HEAD")

    def _note_miss(self, key: str) -> None:
        self._middleware.responses.count_miss(key, self.forward)

    # -- the response -------------------------------------------------------------------------------

    def send(self, message: Any) -> Awaitable[None]:
        """Pass a message of the application on, recording it where it is to be stored."""
        # No coroutine of its own: most messages are those of routes without a policy.
        if self._production is not None:
            return self._recorded(self._production, message)
        quiet = self.forward is None and (self.policy is not None or self.method in SAFE)
        if quiet or message["type"] != "http.response.start":
            if self._replayed is not None and message["type"] == "http.response.start":
                message = without_repeated(message, self._replayed)
            return self._send(message)
        return self._unrecorded(message)

    async def _recorded(self, production: Production, message: Any) -> None:
        if not production.replaced:
            for outgoing in await production.record(message, self):
                try:
                    await production.claim.passing(self._send(outgoing))
                except Exception:
                    self._client_gone = True
                    raise
            if production.ended:
                self._refusal = production.refusal
                if self._refusal == "authorization":
                    self._middleware.warn_once(self.policy, self._refusal, self.scope)
                if not production.replaced:
                    self._production = None

    async def _unrecorded(self, message: Any) -> None:
        """Pass on the head of a response that will not be stored."""
        message = listed(message)
        if invalidates(self.method, message["status"]):
            await self._middleware.invalidate(self.asked, self.scope, message.get("headers", ()))
        if self.forward is not None:
            message = self.marked(message, stored=False)
        await self._send(message)

    def marked(self, message: Any, *, stored: bool, detail: str | None = None) -> Any:
        """Return the head of a response with what the cache has to say about it."""
        if not self._middleware.http.cache_status or self.forward is None:
            return message
        headers = list(message.get("headers", ()))
        reason = detail or self._refusal
        cache_status.append(headers, cache_status.forward(self.forward, stored=stored, detail=reason))
        return {**message, "headers": headers}

    async def refuse(self, reason: str) -> None:
        """Keep the response out of the store, for a reason of the framework; too late once it has begun."""
        production = self._production
        if production is not None and not (production.ended or production.recording.started):
            self._production, self._refusal = None, reason
            await production.give_up(reason)

    async def rescue(self, error: Exception) -> Reply | None:
        """Return the stale response that may stand in for an endpoint that raised, None if none may.

        An exception with a ``status_code`` below 500 is the endpoint's answer, not its failure.
        """
        production = self._production
        if production is None or production.fallback is None or production.begun:
            return None
        if getattr(error, "status_code", SERVER_ERROR) < SERVER_ERROR:
            return None
        entry, response = production.fallback
        self._production = None
        await production.give_up("error")
        return self.hit(entry, response, stale=True)

    async def close(self, error: BaseException | None) -> None:
        """End the exchange: whoever waits for a response that was not completed must not wait for ever."""
        production, self._production = self._production, None
        if production is None or production.ended:
            return
        if error is None or self._client_gone or isinstance(error, asyncio.CancelledError):
            await production.claim.abandon(Answer.LEAD)  # the next one may have more patience
        else:
            await production.give_up("error")

    async def _abandon(self, answer: Answer) -> None:
        production, self._production = self._production, None
        if production is not None:
            await production.claim.abandon(answer)
