"""uvicorn with interim responses, for which ASGI itself has no message.

The message is the one that gunicorn's ASGI worker takes. The extension that stands in the ASGI specification,
``http.response.early_hint``, carries the links of a 103 and no more, which is too little for a proxy.
"""

from __future__ import annotations

from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["INFORMATIONAL", "InterimProtocol"]

INFORMATIONAL: Final = "http.response.informational"
"""The extension in a scope, and the type of its messages, which have ``status`` and ``headers``."""


class InterimProtocol(H11Protocol):
    """uvicorn's own protocol, which takes interim responses too: any number, until the response begins.

    Later ones are dropped. Clients that speak HTTP/1.0 know none (RFC 9110 section 15.2): their requests come
    without the extension.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._inner: Any = self.app
        self.app = self._extended

    async def _extended(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["http_version"] != "1.1":
            await self._inner(scope, receive, send)
            return
        begun = False

        async def sent(message: Any) -> None:
            nonlocal begun
            if message["type"] != INFORMATIONAL:
                begun = True
                await send(message)
            elif not begun:  # a late one must not end up in front of the response to the next request
                await self._inform(message["status"], message.get("headers", ()))

        extensions: dict[str, Any] = {**(scope.get("extensions") or {}), INFORMATIONAL: {}}
        await self._inner({**scope, "extensions": extensions}, receive, sent)

    async def _inform(self, status: int, headers: Any) -> None:
        if status == 101:
            raise ValueError("101 is the end of HTTP on a connection, and no interim response")
        response = h11.InformationalResponse(status_code=status, headers=list(headers))
        await self.flow.drain()
        if self.conn.our_state is h11.SEND_RESPONSE:  # the client is still there
            self.transport.write(self.conn.send(response))
