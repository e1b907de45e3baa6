"""The gateway: what faces the clients, and what faces the origin; the cache goes in between."""

from __future__ import annotations

import logging
from typing import Any

import h11

from asynccache import CacheConfig
from asynccache.http import CacheMiddleware
from examples.asgi_gateway import fields
from examples.asgi_gateway.connection import OriginError
from examples.asgi_gateway.exchange import Exchange
from examples.asgi_gateway.interim import INFORMATIONAL
from examples.asgi_gateway.origin import Origin

__all__ = ["Edge", "Gateway", "create_app"]

logger = logging.getLogger("asgi_gateway")


def create_app(origin: Origin, config: CacheConfig, *, change_host: bool = False) -> Edge:
    """Return a cache in front of ``origin``, as an ASGI application."""
    return Edge(CacheMiddleware(Gateway(origin, change_host=change_host), config=config))


class Edge:
    """What faces the clients, outside of the cache.

    It refuses what cannot be passed on, and takes the fields away that end here: were that done further in,
    a client could have the cache see a field that the origin does not (``Connection: accept-language``) and
    so store a response for others under a field that had no say in it.

    It also turns the failures of the origin into responses; further in they are exceptions, since the cache
    may have something better than an error.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003, "reason": "WebSockets do not pass."})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        refused = fields.refusal(scope)
        if refused is not None:
            await _say(send, *refused, (b"connection", b"close"))
            return
        headers = fields.one_hop_less(scope["method"], fields.end_to_end(scope["headers"]))
        started = False

        async def passed(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                fit = fields.last_hop(message.get("headers", ()), message["status"])
                message = {**message, "headers": fit}
            await send(message)

        try:
            await self._app({**scope, "headers": headers}, receive, passed)
        except OriginError as error:
            logger.warning("%s %s: %s", scope["method"], scope["path"], error)
            if started:
                raise  # the server breaks the response off: nobody takes it for complete
            await _say(send, error.status_code, "The origin does not answer.")


class Gateway:
    """What faces the origin: it has the origin answer every request.

    Raises:
        OriginError: from a call, if the origin fails, before or amid its response.
    """

    def __init__(self, origin: Origin, *, change_host: bool = False) -> None:
        self._origin = origin
        self._change_host = change_host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass one request on, and its response back."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        try:
            request = self._request(scope)
        except h11.LocalProtocolError as error:
            await _say(send, 400, str(error))
            return
        informs = INFORMATIONAL in (scope.get("extensions") or ())
        await Exchange(self._origin, scope["method"], request, informs=informs).run(receive, send)

    def _request(self, scope: Any) -> h11.Request:
        headers: fields.Headers = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if self._change_host or not hosts:
            host = b"host", self._origin.authority
            headers = [host, *(line for line in headers if line[0] != b"host")]
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        return h11.Request(
            method=scope["method"],
            target=scope["raw_path"] + query,
            headers=[*headers, fields.via(scope["http_version"])],
        )

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._origin.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _say(send: Any, status: int, text: str, *more: tuple[bytes, bytes]) -> None:
    """Answer in the gateway's own words."""
    body = f"{text}\n".encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length), *more]
    await send({"type": "http.response.start", "status": status, "headers": fields.dated(headers)})
    await send({"type": "http.response.body", "body": body})
