"""`Outgoing`: the way of one response to its client, and what the cache says on it (``rfc9111`` mode)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asynccache.http import cache_status
from asynccache.http._claim import Claim
from asynccache.http._replies import Reply

if TYPE_CHECKING:
    from asynccache.http._passage import Passage

__all__ = ["Outgoing"]


class Outgoing:
    """Sends the messages of one response, each as soon as nothing is to be gained by waiting."""

    __slots__ = ("_claim", "_head", "_passage", "begun", "closed", "failed")

    def __init__(self, passage: Passage, claim: Claim | None) -> None:
        self._passage = passage
        self._claim = claim
        self._head: Any = None
        self.begun = False
        """The head of a response has left."""
        self.closed = False
        """The client has its whole answer; what else comes from the application is thrown away."""
        self.failed = False
        """Sending raised: the client is gone."""

    def member(self, *, stored: bool, status: int | None = None) -> bytes | None:
        """Return what the cache says in Cache-Status.

        Args:
            stored: The response was stored.
            status: What the application answered with, if that is not the response's own status.
        """
        passage = self._passage
        if not passage.middleware.http.cache_status or passage.forward is None:
            return None
        return cache_status.forward(passage.forward, status=status, stored=stored, detail=passage.detail)

    def hold(self, head: Any) -> None:
        """Take a head that can wait for the first part of its body: it says how long that is."""
        self._head = head

    @property
    def holding(self) -> bool:
        """The head has not been sent yet."""
        return self._head is not None

    async def flush(self, *, stored: bool = False) -> None:
        """Send the head that was held back, if any."""
        head, self._head = self._head, None
        if head is not None:
            await self.head(head, stored=stored)

    async def head(self, message: Any, *, stored: bool = False) -> None:
        """Send the application's head with what the cache has to say about it."""
        member = self.member(stored=stored)
        if member is not None:
            headers = list(message.get("headers", ()))
            cache_status.append(headers, member)
            message = {**message, "headers": headers}
        await self.send(message)

    async def reply(self, reply: Reply) -> None:
        """Send a complete response in place of the application's."""
        self._head = None
        self.closed = True
        for message in reply.messages():
            await self.send(message)

    async def send(self, message: Any) -> None:
        """Send one message."""
        self.begun = self.begun or message["type"] == "http.response.start"
        try:
            sending = self._passage.send(message)
            await (sending if self._claim is None else self._claim.passing(sending))
        except Exception:
            self.failed = True
            raise
