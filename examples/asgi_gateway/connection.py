"""A connection to the origin."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Final, cast

import h11

from examples.asgi_gateway.protocol import Protocol

__all__ = ["Connection", "OriginError", "OriginTimeoutError"]

_WINDOW: Final = 256 * 1024
"""Bytes that may wait to be passed on before the origin has to wait, too."""


class OriginError(Exception):
    """The origin cannot be reached, has gone, or does not speak HTTP."""

    status_code: ClassVar[int] = 502


class OriginTimeoutError(OriginError):
    """The origin does not answer."""

    status_code: ClassVar[int] = 504


class Connection(asyncio.Protocol):
    """One connection to the origin, for one request at a time.

    Args:
        patience: Seconds without a sign of life after which the origin counts as dead, at most twice as many
            after the client has sent its content.
    """

    def __init__(self, patience: float) -> None:
        self.reused = False
        self._patience = patience
        self._http = Protocol()
        self._transport: asyncio.Transport
        self._failure: OriginError | None = None
        """Why nothing more arrives."""
        self._unread = 0
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # -- what the event loop calls -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._http.receive(data)
        self._unread += len(data)
        if self._unread > _WINDOW:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> None:
        self._http.receive(b"")  # the end of some responses; without it, they have been cut off
        self._end(OriginError("the origin has closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(OriginError(str(exc or "the connection is closed")))

    def _end(self, failure: OriginError) -> None:
        self._failure = self._failure or failure
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- one request and its response ----------------------------------------------------------------

    def begin(self, request: h11.Request, *, content: bool) -> None:
        """Send the head of a request, which is all of it unless there is ``content``."""
        head = self._http.send(request)
        self._transport.write(head if content else head + self._http.send(h11.EndOfMessage()))

    async def write(self, part: bytes, *, more: bool) -> None:
        """Send a part of a request's content, as soon as the origin takes it.

        Raises:
            OriginError: it does not, or the parts are not as long as announced.
        """
        try:
            data = self._http.send(h11.Data(data=part)) if part else b""
            self._transport.write(data if more else data + self._http.send(h11.EndOfMessage()))
            async with asyncio.timeout(self._patience):
                await self._writable.wait()
        except h11.LocalProtocolError as error:
            self._end(OriginError(str(error)))
        except TimeoutError:
            self._end(OriginTimeoutError("the origin does not read"))
        if self._failure:
            raise self._failure

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """Return the next head: any number of interim responses, then that of the final one.

        Raises:
            OriginError: there is none.
        """
        event = await self._event()
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise OriginError("the origin has closed the connection")
        return event

    async def parts(self) -> AsyncGenerator[tuple[bytes, bool]]:
        """Give the content as it arrives; with each part, whether there is more.

        Raises:
            OriginError: the content ends before it is complete.
        """
        event = await self._event()
        while isinstance(event, h11.Data):
            # Who has all of the bytes may ask again at once: the last part must not wait to be called so.
            following = self._next()
            complete = isinstance(following, h11.EndOfMessage)
            yield bytes(event.data), not complete
            if complete:
                return
            event = await self._event() if following is h11.NEED_DATA else following
        yield b"", False

    async def _event(self) -> Any:
        while (event := self._next()) is h11.NEED_DATA:
            if self._failure:
                raise self._failure
            await self._more()
        return event

    def _next(self) -> Any:
        """Return the next event; h11.NEED_DATA if it has not arrived, or never will."""
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._failure = OriginError(str(error))
            return h11.NEED_DATA

    async def _more(self) -> None:
        """Wait until something arrives; how long a request's own content takes is up to the client."""
        self._unread = 0
        self._transport.resume_reading()
        self._arrived.clear()
        while not self._arrived.is_set():
            sending = self._http.sending
            try:
                async with asyncio.timeout(self._patience):
                    await self._arrived.wait()
            except TimeoutError as error:
                if not sending:
                    raise OriginTimeoutError("the origin does not answer") from error

    # -- and after it --------------------------------------------------------------------------------

    def renew(self) -> bool:
        """Get ready for the next request, and return True, if the last one has come to its end."""
        self.reused = self._http.renew()
        return self.reused and self.idle

    @property
    def idle(self) -> bool:
        """Whether the connection is open, and silent."""
        return not self._failure and self._http.idle

    def abort(self) -> None:
        """Close the connection at once; whoever waits for it is told."""
        self._end(OriginError("the connection is closed"))
        self._transport.abort()
