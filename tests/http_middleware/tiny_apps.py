"""The smallest applications, and a middleware around them on a clock that is turned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asynccache import Cache, CacheConfig, CachePolicy, HTTPConfig, InMemoryBackend
from asynccache.http import CacheMiddleware, MarkedApp
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Client

__all__ = ["Handler", "Site", "by_path", "respond"]

App = Callable[[Any, Any, Any], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]


async def respond(send: Any, body: bytes, status: int = 200, headers: Fields | None = None) -> None:
    """Send a response in two messages, with its length."""
    fields = [(b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Handler:
    """An application that counts its runs, and waits for its gate before it answers."""

    def __init__(self, *, body: str = "run {run}", status: int = 200, headers: Fields | None = None) -> None:
        self.body = body
        self.status = status
        self.headers: Fields = headers or []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.scopes: list[Any] = []
        self.cancelled = 0

    @property
    def runs(self) -> int:
        """How often it ran."""
        return len(self.scopes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as told at the moment the request arrived."""
        self.scopes.append(scope)
        body = self.body.format(run=self.runs).encode()
        status, headers, error = self.status, self.headers, self.error
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if error is not None:
            raise error
        await respond(send, body, status, headers)


def by_path(apps: Mapping[str, App]) -> App:
    """Return an application that is several, by path, or by method and path."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = apps.get(f"{scope['method']} {scope['path']}") or apps[scope["path"]]
        await chosen(scope, receive, send)

    return app


class Site:
    """One marked application behind the middleware; or any application, with ``policy=None``."""

    def __init__(
        self,
        app: App,
        policy: CachePolicy | None = None,
        *,
        http: HTTPConfig | None = None,
        **settings: Any,
    ) -> None:
        self.clock = FakeClock()
        settings.setdefault("backend", InMemoryBackend(clock=self.clock))
        self.cache = Cache(CacheConfig(clock=self.clock, http=http or HTTPConfig(), **settings))
        self.middleware = CacheMiddleware(app if policy is None else MarkedApp(app, policy), cache=self.cache)
        self.client = Client(self.middleware)
        self.get = self.client.get
        self.start = self.client.start

    async def idle(self) -> None:
        """Wait until nothing is refreshed in the background any more."""
        while tasks := list(self.middleware._refreshing.values()):
            await asyncio.wait(tasks)

    @property
    def at_rest(self) -> bool:
        """No flight and no run is left over."""
        return not len(self.middleware.flights) and not len(self.cache.entries.runs)
