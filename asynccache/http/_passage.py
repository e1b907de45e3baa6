"""`Passage`: one request through the shared cache (``rfc9111`` mode), until the application runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from asynccache._engine.entry import Entry
from asynccache._engine.expiry import CLOCK_TOLERANCE
from asynccache.http import cache_status, rules
from asynccache.http._claim import Claim, approach
from asynccache.http._coalescing import Answer, Shared
from asynccache.http._forwarding import Forwarding
from asynccache.http._fronts import ANYONE
from asynccache.http._replies import Reply, nothing_stored
from asynccache.http._responses import Found, Wanted
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.directives import NO_WISHES, wishes
from asynccache.http._rfc9111.freshness import precise_age
from asynccache.http._rfc9111.policy import Use, decide, stands_in, withheld
from asynccache.http._rfc9111.selection import variant_digest
from asynccache.http._rfc9111.stored import StoredResponse, Terms
from asynccache.http._rfc9111.validation import conditions
from asynccache.http._shared_replies import answer

if TYPE_CHECKING:
    from asynccache.http._middleware import CacheMiddleware

__all__ = ["Passage"]

_PRECONDITIONS: Final = frozenset({b"if-match", b"if-unmodified-since"})
_OURS: Final = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})
"""Request fields that we put in the client's place when we ask for ourselves."""


class Passage:
    """One request. It is answered from the store, or with the application's response, which may be stored."""

    def __init__(
        self,
        middleware: CacheMiddleware,
        scope: rules.Scope,
        receive: Any,
        send: Any,
        *,
        refreshing: bool = False,
    ) -> None:
        self.middleware = middleware
        self.scope = scope
        self.send: Callable[[Any], Awaitable[None]] = send
        self.headers = scope["headers"]
        self.method: str = scope["method"]
        self.asked = rules.examine(scope)
        self.receive = rules.watched(scope, receive, self)
        self.forward: cache_status.Forward | None = None
        """Why the application is asked; None after a hit."""
        self.detail: str | None = None
        self.refreshing = refreshing
        """The request is the cache's own: what is stored does not answer it."""
        self.asking = False
        """The application is asked about what is stored: a 304 or a 206 answers us, not the client."""
        self.usable: tuple[Entry, StoredResponse] | None = None
        """What is stored for this request, though it may have to be validated."""
        self.wanted = Wanted(self.asked.url, self.headers)
        self.tags: tuple[str, ...] = ()
        switches = middleware.switches
        self.wishes = wishes(self.headers) if switches.honour_client_directives else NO_WISHES
        self.ranges = ranges.requested(self.headers) if self.method == "GET" else None
        self.credentials = tuple(_credentials(self.asked))

    async def run(self) -> None:
        """Answer the request."""
        if self.method not in ("GET", "HEAD"):
            await self._untouched("method", None)
        elif (reason := self._outside()) is not None:
            if self.wishes.only_if_cached:
                await self.answer(nothing_stored(status=self.middleware.http.cache_status))
            else:
                await self._untouched("bypass", reason)
        else:
            await self._through()

    def _outside(self) -> str | None:
        """Return why the cache stays out of it."""
        if not self.asked.url:
            return "host"
        if self.asked.content:
            return "content"
        unanswerable = any(name in _PRECONDITIONS for name, _ in self.headers)
        return "precondition" if unanswerable else None  # only the origin can evaluate them (section 4.3.2)

    async def _untouched(self, forward: Literal["method", "bypass"], reason: str | None) -> None:
        self.forward, self.detail = forward, reason
        middleware = self.middleware
        before = None
        if self.method == "POST" and self.asked.url and middleware.responses.store.local is not None:
            # Its response may be stored for GET. In other stores this would cost every POST a round trip.
            self.wanted, self.tags = middleware.responses.named(self.wanted, (), self.asked, self.scope)
            before = Claim(middleware, self.wanted, self.tags, Found(self.wanted.url))
        await Forwarding(self, None, before).run(self.headers)

    async def _through(self) -> None:
        middleware = self.middleware
        self.wanted, self.tags = middleware.responses.named(self.wanted, (), self.asked, self.scope)
        way = await approach(middleware, self._look, self._accept, alone=self._goes_alone())
        if way.reply is not None:
            await self.answer(way.reply)
            return
        self.note_miss(way.found.key)
        if self.method == "HEAD" and self.usable is None:
            await Forwarding(self, None).run(self.headers)
            return
        claim = Claim(middleware, self.wanted, self.tags, way.found)
        claim.lead(way.leading, alone=way.alone)
        forwarding = Forwarding(self, claim)
        try:
            found = await claim.take_lease()
            if self.refreshing and claim.lease.held_by_other:
                await claim.abandon(Answer.RETRY)  # another process is at it
                return
            reply = None
            if found.entry is not None and found.entry is not way.found.entry:
                reply = self._judged(found)
            if reply is None:
                await claim.read_stamps()
        except BaseException:
            await claim.abandon(Answer.LEAD)
            raise
        if reply is not None:
            await claim.abandon(Answer.RETRY)
            await self.answer(reply)
            return
        await forwarding.run(self._question())
        if forwarding.unanswered:
            await self._once_more()

    async def _once_more(self) -> None:
        """Ask without a thought of what is stored: what came does not go with it."""
        self.usable = self.detail = None
        self.asking = False
        self.receive = _no_content(self.receive)
        found = await self.middleware.responses.find(self.wanted, self.tags)
        claim = Claim(self.middleware, self.wanted, self.tags, found)
        try:
            await claim.take_free_lease()
            await claim.read_stamps()
        except BaseException:
            await claim.abandon(Answer.LEAD)
            raise
        await Forwarding(self, claim).run(self._question())

    def _goes_alone(self) -> bool:
        """Return whether this request can be of no use to others, or they to it."""
        return (
            self.refreshing
            or self.method == "HEAD"
            or self.ranges is not None
            or self.asked.conditional
            or self.wishes.no_cache
            or self.wishes.no_store
        )

    def _question(self) -> list[tuple[bytes, bytes]]:
        """Return the fields to ask the application with."""
        if self.usable is None or self.method == "HEAD":
            return rules.without_conditions(self.headers) if self.refreshing else list(self.headers)
        response = self.usable[1]
        if response.part is None:
            asked = conditions(response.headers)
        else:
            asked = [] if self.ranges is not None else ranges.missing_range(response)
        if not asked:
            return rules.without_conditions(self.headers) if self.refreshing else list(self.headers)
        self.asking = True
        return [*(field for field in self.headers if field[0] not in _OURS), *asked]

    # -- what is stored -----------------------------------------------------------------------------

    async def _look(self) -> tuple[Found, Reply | None]:
        responses = self.middleware.responses
        self.tags = responses.expected(self.wanted, self.tags)
        found = await responses.find(self.wanted, self.tags)
        if found.vary is not None and found.entry is None:
            found = await responses.find_language(found, self.wanted, self.tags)
        reply = self._judged(found)
        if reply is None and self.wishes.only_if_cached and not self.refreshing:
            self.note_miss(found.key)
            reply = nothing_stored(status=self.middleware.http.cache_status)
        return found, reply

    def _judged(self, found: Found) -> Reply | None:
        """Return the answer if what was found is one; else note why not, and what it may be good for."""
        self.usable, self.detail = None, None
        entry, response = found.entry, found.response
        now = self.middleware.responses.store.clock()
        if (
            entry is None
            or response is None
            or response.terms is None
            or entry.created - CLOCK_TOLERANCE > now
        ):
            self.forward = "vary-miss" if found.vary is not None else "uri-miss"
            return None
        varies_by = () if found.vary is None else found.vary.names
        self.detail = withheld(response, self.credentials, varies_by, self.middleware.switches)
        if self.detail is not None:
            self.forward = "bypass"
            return None
        self.usable = entry, response
        terms = response.terms
        age = _age(entry, response, terms, now)
        decision = decide(terms, age, self.wishes)
        self.forward = "stale" if self.refreshing else decision.forward
        if self.forward is not None:
            return None
        reply = self._hit(entry, response, now, left=terms.lifetime - age)
        if reply is None:
            self.forward = "partial"
        elif decision.use is Use.SERVE_AND_REFRESH:
            self.middleware.repeat(self.scope, found.key)
        elif age < terms.lifetime and self.method == "GET" and response.part is None:
            fronts = self.middleware.fronts
            if fronts is not None:  # requests like this one need no thinking from now on
                fronts.remember(self.scope, ANYONE, found, credentials=response.shared)
        return reply

    def _hit(self, entry: Entry, response: StoredResponse, now: float, *, left: float) -> Reply | None:
        status, stale = self.middleware.http.cache_status, left <= 0
        member = cache_status.hit(left, stale=stale) if status else None
        reply = self.replay(entry, response, member)
        if reply is not None:
            self.middleware.responses.count_hit(entry, now, stale=stale)
        return reply

    def replay(self, entry: Entry, response: StoredResponse, member: bytes | None) -> Reply | None:
        """Return the answer to this request from ``response``; None if it lacks what is asked for."""
        return answer(
            response,
            entry,
            self.middleware.responses.store.clock(),
            member=member,
            request_headers=self.headers,
            conditional=self.asked.conditional,
            wanted=self.ranges,
            head=self.method == "HEAD",
        )

    def _accept(self, shared: Shared) -> Reply | Literal[Answer.GO] | None:
        """Answer with another request's response, if it would have been the answer to this one."""
        mine, others = self.wanted.headers, shared.wanted.headers
        if variant_digest(shared.names, mine) != variant_digest(shared.names, others):
            return None
        entry, response = shared.entry, shared.response
        now = self.middleware.responses.store.clock()
        if response.terms is None or withheld(
            response, self.credentials, shared.names, self.middleware.switches
        ):
            return Answer.GO
        decision = decide(response.terms, precise_age(response, entry.created, now), self.wishes)
        if decision.use is not Use.SERVE:
            return Answer.GO
        self.note_miss(entry.key)
        forward, self.forward = self.forward or "uri-miss", None
        member = cache_status.forward(forward, collapsed=True) if self.middleware.http.cache_status else None
        return self.replay(entry, response, member)

    def fallback(self) -> tuple[Entry, StoredResponse] | None:
        """Return what may stand in if the application fails now."""
        if self.usable is None or self.refreshing:
            return None
        entry, response = self.usable
        now = self.middleware.responses.store.clock()
        terms = response.terms
        if terms is None:
            return None
        age = _age(entry, response, terms, now)
        return self.usable if stands_in(terms, age, self.wishes, self.middleware.switches) else None

    def note_miss(self, key: str) -> None:
        """Count a request that the store did not answer."""
        self.middleware.responses.count_miss(key, self.forward)

    async def answer(self, reply: Reply) -> None:
        """Send a complete response."""
        for message in reply.messages():
            await self.send(message)


def _age(entry: Entry, response: StoredResponse, terms: Terms, now: float) -> float:
    """Return a response's age as far as freshness is concerned, in seconds.

    The entry's own end is earlier than the response's only after a soft invalidation: that makes it older.
    """
    return max(precise_age(response, entry.created, now), terms.lifetime - (entry.fresh_until - now))


def _no_content(receive: Any) -> Callable[[], Awaitable[Any]]:
    """Return what an application receives that is asked once more: servers say once that there is no body."""
    said = False

    async def again() -> Any:
        nonlocal said
        if said:
            return await receive()
        said = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return again


def _credentials(asked: rules.Asked) -> Iterator[bytes]:
    """Yield the request's fields that tell who is asking."""
    if asked.authorization:
        yield b"authorization"
    if asked.cookies:
        yield b"cookie"
    for name in asked.credentials:
        yield name.encode("ascii")
