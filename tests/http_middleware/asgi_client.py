"""A client that speaks ASGI itself: it sends any head, however hostile, and keeps every message it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote_to_bytes

__all__ = ["Answer", "Client", "Headers", "Ongoing", "ticks", "until"]

Headers = Sequence[tuple[str, str]]
App = Callable[[Any, Any, Any], Awaitable[None]]


async def ticks(count: int = 20) -> None:
    """Let everything that is ready run ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], pause: float = 0.0) -> None:
    """Wait until ``condition`` holds; a test that waits in vain ends by its timeout."""
    while not condition():  # noqa: ASYNC110 - conditions of any kind, also set by other threads
        await asyncio.sleep(pause)


class Answer:
    """One response, as messages and put together."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        starts = [message for message in messages if message["type"] == "http.response.start"]
        assert len(starts) == 1, f"{len(starts)} heads in {messages}"
        self.status: int = starts[0]["status"]
        self.raw: list[tuple[bytes, bytes]] = list(starts[0].get("headers", ()))
        parts = [message.get("body", b"") for message in messages if message["type"] == "http.response.body"]
        self.body: bytes = b"".join(parts)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def all(self, name: str) -> list[str]:
        """Return the value of every line of a field."""
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == name.encode()]

    def header(self, name: str) -> str | None:
        """Return the value of a field that is there at most once."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def cache_status(self) -> str:
        """What the cache said about itself; "" for nothing."""
        return self.header("cache-status") or ""

    @property
    def hit(self) -> bool:
        """It came from the cache."""
        return "; hit" in self.cache_status

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields that a hit and its miss have in common, sorted."""
        return sorted((k.lower(), v) for k, v in self.raw if k.lower() not in {b"age", b"cache-status"})

    def __repr__(self) -> str:
        return f"<{self.status} {self.cache_status!r} {self.body[:60]!r}>"


class Ongoing:
    """A request under way."""

    def __init__(
        self,
        app: App,
        scope: dict[str, Any],
        body: bytes,
        *,
        watch: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.scope = scope
        self._watch = watch
        self._arrived = asyncio.Event()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body: bytes | None = body
        self.task = asyncio.ensure_future(self._run(app))

    async def _run(self, app: App) -> None:
        await app(self.scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        # As a server may: the message is the server's from here on.
        kept = dict(message)
        if "headers" in kept:
            kept["headers"] = [(bytes(name), bytes(value)) for name, value in kept["headers"]]
        if self._watch is not None:
            await self._watch(kept)
        self.messages.append(kept)
        self._arrived.set()
        if kept["type"] == "http.response.body" and not kept.get("more_body", False):
            self.disconnect()  # as servers say it: streams of some frameworks end by it

    def disconnect(self) -> None:
        """Tell the application that the client is gone."""
        if not self._gone.done():
            self._gone.set_result(None)

    async def until(self, count: int) -> list[dict[str, Any]]:
        """Wait until ``count`` messages are there and return them."""
        while len(self.messages) < count and not self.task.done():
            self._arrived.clear()
            waiting = asyncio.ensure_future(self._arrived.wait())
            both: set[asyncio.Future[Any]] = {waiting, self.task}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if len(self.messages) < count:
            await self.task
        assert len(self.messages) >= count, f"ended after {self.messages}"
        return self.messages

    async def answer(self) -> Answer:
        """Wait for the end; raises what the application raised."""
        await self.task
        return Answer(self.messages)

    async def answer_despite_error(self) -> Answer:
        """Wait for the end and return what was sent, whatever the application raised."""
        await asyncio.wait({self.task})
        assert self.task.exception() is not None, "nothing was raised"
        return Answer(self.messages)


class Client:
    """Requests to one application; as a context manager it also runs the application's lifespan."""

    def __init__(self, app: App, *, host: str = "shop.test", scheme: str = "http") -> None:
        self.app = app
        self.host = host
        self.scheme = scheme
        self.state: dict[str, Any] = {}
        self.lifespan_messages: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lifespan: asyncio.Future[None] | None = None

    def scope(
        self,
        method: str,
        target: str | bytes,
        headers: Iterable[tuple[str, str]] = (),
        *,
        hosts: Sequence[str] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return the scope of a request; ``target`` is raw, as on the wire."""
        raw, _, query = (target if isinstance(target, bytes) else target.encode("latin-1")).partition(b"?")
        names = [self.host] if hosts is None else hosts
        fields = [("host", name) for name in names] + list(headers)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
            "client": ("203.0.113.1", 50_000),
            "server": ("192.0.2.1", 80),
            "state": dict(self.state),
            **more,
        }

    def start(
        self,
        target: str | bytes,
        headers: Iterable[tuple[str, str]] = (),
        *,
        method: str = "GET",
        body: bytes = b"",
        watch: Callable[[Any], Awaitable[None]] | None = None,
        **more: Any,
    ) -> Ongoing:
        """Send a request and return at once."""
        return Ongoing(self.app, self.scope(method, target, headers, **more), body, watch=watch)

    async def get(self, target: str | bytes, headers: Iterable[tuple[str, str]] = (), **more: Any) -> Answer:
        """Send a GET and return its answer."""
        return await self.start(target, headers, **more).answer()

    async def request(
        self, method: str, target: str | bytes, headers: Iterable[tuple[str, str]] = (), **more: Any
    ) -> Answer:
        """Send a request and return its answer."""
        return await self.start(target, headers, method=method, **more).answer()

    async def gather(self, count: int, target: str, headers: Headers = ()) -> list[Answer]:
        """Send ``count`` GETs at once and return their answers."""
        return await asyncio.gather(*(self.get(target, headers) for _ in range(count)))

    async def websocket(self, target: str) -> list[dict[str, Any]]:
        """Open a websocket, send one text, and return every message of the application."""
        more: dict[str, Any] = {"type": "websocket", "scheme": "ws", "subprotocols": []}
        scope = self.scope("GET", target) | more
        del scope["method"]
        incoming: list[dict[str, Any]] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.disconnect", "code": 1000},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent

    # -- lifespan ---------------------------------------------------------------------------------------

    async def startup(self) -> dict[str, Any]:
        """Start the application and return its answer; raises what it raises before one."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._lifespan = asyncio.ensure_future(self.app(scope, self._incoming.get, self._told))
        return await self._say("lifespan.startup")

    async def shutdown(self) -> dict[str, Any]:
        """Stop the application and return its answer."""
        answer = await self._say("lifespan.shutdown")
        assert self._lifespan is not None
        await self._lifespan
        return answer

    async def lifespan_error(self) -> BaseException | None:
        """Wait for the end of the application's lifespan and return what it raised."""
        assert self._lifespan is not None
        await asyncio.wait({self._lifespan})
        return self._lifespan.exception()

    async def _told(self, message: dict[str, Any]) -> None:
        self.lifespan_messages.append(message)
        self._outgoing.put_nowait(message)

    async def _say(self, kind: str) -> dict[str, Any]:
        assert self._lifespan is not None
        self._incoming.put_nowait({"type": kind})
        reply: asyncio.Future[dict[str, Any]] = asyncio.ensure_future(self._outgoing.get())
        both: set[asyncio.Future[Any]] = {reply, self._lifespan}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        reply.cancel()
        await self._lifespan
        raise AssertionError(f"the application ended without an answer to {kind}")

    async def __aenter__(self) -> Self:
        answer = await self.startup()
        assert answer["type"] == "lifespan.startup.complete", answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        answer = await self.shutdown()
        assert answer["type"] == "lifespan.shutdown.complete", answer
