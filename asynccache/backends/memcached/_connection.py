"""A connection that many callers share, and that no caller can harm.

Requests are written at once, one behind the other, and the answers come in the same order: each is read for
whom it belongs to, also when nobody waits for it any more. So a caller that is cancelled leaves nothing
behind, there is no pool to wait for, and what one caller writes arrives before what it writes next. A
connection that fell silent, closed, or sent nonsense fails all who wait, and is never used again.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future, Protocol, TimerHandle, Transport
from collections import deque
from secrets import token_hex
from typing import Any, Final, cast

from asynccache.backends.memcached._replies import GarbledError, Lines, Reply, Stats, Values
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError

__all__ = ["Connection", "LostError"]

_WRITE_AHEAD: Final = 2**20
"""Bytes written ahead of the network, beyond which callers wait before they write."""


class LostError(Exception):
    """The connection ended before the answer came; nobody knows whether the request arrived.

    Args:
        reason: What happened.
        kind: What the caller of the backend is to be told.
    """

    def __init__(self, reason: str, kind: type[BackendError] = BackendUnavailableError) -> None:
        super().__init__(reason)
        self.kind = kind
        self.harmless = False
        """Whether the request could have changed nothing."""


class Connection(Protocol):
    """One connection to one server.

    Args:
        loop: The loop it belongs to.
        timeout: Seconds of silence, while an answer is due, after which the server counts as hung. It is
            noticed once to twice that time after the silence began.
    """

    def __init__(self, loop: AbstractEventLoop, timeout: float) -> None:
        self.name = token_hex(8)
        """Unlike that of any other connection of any process."""
        self.closed: Future[None] = loop.create_future()
        """Done when the transport is gone."""
        self.lost: LostError | None = None
        """Why it cannot be used any more."""
        self.paused = False
        """Whether more has been written than the network takes: see `writable`."""
        self.unanswered = False
        """Whether it was lost while the server may still have had something to change."""
        self.seen_as = ""
        """The address of our end, as the server's ``stats conns`` calls it where nothing stands between."""
        self.loop = loop
        self._timeout = timeout
        self._transport: Transport | None = None
        self._due: deque[Reply] = deque()
        self._rest = bytearray()
        self._heard = False
        self._timer: TimerHandle | None = None
        self._waiting: list[Future[None]] = []

    # -- asking -----------------------------------------------------------------------------------------

    def ask(self, request: bytes, *replies: Reply) -> None:
        """Write ``request`` now; ``replies`` get its answers, in their order.

        Raises:
            LostError: the connection is of no use any more. Nothing was sent.
        """
        if self.lost is not None or self._transport is None:
            raise LostError(str(self.lost or "not connected"), BackendUnavailableError)
        if not self._due:
            self._heard = True  # silence begins now
            if self._timer is None:
                self._timer = self.loop.call_later(self._timeout, self._check)
        self._due.extend(replies)
        self._transport.write(request)

    async def values(self, request: bytes, *names: bytes) -> Values:
        """Ask for items by ``names``."""
        reply = Values(self.loop.create_future(), names)
        self.ask(request, reply)
        await reply.future
        return reply

    async def line(self, request: bytes, *, changes: bool = True) -> bytes:
        """Ask for something that is answered in a line."""
        reply = Lines(self.loop.create_future(), changes=changes)
        self.ask(request, reply)
        await reply.future
        return reply.lines[0]

    async def stats(self, what: str = "") -> dict[str, str]:
        """Ask the server about itself."""
        reply = Stats(self.loop.create_future())
        self.ask(f"stats {what}".rstrip().encode() + b"\r\n", reply)
        await reply.future
        return reply.stats

    async def writable(self) -> None:
        """Wait until there is room to write; a connection that is lost has room."""
        while self.paused:
            turn: Future[None] = self.loop.create_future()
            self._waiting.append(turn)
            await turn

    async def gone(self) -> None:
        """Wait until nothing of it is left."""
        if self._transport is not None:
            await self.closed

    def abort(self, reason: LostError) -> None:
        """End it, and fail all who wait."""
        if self.lost is None:
            self.lost = reason
        self.unanswered |= any(reply.changes for reply in self._due)
        self._rest.clear()
        while self._due:
            future = self._due.popleft().future
            if not future.done():
                error = LostError(str(reason), reason.kind)
                error.__cause__ = reason.__cause__
                future.set_exception(error)
                future.exception()  # of two answers that belong together only the last is awaited
        self._resume()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("Transport", transport)
        self._transport.set_write_buffer_limits(_WRITE_AHEAD)
        self.seen_as = _seen_as(transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        """Hand out what arrived."""
        self._heard = True
        rest, due = self._rest, self._due
        if rest:
            rest += data
            if due and len(rest) < due[0].need:
                return
            data = bytes(rest)
            rest.clear()
        place, length = 0, len(data)
        try:
            while place < length:
                place, complete = (due[0] if due else _NOBODY).read(data, place)
                if not complete:
                    break
                due.popleft().settle()
        except GarbledError as garbled:
            lost = LostError(f"the connection was given up: {garbled}")
            lost.__cause__ = garbled
            self.abort(lost)
            return
        if place < length:
            rest += data[place:] if place else data

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the server closed, or we did."""
        lost = LostError(
            "the server closed the connection" if exc is None else f"the connection broke: {exc}"
        )
        lost.__cause__ = exc
        self.abort(self.lost or lost)
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Let callers wait: the network does not keep up."""
        self.paused = True

    def resume_writing(self) -> None:
        """Let them go on."""
        self._resume()

    def _resume(self) -> None:
        self.paused = False
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    def _check(self) -> None:
        self._timer = None
        if not self._due:
            return
        if self._heard:
            self._heard = False
            self._timer = self.loop.call_later(self._timeout, self._check)
            return
        self.abort(LostError(f"no answer for {self._timeout:g} seconds", BackendTimeoutError))


class _Nobody(Reply):
    """Who gets what nobody asked for."""

    __slots__ = ()

    def __init__(self) -> None:
        """There is nobody to wait."""

    def read(self, data: bytes, start: int) -> tuple[int, bool]:
        """Refuse it."""
        raise GarbledError("an answer that nobody asked for")


_NOBODY: Final = _Nobody()


def _seen_as(address: Any) -> str:
    match address:
        case (str(host), int(port)):
            return f"tcp:{host}:{port}"
        case (str(host), int(port), *_):
            return f"tcp6:[{host}]:{port}"
        case _:
            return ""
