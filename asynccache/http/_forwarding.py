"""`Forwarding`: one run of the application, and the way of its response to the client (``rfc9111`` mode)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from asynccache._engine.entry import Entry
from asynccache.defaults import current
from asynccache.http._claim import Claim
from asynccache.http._coalescing import Answer
from asynccache.http._exchange import SCOPE_KEY, Exchange
from asynccache.http._keeper import Keeper, Kept
from asynccache.http._outgoing import Outgoing
from asynccache.http._reads import varied
from asynccache.http._recorder import UNRECORDABLE, Recording, listed
from asynccache.http._rfc9111.fields import Headers, field_values
from asynccache.http._rfc9111.invalidation import invalidates
from asynccache.http._rfc9111.stored import StoredResponse
from asynccache.policy import CachePolicy

if TYPE_CHECKING:
    from asynccache.http._passage import Passage

__all__ = ["Forwarding"]

logger = logging.getLogger("asynccache")

PARTIAL_CONTENT: Final = 206
NOT_MODIFIED: Final = 304
RANGE_NOT_SATISFIABLE: Final = 416
_FAILURES: Final = frozenset({500, 502, 503, 504})
"""What RFC 5861 section 4 calls an error."""
_IN_FORCE: Final = CachePolicy()
"""What decorators of routes find: a decision has been made, and not by them."""


class Forwarding:
    """One run of the application.

    Args:
        passage: The request.
        claim: The right to store the response; None: it is passed on and no more.
        before: Of a POST, what tells whether its URL was invalidated while it ran.
    """

    def __init__(self, passage: Passage, claim: Claim | None, before: Claim | None = None) -> None:
        self._passage = passage
        self._middleware = passage.middleware
        self._keeper = Keeper(passage, claim, before)
        self._recording = Recording(passage.middleware.http.max_body_bytes)
        self._client = Outgoing(passage, claim)
        self._asked_ourselves = False
        self._scope: Any = passage.scope
        self.unanswered: bool = False
        """The application's answer was to a question of ours, and is of no use to the client."""

    async def run(self, headers: Headers) -> None:
        """Run the application with the request fields ``headers``."""
        passage = self._passage
        self._asked_ourselves = passage.asking
        self._scope = scope = {**passage.scope, "headers": headers}
        exchange = Exchange(self._middleware, scope, passage.send)
        exchange.policy = _IN_FORCE
        scope[SCOPE_KEY] = exchange
        token = current.set(exchange)
        self._keeper.begin(headers, exchange)
        try:
            await self._middleware.app(scope, passage.receive, self._send)
        except Exception as error:
            if not await self._rescued(error):
                raise
        else:
            if self._completing and not self._client.closed:
                self._no_answer()  # it ended before its end
        finally:
            await self._keeper.abandon(Answer.LEAD)
            current.reset(token)
            exchange.scope = exchange.pristine  # the other refers to the exchange: a cycle

    async def _rescued(self, error: Exception) -> bool:
        """Serve something stale in place of an exception, if that is possible and permitted."""
        if self._client.failed:
            return False
        fallback = None if self._client.begun else self._passage.fallback()
        await self._keeper.give_up("error")
        if fallback is None:
            return False
        logger.warning("serving a stale response instead of an error", exc_info=error)
        await self._stand_in(*fallback, status=None)
        return True

    # -- the response -------------------------------------------------------------------------------

    async def _send(self, message: Any) -> None:
        kind = message["type"]
        if self._client.closed:
            return
        if kind == "http.response.start":
            await self._start(listed(message))
        elif not self._keeper.open or self._passage.method == "HEAD":
            await self._client.send(message)
        elif kind == "http.response.body":
            await self._body(message)
        else:
            if kind in UNRECORDABLE:
                await self._keeper.give_up(kind.removeprefix("http.response."))
            await self._client.flush()
            await self._client.send(message)

    async def _start(self, message: Any) -> None:
        passage, keeper, status = self._passage, self._keeper, message["status"]
        headers: Headers = message.get("headers", ())
        if invalidates(passage.method, status):
            await keeper.changed(status, headers)
        if status in _FAILURES and (fallback := passage.fallback()) is not None:
            await keeper.give_up("status")
            await self._stand_in(*fallback, status=status)
        elif not keeper.open:
            await self._client.head(message)
        elif passage.method == "HEAD":
            await keeper.described(status, headers)
            await self._client.head(message)
        elif self._asked_ourselves and status in (NOT_MODIFIED, RANGE_NOT_SATISFIABLE):
            await self._validated(status, headers)
        else:
            await self._record(message)

    async def _record(self, message: Any) -> None:
        """Take the head of a response that may be stored."""
        # What a framework knows its endpoint to read keeps requests apart, also if the response forgets it.
        message = varied(message, self._middleware.reads(self._scope).names(_IN_FORCE))
        recording = self._recording
        reason = recording.begin(message) or self._keeper.refusal(recording.status, recording.headers)
        if reason is None:
            self._client.hold(message)
            if not (recording.framed or self._completing):
                await self._client.flush()  # of a stream: somebody may be waiting for just the head
            return
        await self._keeper.give_up(reason)
        if self._completing:
            self._no_answer()
        else:
            await self._client.head(message)

    async def _body(self, message: Any) -> None:
        reason = self._recording.take(message) or self._keeper.spoiled()
        if reason is not None:
            await self._keeper.give_up(reason)
        elif self._recording.complete:
            await self._complete(message)
            return
        if not self._completing:
            await self._client.flush()
            await self._client.send(message)
        elif reason is not None:
            self._no_answer()

    async def _complete(self, message: Any) -> None:
        """Store the response, so that the next request finds it before the last byte of this one has left."""
        recording = self._recording
        kept = await self._keeper.complete(recording.headers, recording.body())
        if self._completing:
            await self._from_stored(kept, status=PARTIAL_CONTENT)
            return
        if (
            kept is not None
            and self._client.holding
            and self._passage.asked.conditional
            and self._asked_ourselves
        ):
            member = self._client.member(stored=kept.stored, status=recording.status)
            reply = self._passage.replay(kept.entry, kept.response, member)
            if reply is not None and reply.status == NOT_MODIFIED:
                await self._client.reply(reply)
                return
        await self._client.flush(stored=kept is not None and kept.stored)
        await self._client.send(message)

    @property
    def _completing(self) -> bool:
        """What comes is the rest of a stored part: it goes out together with that."""
        return self._asked_ourselves and self._recording.status == PARTIAL_CONTENT

    async def _validated(self, status: int, headers: Headers) -> None:
        """Take the answer to our own question: what is stored still holds, or it does not fit."""
        kept = await self._keeper.confirmed(headers) if status == NOT_MODIFIED else None
        # A cookie is for this client alone, and not part of what is stored.
        cookies = [(b"set-cookie", value) for value in field_values(headers, b"set-cookie")]
        await self._from_stored(kept, status=status, more=cookies)

    # -- answers from the store ---------------------------------------------------------------------

    async def _from_stored(self, kept: Kept | None, *, status: int, more: Headers = ()) -> None:
        """Answer with what is stored now that the application has confirmed or completed it."""
        reply = None
        if kept is not None:
            member = self._client.member(stored=kept.stored, status=status)
            reply = self._passage.replay(kept.entry, kept.response, member)
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

    def _no_answer(self) -> None:
        """What came is no answer to the client: it has to be asked for once more."""
        self._client.closed = self.unanswered = True
