"""A small web of real servers: a client, uvicorn with gateway and cache, and an origin with a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from asynccache import CacheConfig, HTTPConfig, InMemoryBackend
from asynccache.http import CacheMiddleware
from asynccache.testing import FakeClock
from examples.asgi_gateway.__main__ import SERVER
from examples.asgi_gateway.gateway import create_app
from examples.asgi_gateway.origin import Origin
from tests.http_messages import Head, Reply, content_of, parsed, read_reply, request
from tests.wire import ScriptedOrigin, Wire, dialled, served

__all__ = ["Asked", "Line", "Page", "Play", "Web", "gone", "held", "says", "sends"]


class Asked(Head):
    """A request as the origin got it."""

    def __init__(self, head: Head, body: bytes, *, number: int, clock: FakeClock) -> None:
        super().__init__(head.first, head.fields)
        self.method, self.target, _ = head.first.split()
        self.body = body
        self.number = number
        """How many requests for its page there have been with it."""
        self.clock = clock


Play = Callable[[Wire, Asked], Awaitable[None]]
"""What the origin does about one request."""


def says(*fields: str, status: int = 200, body: bytes | None = None, chunked: bool = False) -> Play:
    """Answer with these fields and the time.

    The body is the number of the request unless it is given, so that each response tells where it is from.
    """

    async def play(wire: Wire, asked: Asked) -> None:
        content = b"%d" % asked.number if body is None else body
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *fields]
        if not any(field.lower().startswith("date:") for field in fields):
            lines.append(f"Date: {formatdate(asked.clock(), usegmt=True)}")
        bodiless = status in (204, 304)
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        elif not bodiless:
            lines.append(f"Content-Length: {len(content)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        await wire.send(head if bodiless or asked.method == "HEAD" else head + content)

    return play


def sends(data: bytes, *, close: bool = False) -> Play:
    """Answer with these bytes, whatever they mean, and maybe the end of the connection."""

    async def play(wire: Wire, asked: Asked) -> None:
        await wire.send(data)
        if close:
            wire.close()

    return play


def gone(*, after: bytes = b"") -> Play:
    """Break the connection off, maybe after a part of a response."""

    async def play(wire: Wire, asked: Asked) -> None:
        if after:
            await wire.send(after)
            wire.close()  # and no RST: that may overtake what has been sent
        else:
            wire.reset()

    return play


def held(gate: asyncio.Event, play: Play) -> Play:
    """Answer as soon as the gate is open."""

    async def waiting(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        await play(wire, asked)

    return waiting


class Page:
    """A path of the origin, for which one play after the other is performed; the last one again and again."""

    def __init__(self, web: Web, path: str) -> None:
        self._web = web
        self._plays: list[Play] = []
        self.path = path
        self.asked: list[Asked] = []
        """The requests that have reached the origin."""

    def then(self, *plays: Play) -> None:
        """Forget what has not been performed, and perform these."""
        self._plays = list(plays)

    def play(self) -> Play:
        """Return what to do about the next request."""
        return self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]

    async def get(self, *fields: str, method: str = "GET", query: str = "", **options: Any) -> Reply:
        """Ask for it on a connection of its own."""
        return await self._web.ask(self.path + query, *fields, method=method, **options)

    def request(self, *fields: str, **options: Any) -> bytes:
        """Return a request for it."""
        return request(self.path, *fields, **options)

    async def ask_together(self, count: int, *fields: str, **options: Any) -> list[asyncio.Task[Reply]]:
        """Send requests, each on its connection, and wait until all of them have reached the cache."""
        enough = self._web.entered + count
        asked = [asyncio.create_task(self.get(*fields, **options)) for _ in range(count)]
        await self._web.until_entered(enough)
        return asked

    async def until_asked(self, count: int) -> None:
        """Wait until so many requests have reached the origin."""
        while len(self.asked) < count:
            self._web.asked.clear()
            await self._web.asked.wait()


class Line:
    """A client's connection, on which it may say anything."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        await self.wire.send(data)

    async def drip(self, data: bytes) -> None:
        """Send bytes one by one; the server gets to see each of them alone."""
        for at in range(len(data)):
            await self.wire.send(data[at : at + 1])
            await asyncio.sleep(0)

    async def reply(self, method: str = "GET") -> Reply:
        """Read the response to a request with this method."""
        return await read_reply(self.wire, method)


class Web:
    """Everything between a client and the pages of an origin.

    Args:
        http: uvicorn's parser.
    """

    def __init__(self, http: str) -> None:
        self.http: Final = http
        self.clock: FakeClock = FakeClock()
        """The cache's, and the origin's."""
        self.asked = asyncio.Event()
        """Something has reached the origin."""
        self.port: int = 0
        self.failures: list[BaseException] = []
        """What has gone wrong in a script."""
        self.entered: int = 0
        """How many requests have reached the cache."""
        self._entering = asyncio.Event()
        self.origin = ScriptedOrigin(self._converse)
        self._pages: dict[str, Page] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Web]:
        """Serve the origin, and what stands in front of it."""
        async with self.origin, self.cached() as port:
            self.port = port
            yield self

    @asynccontextmanager
    async def cached(self, inside: Any = None, **options: Any) -> AsyncGenerator[int]:
        """Serve a gateway with another cache in front of the origin, and give its port.

        Args:
            inside: An application to have behind the cache, instead of the gateway.
            options: Settings of `HTTPConfig`, and ``backend``.
        """
        backend = options.pop("backend", None) or InMemoryBackend(clock=self.clock)
        config = CacheConfig(backend=backend, http=HTTPConfig(mode="rfc9111", **options), clock=self.clock)
        origin = Origin(f"http://127.0.0.1:{self.origin.port}")
        app = create_app(origin, config) if inside is None else CacheMiddleware(inside, config)

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            self.entered += scope["type"] == "http"
            self._entering.set()
            await app(scope, receive, send)

        async with served(counted, http=self.http, **SERVER) as port:
            yield port

    async def until_entered(self, count: int) -> None:
        """Wait until so many requests have reached the cache."""
        while self.entered < count:
            self._entering.clear()
            await self._entering.wait()

    def page(self, *plays: Play) -> Page:
        """Return a new page."""
        path = f"/pages/{len(self._pages)}"
        page = self._pages[path] = Page(self, path)
        page.then(*plays)
        return page

    def date(self, seconds: float = 0) -> str:
        """Return a date so many seconds from now."""
        return formatdate(self.clock() + seconds, usegmt=True)

    @asynccontextmanager
    async def line(self, port: int | None = None) -> AsyncGenerator[Line]:
        """Give a client's connection."""
        async with dialled(self.port if port is None else port) as wire:
            yield Line(wire)

    async def ask(self, target: str, *fields: str, port: int | None = None, **options: Any) -> Reply:
        """Send one request on a connection of its own, and read its response."""
        async with self.line(port) as line:
            await line.send(request(target, *fields, **options))
            return await line.reply(options.get("method", "GET"))

    async def _converse(self, wire: Wire) -> None:
        while raw := await wire.head():
            head = parsed(raw)
            body, _ = await content_of(head, wire, to_the_end=False)
            page = self._pages[head.first.split()[1].partition("?")[0]]
            asked = Asked(head, body, number=len(page.asked) + 1, clock=self.clock)
            page.asked.append(asked)
            play = page.play()
            self.asked.set()
            try:
                await play(wire, asked)
            except ConnectionError:
                return
            except Exception as error:
                self.failures.append(error)
                raise
