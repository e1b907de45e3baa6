"""`Production`: a response being produced by the application, until it is stored or known not to be."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from asynccache import events
from asynccache._engine.clock import stopwatch
from asynccache._engine.entry import Entry
from asynccache.http._attempt import Attempt
from asynccache.http._claim import Claim
from asynccache.http._coalescing import Answer, Shared
from asynccache.http._reads import varied
from asynccache.http._recorder import UNRECORDABLE, Recording, listed
from asynccache.http._replies import added_fields, replay, stored_response
from asynccache.http._responses import Found
from asynccache.http._rfc9111.selection import vary_names
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import is_shared
from asynccache.http.rules import Scope

if TYPE_CHECKING:
    from asynccache.http._exchange import Exchange
    from asynccache.http._middleware import CacheMiddleware

__all__ = ["SERVER_ERROR", "Production"]

SERVER_ERROR: Final = 500
_POLL: Final = 0.02
"""Seconds between two looks at what another process is producing."""


class Production:
    """One response on its way, and what it takes to store it."""

    __slots__ = (
        "_attempt",
        "_head",
        "_middleware",
        "_request_time",
        "_session",
        "_started",
        "claim",
        "fallback",
        "recording",
        "refusal",
        "replaced",
    )

    def __init__(
        self,
        middleware: CacheMiddleware,
        attempt: Attempt,
        found: Found,
        fallback: tuple[Entry, StoredResponse] | None,
    ) -> None:
        limit = attempt.policy.max_body_bytes
        self.claim = Claim(middleware, attempt.wanted, attempt.tags, found)
        self.fallback = fallback
        """What may be served if producing fails (stale-if-error)."""
        self.recording = Recording(middleware.http.max_body_bytes if limit is None else limit)
        self.refusal: str | None = None
        self.replaced = False
        """The application's response is being thrown away: the client got another one."""
        self._middleware = middleware
        self._attempt = attempt
        self._head: Any = None
        """The start message, held back until the first part of the body: it may still get an ETag."""
        self._request_time = 0.0
        self._session: object = None
        """The session as the application finds it. The cookie of one that it changes is added further out."""
        self._started = 0.0

    @property
    def begun(self) -> bool:
        """Something of the response has been sent."""
        return self.recording.started and self._head is None

    @property
    def ended(self) -> bool:
        """It is known whether the response is stored."""
        return self.claim.ended

    async def begin(self, scope: Scope) -> None:
        """Note how things stand: the application starts now."""
        await self.claim.read_stamps()
        self._session = copy(scope.get("session"))
        self._request_time = self._middleware.responses.store.clock()
        self._started = stopwatch()

    # -- recording ----------------------------------------------------------------------------------

    async def record(self, message: Any, exchange: Exchange) -> tuple[Any, ...]:
        """Take one message of the application and return those to send now."""
        kind = message["type"]
        if kind == "http.response.start":
            return await self._start(listed(message), exchange)
        if kind == "http.response.body":
            return await self._body(message, exchange)
        if kind in UNRECORDABLE:
            await self.give_up(kind.removeprefix("http.response."))
        elif self._head is None:
            return (message,)
        return (*self._flush(exchange), message)

    async def _start(self, message: Any, exchange: Exchange) -> tuple[Any, ...]:
        if message["status"] >= SERVER_ERROR and self.fallback is not None:
            await self.give_up("status")
            self.replaced = True
            return exchange.hit(*self.fallback, stale=True).messages()
        policy = self._attempt.policy
        head = varied(message, self._middleware.reads(exchange.scope).names(policy))
        reason = self.recording.start(head, frozenset(policy.statuses))
        if reason is None and exchange.scope.get("session") != self._session:
            reason = "session"
        if reason is None and self._attempt.shared_only and not is_shared(self.recording.headers):
            reason = "authorization"
        reason = reason or _spoiled(exchange)
        if reason is not None:
            await self.give_up(reason)
            return (exchange.marked(message, stored=False, detail=reason),)
        self._head = head
        # The head of a stream goes out at once: somebody may be waiting for just that.
        return () if self.recording.framed else self._flush(exchange)

    async def _body(self, message: Any, exchange: Exchange) -> tuple[Any, ...]:
        reason = self.recording.take(message)
        reason = reason or _spoiled(exchange)  # with every part: a stream may come to know it late
        if reason is not None:
            await self.give_up(reason)
        elif self.recording.complete:
            return await self._complete(message, exchange)
        return (*self._flush(exchange, detail=reason), message)

    def _flush(self, exchange: Exchange, detail: str | None = None) -> tuple[Any, ...]:
        head, self._head = self._head, None
        if head is None:
            return ()
        if not self.ended:
            head = _with_fields(head, added_fields(self.recording.headers, self._attempt.policy, None, 0))
        return (exchange.marked(head, stored=False, detail=detail),)

    async def _complete(self, message: Any, exchange: Exchange) -> tuple[Any, ...]:
        """Store the response, so that the next request finds it before the last byte of this one has left."""
        responses, claim = self._middleware.responses, self.claim
        now = responses.store.clock()
        policy = self._attempt.policy
        recording = self.recording
        added = added_fields(recording.headers, policy, recording.body(), recording.status)
        response = stored_response(
            recording, added, public=policy.public, request_time=self._request_time, response_time=now
        )
        names = vary_names(recording.headers) or ()
        seconds = stopwatch() - self._started
        lifetime, detail = self._attempt.lifetime, None
        if exchange.adjusted is not None:
            lifetime = exchange.adjusted.lifetime(policy, self._middleware.cache.default_ttl, lifetime)
            if not await claim.add_tags(exchange.adjusted.tags):
                detail = "tags"
        entry = responses.response_entry(response, lifetime, claim.stamps or (), seconds)
        responses.store.tally.computed += 1
        responses.store.emit(events.Computed(claim.found.key, seconds))
        stored = False
        if claim.stamps is not None and detail is None:
            stored = await responses.fill(
                claim.found, self._attempt.wanted, entry, names=names, run=claim.run, lease=claim.lease
            )
        await claim.end(Answer.RETRY if detail else Shared(entry, response, names, self._attempt.wanted))
        head, self._head = self._head, None
        if head is None:
            return (message,)
        if exchange.asked.conditional:
            reply = replay(response, entry, now, conditions=exchange.scope["headers"])
            if reply.status != response.status:
                head, message = reply.messages()
                return exchange.marked(head, stored=stored, detail=detail), message
        return exchange.marked(_with_fields(head, added), stored=stored, detail=detail), message

    async def give_up(self, reason: str) -> None:
        """The response will not be stored."""
        self.refusal = reason
        await self.claim.give_up()


def _spoiled(exchange: Exchange) -> str | None:
    """Return why the response must not be stored, by what has happened since the request."""
    if exchange.adjusted is not None and not exchange.adjusted.stored:
        return "no-store"
    return "content" if exchange.asked.content else None


def _with_fields(message: Any, fields: Any) -> Any:
    return {**message, "headers": [*message.get("headers", ()), *fields]}
