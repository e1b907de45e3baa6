"""One request and its response, between a client and the origin."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11

from examples.asgi_gateway import fields
from examples.asgi_gateway.connection import Connection, OriginError
from examples.asgi_gateway.interim import INFORMATIONAL
from examples.asgi_gateway.origin import Origin

__all__ = ["Exchange"]

_LAST_STATUS: Final = 599


class Exchange:
    """One request on its way to the origin, and the response on its way back, both at the same time.

    Args:
        origin: Who answers.
        method: That of the request.
        request: Its head.
        informs: Whether the client can be told of interim responses.
    """

    def __init__(self, origin: Origin, method: str, request: h11.Request, *, informs: bool) -> None:
        self._origin = origin
        self._request = request
        self._content = fields.has_content(list(request.headers))
        self._repeatable = fields.repeatable(method, list(request.headers))
        self._informs = informs
        self._connection: Connection
        self._client_gone = False

    async def run(self, receive: Any, send: Any) -> None:
        """Have the request answered.

        Raises:
            OriginError: the origin fails, before or amid its response.
        """
        # An idle connection may be closed by the origin at any moment. What must not be sent twice never
        # depends on one.
        self._connection = await self._origin.connect(fresh=not self._repeatable)
        self._connection.begin(self._request, content=self._content)
        upload = asyncio.create_task(self._upload(receive))
        try:
            await self._respond(upload, send)
        except OriginError:
            if not self._client_gone:
                raise
        finally:
            upload.cancel()
            self._origin.release(self._connection)
            await asyncio.wait({upload})

    async def _upload(self, receive: Any) -> None:
        """Pass the content of the request on, then see whether the client stays for the response."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._client_gone = True
                self._connection.abort()
                return
            if self._content:
                part, more = message.get("body", b""), message.get("more_body", False)
                try:
                    await self._connection.write(part, more=more)
                    self._content = more
                except OriginError:
                    self._content = False  # it may have answered all the same: its response is on the way

    async def _respond(self, upload: asyncio.Task[None], send: Any) -> None:
        head = await self._head()
        while isinstance(head, h11.InformationalResponse):
            await self._inform(head, send)
            head = await self._connection.head()
        if head.status_code > _LAST_STATUS:
            raise OriginError(f"there is no status {head.status_code}")
        received = fields.via(head.http_version.decode())
        headers = [*fields.sendable(head.headers.raw_items(), head.status_code), received]
        await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
        async for part, more in self._connection.parts():
            if not more:
                upload.cancel()  # from here on it does not matter whether the client stays
            await send({"type": "http.response.body", "body": part, "more_body": more})

    async def _inform(self, interim: h11.InformationalResponse, send: Any) -> None:
        """Pass an interim response on, but for 100: whoever serves the client tells it when to continue."""
        if self._informs and interim.status_code != 100:
            received = fields.via(interim.http_version.decode())
            headers = [*fields.unframed(interim.headers.raw_items()), received]
            await send({"type": INFORMATIONAL, "status": interim.status_code, "headers": headers})

    async def _head(self) -> h11.Response | h11.InformationalResponse:
        try:
            return await self._connection.head()
        except OriginError as error:
            if not self._connection.reused or self._client_gone or error.status_code == 504:
                raise
        self._connection.abort()
        self._connection = await self._origin.connect(fresh=True)
        self._connection.begin(self._request, content=False)
        return await self._connection.head()
