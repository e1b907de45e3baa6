"""`Keeper`: stores what one run of the application answers (``rfc9111`` mode)."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, NamedTuple

from asynccache import events
from asynccache._engine.clock import stopwatch
from asynccache._engine.entry import Entry
from asynccache.http import rules
from asynccache.http._claim import Claim
from asynccache.http._coalescing import Answer, Shared
from asynccache.http._exchange import Exchange
from asynccache.http._keeping import Reading, freshened, kept_for, not_kept, read, whole
from asynccache.http._responses import Found
from asynccache.http._rfc9111 import ranges
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.selection import content_language, selecting
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.http._rfc9111.storing import content_length, unstorable
from asynccache.http._rfc9111.validation import entity_tag, same
from asynccache.http._shared_replies import response_tags

if TYPE_CHECKING:
    from asynccache.http._passage import Passage

__all__ = ["Keeper", "Kept"]

OK = 200
PARTIAL_CONTENT = 206


class Kept(NamedTuple):
    """What answers the request, and whether the next one will find it."""

    entry: Entry
    response: StoredResponse
    stored: bool


class Keeper:
    """What becomes of one response, beside being sent.

    Args:
        passage: The request.
        claim: The right to store the response; None: it is passed on and no more.
        before: Of a POST, what tells whether its URL was invalidated while it ran.
    """

    __slots__ = (
        "_asked",
        "_before",
        "_claim",
        "_exchange",
        "_middleware",
        "_passage",
        "_reading",
        "_request_time",
        "_session",
        "_started",
    )

    def __init__(self, passage: Passage, claim: Claim | None, before: Claim | None) -> None:
        self._passage = passage
        self._middleware = passage.middleware
        self._claim = claim
        self._before = before
        self._reading: Reading | None = None
        self._exchange: Exchange | None = None
        self._asked: Headers = passage.headers
        self._request_time = 0.0
        self._started = 0.0
        self._session: object = None
        """The session as the application finds it. The cookie of one that it changes is added further out."""

    def begin(self, headers: Headers, exchange: Exchange) -> None:
        """Note that the application starts now, with the request fields ``headers``.

        Args:
            headers: The fields.
            exchange: Where the running handler says something about its response.
        """
        self._asked = headers
        self._exchange = exchange
        self._request_time = self._middleware.responses.store.clock()
        self._started = stopwatch()
        self._session = copy(self._passage.scope.get("session"))

    @property
    def open(self) -> bool:
        """The response may yet be stored."""
        return self._claim is not None and not self._claim.ended

    # -- what is not stored -------------------------------------------------------------------------

    async def give_up(self, reason: str) -> None:
        """The response will not be stored."""
        self._passage.detail = reason
        if self._claim is not None:
            await self._claim.give_up()

    async def abandon(self, answer: Answer) -> None:
        """No response will come from here; harmless after one has."""
        if self._claim is not None:
            await self._claim.abandon(answer)
        if self._before is not None:
            await self._before.abandon(answer)

    def refusal(self, status: int, headers: Headers) -> str | None:
        """Return why a response is not stored, as a token for Cache-Status; None if it is."""
        passage, switches = self._passage, self._middleware.switches
        now = self._middleware.responses.store.clock()
        self._reading = reading = read(
            status, headers, request_time=self._request_time, response_time=now, switches=switches
        )
        if passage.scope.get("session") != self._session:
            return "session"
        spoiled = self.spoiled()
        if spoiled is not None:
            return spoiled
        ranged = field_values(headers, b"content-range") and field_values(self._asked, b"range")
        if status == OK and ranged:
            return "partial"  # by the RFC that field means nothing here, but half a page is half a page
        return not_kept(
            reading,
            headers,
            asked=passage.asked,
            scheme=passage.scope.get("scheme", "http"),
            wishes=passage.wishes,
            credentials=passage.credentials,
            post=passage.method == "POST",
            switches=switches,
        )

    def spoiled(self) -> str | None:
        """Return why the response must not be stored, by what has happened since the request."""
        said = None if self._exchange is None else self._exchange.adjusted
        if said is not None and not said.stored:
            return "no-store"
        # A POST has content, and its response may stand for the URL all the same.
        return "content" if self._passage.asked.content and self._passage.method != "POST" else None

    # -- what is stored -----------------------------------------------------------------------------

    async def changed(self, status: int, headers: Headers) -> None:
        """Remove what an unsafe request has made worthless; claim the place for what may replace it."""
        passage, before = self._passage, self._before
        outdated = before is None or before.run.voided
        await self._middleware.invalidate(passage.asked, passage.scope, headers)
        if outdated or status != OK or not rules.represents_itself(passage.asked, passage.scope, headers):
            return
        self._claim = Claim(self._middleware, passage.wanted, passage.tags, Found(passage.wanted.url))
        await self._claim.take_free_lease()
        await self._claim.read_stamps()

    async def complete(self, headers: Headers, body: bytes) -> Kept | None:
        """Store a complete response that was not refused; None: it is a part that cannot be kept."""
        if self._reading is None:
            raise RuntimeError("refusal() comes first")
        response = whole(self._reading, headers, body, self._middleware.responses.store.clock())
        if response.status == PARTIAL_CONTENT:
            joined = self._joined(response)
            if joined is None:
                await self.give_up("partial")
                return None
            response = joined
        return await self._store(response, headers)

    def _joined(self, part: StoredResponse) -> StoredResponse | None:
        """Return what to store of a 206 together with what was stored; None: nothing."""
        if part.part is None:
            return None
        old = None if self._passage.usable is None else self._passage.usable[1]
        fits = old is not None and ranges.fits(old, part)
        if old is not None and old.part is None and (fits or same(old.headers, part.headers)):
            return None  # all of it is there already
        if not fits and field_values(self._passage.headers, b"if-range"):
            return None  # without the fields that the client is known to have (RFC 9110 section 15.3.7)
        return ranges.combined(old, part)

    async def confirmed(self, headers: Headers) -> Kept | None:
        """Store anew what a 304 has confirmed (RFC 9111 section 4.3.4); None: it speaks of something else."""
        usable = self._passage.usable
        if usable is None or not same(usable[1].headers, headers):
            return None
        return await self._freshen(usable[1], headers)

    async def described(self, status: int, headers: Headers) -> None:
        """Learn from the answer to a HEAD what has become of the stored response (RFC 9111 section 4.3.5)."""
        usable = self._passage.usable
        if usable is None or status != OK:
            await self.abandon(Answer.RETRY)
            return
        stored = usable[1]
        modified = field_values(headers, b"last-modified")
        unchanged = (
            same(stored.headers, headers)
            and content_length(headers) in (None, len(stored.body))
            and modified in ([], field_values(stored.headers, b"last-modified"))
            and stored.part is None
        )
        if unchanged and (modified or entity_tag(headers) is not None):
            await self._freshen(stored, headers)
            return
        await self.abandon(Answer.RETRY)
        if not unchanged:  # a length alone says neither that it is the same nor that it is another
            await self._remove()

    async def _freshen(self, stored: StoredResponse, headers: Headers) -> Kept:
        """Store what has been confirmed, unless the confirmation takes back that it may be stored."""
        responses, switches = self._middleware.responses, self._middleware.switches
        response = freshened(
            stored,
            headers,
            request_time=self._request_time,
            response_time=responses.store.clock(),
            switches=switches,
        )
        reason = self.refusal(response.status, response.headers)
        reading = self._reading
        if reason is None or reading is None:
            return await self._store(response, headers)
        await self.give_up(reason)
        # Either it is of no use to anyone from now on, or it must not be stored, not just for this request.
        if reason == "stale" or unstorable(
            response.status,
            response.headers,
            reading.said,
            credentials=(),
            targeted=reading.targeted,
            switches=switches,
        ):
            await self._remove()
        return Kept(
            responses.response_entry(response, kept_for(response, switches), (), 0.0), response, stored=False
        )

    async def _remove(self) -> None:
        if self._claim is not None:
            await self._middleware.responses.remove([self._claim.found.key])

    async def _store(self, response: StoredResponse, headers: Headers) -> Kept:
        """Store a response, and tell those who wait for it."""
        passage, responses, claim = self._passage, self._middleware.responses, self._claim
        seconds = stopwatch() - self._started
        lifetime = kept_for(response, self._middleware.switches)
        if claim is None or claim.ended:
            return Kept(responses.response_entry(response, lifetime, (), seconds), response, stored=False)
        said = None if self._exchange is None else self._exchange.adjusted
        known = await claim.add_tags((*response_tags(headers), *(() if said is None else said.tags)))
        entry = responses.response_entry(response, lifetime, claim.stamps or (), seconds)
        names = selecting(response.headers)
        responses.store.tally.computed += 1
        responses.store.emit(events.Computed(claim.found.key, seconds))
        if not known:
            passage.detail = "tags"
            await claim.end(Answer.RETRY)
            return Kept(entry, response, stored=False)
        stored = claim.stamps is not None and await responses.fill(
            claim.found,
            passage.wanted,
            entry,
            names=names,
            run=claim.run,
            lease=claim.lease,
            language=content_language(passage.headers, response.headers),
        )
        terms = response.terms
        if response.part is None and terms and not terms.always and response.initial_age < terms.lifetime:
            await claim.end(Shared(entry, response, names, passage.wanted))
        else:
            await claim.give_up()  # each of those who wait has to ask for itself
        return Kept(entry, response, stored)
