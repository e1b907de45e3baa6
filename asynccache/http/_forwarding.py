"""`Forwarding`: one run of the application, and what becomes of its response (``rfc9111`` mode)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from asynccache import events
from asynccache._engine.clock import stopwatch
from asynccache._engine.entry import Entry
from asynccache.defaults import current
from asynccache.http import rules
from asynccache.http._claim import Claim
from asynccache.http._coalescing import Answer, Shared
from asynccache.http._exchange import SCOPE_KEY, Exchange
from asynccache.http._keeping import freshened, kept_for, not_kept, received
from asynccache.http._outgoing import Outgoing
from asynccache.http._reads import varied
from asynccache.http._recorder import Recording, listed
from asynccache.http._responses import Found
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.directives import told
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.invalidation import invalidates
from asynccache.http._rfc9111.selection import content_language, selecting
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import content_length, unstorable
from asynccache.http._rfc9111.validation import same
from asynccache.http._shared_replies import response_tags
from asynccache.policy import CachePolicy

if TYPE_CHECKING:
    from asynccache.http._passage import Passage

__all__ = ["Forwarding"]

logger = logging.getLogger("asynccache")

OK: Final = 200
PARTIAL_CONTENT: Final = 206
NOT_MODIFIED: Final = 304
RANGE_NOT_SATISFIABLE: Final = 416
_FAILURES: Final = frozenset({500, 502, 503, 504})
"""What RFC 5861 section 4 calls an error."""
_IN_FORCE: Final = CachePolicy()
"""What decorators of routes find: a decision has been made, and not by them."""
_UNRECORDABLE: Final = frozenset(
    {"http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"}
)


class Forwarding:
    """One run of the application.

    Args:
        passage: The request.
        claim: The right to store the response; None: it is passed on and no more.
        before: Of a POST, what tells whether its URL was invalidated while it ran.
    """

    def __init__(self, passage: Passage, claim: Claim | None, before: Claim | None = None) -> None:
        self._passage = passage
        self._claim = claim
        self._before = before
        self._middleware = passage.middleware
        self._recording = Recording(passage.middleware.http.max_body_bytes)
        self._client = Outgoing(passage)
        self._asked_ourselves = False
        self._scope: Any = passage.scope
        self._request_time = 0.0
        self._started = 0.0
        self.unanswered = False
        """The application's answer was to a question of ours, and is of no use to the client."""

    async def run(self, headers: Headers) -> None:
        """Run the application with the request fields ``headers``."""
        passage = self._passage
        self._asked_ourselves = passage.usable is not None and list(headers) != list(passage.headers)
        self._request_time = self._middleware.responses.store.clock()
        self._started = stopwatch()
        self._scope = scope = {**passage.scope, "headers": headers}
        exchange = Exchange(self._middleware, scope, passage.send)
        exchange.policy = _IN_FORCE
        scope[SCOPE_KEY] = exchange
        token = current.set(exchange)
        try:
            await self._middleware.app(scope, passage.receive, self._send)
        except Exception as error:
            if not await self._rescued(error):
                raise
        except BaseException:
            await self._broken_off(Answer.LEAD)
            raise
        else:
            await self._broken_off(Answer.LEAD)
        finally:
            if self._before is not None:
                await self._before.abandon(Answer.RETRY)
            current.reset(token)
            exchange.scope = exchange.pristine  # the other refers to the exchange: a cycle

    async def _rescued(self, error: Exception) -> bool:
        """Serve something stale in place of an exception, if that is possible and permitted."""
        passage = self._passage
        if self._client.failed:
            await self._broken_off(Answer.LEAD)
            return False
        fallback = None if self._recording.started or self._client.closed else passage.fallback()
        await self._given_up("error")
        if fallback is None:
            return False
        logger.warning("serving a stale response instead of an error", exc_info=error)
        await self._stand_in(*fallback, status=None)
        return True

    async def _broken_off(self, answer: Answer) -> None:
        if self._claim is not None:
            await self._claim.abandon(answer)

    async def _given_up(self, reason: str) -> None:
        """The response will not be stored."""
        self._passage.detail = reason
        if self._claim is not None:
            await self._claim.give_up()

    # -- the response -------------------------------------------------------------------------------

    async def _send(self, message: Any) -> None:
        kind = message["type"]
        if self._client.closed:
            return
        if kind == "http.response.start":
            await self._start(listed(message))
        elif self._claim is None or self._claim.ended or self._passage.method == "HEAD":
            await self._client.send(message)
        elif kind == "http.response.body":
            await self._body(message)
        else:
            if kind in _UNRECORDABLE:
                await self._given_up(kind.removeprefix("http.response."))
            await self._client.flush()
            await self._client.send(message)

    async def _start(self, message: Any) -> None:
        passage, status = self._passage, message["status"]
        headers: Headers = message.get("headers", ())
        if invalidates(passage.method, status):
            await self._changed(status, headers)
        if status in _FAILURES and (fallback := passage.fallback()) is not None:
            await self._given_up("status")
            await self._stand_in(*fallback, status=status)
            return
        if self._claim is None or self._claim.ended:
            await self._client.head(message)
            return
        if passage.method == "HEAD":
            await self._about(self._claim, status, headers)
            await self._client.head(message)
            return
        if self._asked_ourselves and status in (NOT_MODIFIED, RANGE_NOT_SATISFIABLE):
            await self._validated(self._claim, status, headers)
            return
        # What a framework knows its endpoint to read keeps requests apart, also if the response forgets it.
        message = varied(message, self._middleware.reads(self._scope).names(_IN_FORCE))
        reason = self._recording.begin(message) or self._refusal(status, self._recording.headers)
        if reason is not None:
            await self._given_up(reason)
            if self._completing:
                self._no_answer()
            else:
                await self._client.head(message)
            return
        self._client.hold(message)
        if not (self._recording.framed or self._completing):
            await (
                self._client.flush()
            )  # the head of a stream goes out at once: somebody may be waiting for just that

    async def _changed(self, status: int, headers: Headers) -> None:
        """Remove what an unsafe request has made worthless; go on with a response that replaces it."""
        passage, before = self._passage, self._before
        outdated = before is None or before.run.voided
        await self._middleware.invalidate(passage.asked, passage.scope, headers)
        itself = rules.represents_itself(passage.asked, passage.scope, headers)
        if not outdated and status == OK and itself:
            self._claim = Claim(self._middleware, passage.wanted, passage.tags, Found(passage.wanted.url))
            await self._claim.take_free_lease()
            await self._claim.read_stamps()

    def _refusal(self, status: int, headers: Headers) -> str | None:
        passage = self._passage
        part = status == OK and field_values(headers, b"content-range")
        if part and field_values(self._scope["headers"], b"range"):
            return "partial"  # by the RFC that field means nothing here, but half a page is half a page
        return not_kept(
            status,
            headers,
            asked=passage.asked,
            scheme=passage.scope.get("scheme", "http"),
            wishes=passage.wishes,
            credentials=passage.credentials,
            post=passage.method == "POST",
            request_time=self._request_time,
            response_time=self._middleware.responses.store.clock(),
            switches=self._middleware.switches,
        )

    async def _body(self, message: Any) -> None:
        claim = self._claim
        reason = self._recording.take(message)
        if reason is not None:
            await self._given_up(reason)
        elif self._recording.complete and claim is not None:
            await self._complete(claim, message)
            return
        if self._completing:
            if reason is not None:
                self._no_answer()
            return  # it is part of the answer, and goes out with the rest
        await self._client.flush()
        await self._client.send(message)

    async def _complete(self, claim: Claim, message: Any) -> None:
        """Store the response, so that the next request finds it before the last byte of this one has left."""
        passage, recording = self._passage, self._recording
        now = self._middleware.responses.store.clock()
        response = received(
            recording.status,
            recording.headers,
            recording.body(),
            request_time=self._request_time,
            response_time=now,
            switches=self._middleware.switches,
        )
        if response.status == PARTIAL_CONTENT:
            joined = self._joined(response)
            if joined is None:
                await self._given_up("partial")
                if self._completing:
                    self._no_answer()
                    return
                await self._client.flush()
                await self._client.send(message)
                return
            response = joined
        entry, stored = await self._store(claim, response, recording.headers)
        if self._completing:
            await self._from_stored(entry, response, status=PARTIAL_CONTENT, stored=stored)
            return
        if self._client.holding and passage.asked.conditional and self._asked_ourselves:
            member = self._client.member(stored=stored, status=recording.status)
            reply = passage.replay(entry, response, member)
            if reply is not None and reply.status == NOT_MODIFIED:
                await self._client.reply(reply)
                return
        await self._client.flush(stored=stored)
        await self._client.send(message)

    @property
    def _completing(self) -> bool:
        """What comes is the rest of a stored part."""
        return self._asked_ourselves and self._recording.status == PARTIAL_CONTENT

    def _no_answer(self) -> None:
        """What came is no answer to the client: it has to be asked for once more."""
        self._client.closed = self.unanswered = True

    def _joined(self, part: StoredResponse) -> StoredResponse | None:
        """Return what to store of a 206 together with what was stored; None: nothing."""
        if part.part is None:
            return None
        old = None if self._passage.usable is None else self._passage.usable[1]
        fits = old is not None and ranges.fits(old, part)
        if old is not None and old.part is None and (fits or same(old.headers, part.headers)):
            return None  # all of it is there already
        if not fits and any(name == b"if-range" for name, _ in self._passage.headers):
            return None  # without the fields that the client is known to have (RFC 9110 section 15.3.7)
        return ranges.combined(old, part)

    # -- what is stored -----------------------------------------------------------------------------

    async def _store(self, claim: Claim, response: StoredResponse, headers: Headers) -> tuple[Entry, bool]:
        passage, responses = self._passage, self._middleware.responses
        names = selecting(response.headers)
        seconds = stopwatch() - self._started
        lifetime = kept_for(response, self._middleware.switches)
        entry = responses.response_entry(response, lifetime, claim.stamps or (), seconds)
        responses.store.tally.computed += 1
        responses.store.emit(events.Computed(claim.found.key, seconds))
        tags = response_tags(headers)
        stored = False
        if not set(tags) <= set(passage.tags):
            passage.detail = "tags"
            responses.learn(passage.wanted, tags)
        elif claim.stamps is not None:
            stored = await responses.fill(
                claim.found,
                passage.wanted,
                entry,
                names=names,
                run=claim.run,
                lease=claim.lease,
                language=content_language(response.headers),
            )
        terms = response.terms
        for_others = response.part is None and terms is not None and response.initial_age < terms.lifetime
        if passage.detail == "tags":
            await claim.end(Answer.RETRY)
        elif for_others and terms is not None and not terms.always:
            await claim.end(Shared(entry, response, names, passage.wanted))
        else:
            await claim.give_up()  # each of those who wait has to ask for itself
        return entry, stored

    async def _validated(self, claim: Claim, status: int, headers: Headers) -> None:
        """Take the answer to our own question: what is stored still holds, or it does not fit."""
        passage = self._passage
        if passage.usable is None or status != NOT_MODIFIED or not same(passage.usable[1].headers, headers):
            self._no_answer()
            await self._broken_off(Answer.RETRY)
            return
        response = self._freshened(passage.usable[1], headers)
        entry, stored = await self._store_if_allowed(claim, response, headers)
        # A cookie is for this client alone, and not part of what is stored.
        cookies = [(b"set-cookie", value) for value in field_values(headers, b"set-cookie")]
        await self._from_stored(entry, response, status=NOT_MODIFIED, stored=stored, more=cookies)

    async def _store_if_allowed(
        self, claim: Claim, response: StoredResponse, headers: Headers
    ) -> tuple[Entry, bool]:
        """Store what has been confirmed, unless the confirmation takes back that it may be stored."""
        responses, switches = self._middleware.responses, self._middleware.switches
        reason = self._refusal(response.status, response.headers)
        if reason is None:
            return await self._store(claim, response, headers)
        await self._given_up(reason)
        said, targeted = told(response.headers, switches.targeted)
        status = response.status
        if unstorable(status, response.headers, said, credentials=(), targeted=targeted, switches=switches):
            await responses.remove([claim.found.key])  # for all: it was not just for this request
        return responses.response_entry(response, kept_for(response, switches), (), 0.0), False

    async def _about(self, claim: Claim, status: int, headers: Headers) -> None:
        """Learn from the answer to a HEAD what has become of the stored response (RFC 9111 section 4.3.5)."""
        passage = self._passage
        if passage.usable is None or status != OK:
            await self._broken_off(Answer.RETRY)
            return
        stored = passage.usable[1]
        length = content_length(headers)
        modified = field_values(headers, b"last-modified")
        unchanged = (
            same(stored.headers, headers)
            and length in (None, len(stored.body))
            and modified in ([], field_values(stored.headers, b"last-modified"))
            and stored.part is None
        )
        if unchanged:
            await self._store_if_allowed(claim, self._freshened(stored, headers), headers)
        else:
            await self._broken_off(Answer.RETRY)
            await self._middleware.responses.remove([claim.found.key])

    def _freshened(self, stored: StoredResponse, headers: Headers) -> StoredResponse:
        return freshened(
            stored,
            headers,
            request_time=self._request_time,
            response_time=self._middleware.responses.store.clock(),
            switches=self._middleware.switches,
        )

    async def _from_stored(
        self, entry: Entry, response: StoredResponse, *, status: int, stored: bool, more: Headers = ()
    ) -> None:
        """Answer with what is stored now that the application has confirmed or completed it."""
        reply = self._passage.replay(entry, response, self._client.member(stored=stored, status=status))
        if reply is None:
            self._no_answer()
        else:
            reply.headers.extend(more)
            await self._client.reply(reply)

    async def _stand_in(self, entry: Entry, response: StoredResponse, *, status: int | None) -> None:
        """Serve what is stale in place of an error."""
        self._middleware.responses.store.tally.stale_hits += 1
        self._passage.detail = "stale-if-error"
        reply = self._passage.replay(entry, response, self._client.member(stored=False, status=status))
        if reply is None:
            self._no_answer()
        else:
            await self._client.reply(reply)
