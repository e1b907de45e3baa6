"""The same small application in three frameworks, as plain ASGI and behind a gateway: with a shared cache.

Its pages say in their fields how long they may be kept. Each framework sends them with responses of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import litestar
import litestar.background_tasks
import litestar.response
from starlette import applications, routing
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

import asynccache_fastapi
import asynccache_litestar
import asynccache_starlette
from asynccache import CacheConfig, HTTPConfig, InMemoryBackend
from asynccache.http import SCOPE_KEY, CacheMiddleware
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Answer, Client, Ongoing

__all__ = ["INSTALLATIONS", "REFERENCE", "Run", "serve"]

KIND = "application/x-page"
"""Frameworks add nothing to it, as they do to text."""
SOME = {"cache-control": "max-age=10"}

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Page:
    """A response, whoever sends it."""

    body: str
    fields: dict[str, str]
    status: int = 200
    chunks: AsyncGenerator[bytes] | None = None
    afterwards: Callable[[], None] | None = None


class Shop:
    """What the application does, whatever it is written in."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.afterwards = 0
        self.broken = False
        self.gate = asyncio.Event()

    async def answer(self, scope: Any) -> Page:
        """Answer a request."""
        name = scope["path"].strip("/").replace("/", "_")
        sent = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        if scope["method"] == "POST":
            name = f"post_{name}"
        self.runs[name] += 1
        page: Page = await getattr(self, name)(sent, self.runs[name], scope)
        return page

    async def fresh(self, _: dict[str, str], run: int, __: Any) -> Page:
        """May be kept for ten seconds."""
        return Page(f"fresh {run}", SOME)

    async def silent(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Says nothing of caching; its route has a policy."""
        return Page(f"silent {run}", {})

    async def validated(self, sent: dict[str, str], run: int, __: Any) -> Page:
        """Knows whether a copy is still good."""
        fields = SOME | {"etag": '"v"'}
        return Page("", fields, 304) if sent.get("if-none-match") == '"v"' else Page(f"valid {run}", fields)

    async def language(self, sent: dict[str, str], _: int, __: Any) -> Page:
        """Is in one of several languages."""
        return Page(f"in {sent.get('accept-language')}", SOME | {"vary": "Accept-Language"})

    async def items_1(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Is what a POST changes."""
        return Page(f"item {run}", SOME)

    async def post_items(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Makes an item."""
        return Page(f"made {run}", {"location": "/items/1"})

    async def digits(self, _: dict[str, str], __: int, ___: Any) -> Page:
        """Can be had in parts."""
        return Page("0123456789", SOME | {"etag": '"d"'})

    async def lenient(self, _: dict[str, str], run: int, __: Any) -> Page:
        """May be stale while it is made anew."""
        return Page(f"lenient {run}", {"cache-control": "max-age=10, stale-while-revalidate=60"})

    async def fragile(self, _: dict[str, str], run: int, __: Any) -> Page:
        """May stand in for an error."""
        if self.broken:
            raise RuntimeError("broken")
        return Page(f"fragile {run}", {"cache-control": "max-age=10, stale-if-error=60"})

    async def login(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Begins a session."""
        return Page(f"session {run}", SOME | {"set-cookie": f"session={run}"})

    async def me(self, sent: dict[str, str], run: int, __: Any) -> Page:
        """Is somebody's own, though it does not say so."""
        return Page(f"{run} for {sent.get('authorization')} {sent.get('cookie')}", SOME)

    async def shared(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Says that it is for all."""
        return Page(f"shared {run}", {"cache-control": "public, max-age=10"})

    async def stream(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Sends its second part when the gate opens."""

        async def chunks() -> AsyncGenerator[bytes]:
            yield b"one "
            await self.gate.wait()
            yield b"two %d" % run

        return Page("", SOME, chunks=chunks())

    async def tagged(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Has two tags."""
        return Page(f"tagged {run}", SOME | {"cache-tag": "shop, shop:1"})

    async def post_sold(self, _: dict[str, str], run: int, scope: Any) -> Page:
        """Makes all that is tagged worthless."""
        await scope[SCOPE_KEY].cache.invalidate_tags("shop:1")
        return Page(f"sold {run}", {})

    async def post_renamed(self, _: dict[str, str], run: int, scope: Any) -> Page:
        """Makes a route's responses worthless."""
        await asynccache_starlette.invalidate_route(Request(scope), "language")
        return Page(f"renamed {run}", {})

    async def lasting(self, _: dict[str, str], run: int, __: Any) -> Page:
        """Does something when its response is sent."""

        def afterwards() -> None:
            self.afterwards += 1

        return Page(f"lasting {run}", SOME, afterwards=afterwards)


GETS = [
    *("/fresh", "/validated", "/language", "/items/1", "/digits", "/lenient", "/fragile", "/login", "/me"),
    *("/shared", "/stream", "/tagged", "/lasting"),
]
POSTS = ["/items", "/sold", "/renamed"]


# -- plain ASGI ---------------------------------------------------------------------------------------------


def plain(shop: Shop) -> App:
    """Return the application without any framework."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        page = await shop.answer(scope)
        fields = {"content-type": KIND} | page.fields
        body = page.body.encode()
        if page.chunks is None and page.status != 304:
            fields["content-length"] = str(len(body))
        headers = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        if page.chunks is not None:
            async for chunk in page.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})
        if page.afterwards is not None:
            page.afterwards()

    return app


def gateway(shop: Shop) -> App:
    """Return what passes requests on to an application elsewhere, and its responses back."""
    origin = applications.Starlette(routes=[*_starlette_routes(shop, routing.Route)])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await origin(scope, receive, send)
            return
        keys = ("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string")
        passed = {key: scope[key] for key in keys} | {"root_path": "", SCOPE_KEY: scope[SCOPE_KEY]}
        passed["headers"] = [field for field in scope["headers"] if field[0] != b"connection"]
        started = False

        async def back(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await origin(passed, receive, back)
        except RuntimeError:
            assert started  # of an origin, only the response is seen

    return app


# -- Starlette, FastAPI -------------------------------------------------------------------------------------


def _starlette_endpoint(shop: Shop) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        page = await shop.answer(request.scope)
        background = None if page.afterwards is None else BackgroundTask(page.afterwards)
        given: dict[str, Any] = {"headers": page.fields, "media_type": KIND, "background": background}
        if page.chunks is not None:
            return StreamingResponse(page.chunks, page.status, **given)
        return Response(page.body, page.status, **given)

    return endpoint


def _starlette_routes(shop: Shop, kind: Any) -> list[Any]:
    endpoint = _starlette_endpoint(shop)
    policy = {"cache": 60} if kind is asynccache_starlette.Route else {}
    return [
        *(kind(path, endpoint, methods=["GET"], name=path[1:]) for path in GETS),
        *(kind(path, endpoint, methods=["POST"]) for path in POSTS),
        kind("/silent", endpoint, methods=["GET"], **policy),
    ]


def _starlette(shop: Shop, **options: Any) -> App:
    return applications.Starlette(routes=_starlette_routes(shop, routing.Route), **options)


def _starlette_middleware(shop: Shop, config: CacheConfig) -> App:
    routes = _starlette_routes(shop, routing.Route)
    marked: Any = asynccache_starlette.cache_response(ttl=60)(_starlette_endpoint(shop))
    routes[-1] = routing.Route("/silent", marked)
    cache = Middleware(asynccache_starlette.CacheMiddleware, config=config)
    return applications.Starlette(routes=routes, middleware=[cache])


def _starlette_drop_in(shop: Shop, config: CacheConfig) -> App:
    routes = _starlette_routes(shop, asynccache_starlette.Route)
    return asynccache_starlette.Starlette(routes=routes, cache=config)


def _fastapi_filled(app: Any, shop: Shop, silent: Callable[..., Any], **policy: Any) -> App:
    endpoint = _starlette_endpoint(shop)
    for path in GETS:
        app.api_route(path, methods=["GET", "HEAD"], name=path[1:])(endpoint)
    for path in POSTS:
        app.post(path)(endpoint)
    app.get("/silent", **policy)(silent)
    filled: App = app
    return filled


def _fastapi_middleware(shop: Shop, config: CacheConfig) -> App:
    app = fastapi.FastAPI(middleware=[Middleware(asynccache_fastapi.CacheMiddleware, config=config)])
    return _fastapi_filled(app, shop, asynccache_fastapi.cache_response(ttl=60)(_starlette_endpoint(shop)))


def _fastapi_drop_in(shop: Shop, config: CacheConfig) -> App:
    app = asynccache_fastapi.FastAPI(cache=config)
    return _fastapi_filled(app, shop, _starlette_endpoint(shop), cache=60)


def _fastapi(shop: Shop) -> App:
    return _fastapi_filled(fastapi.FastAPI(), shop, _starlette_endpoint(shop))


# -- Litestar -----------------------------------------------------------------------------------------------


def _litestar_handlers(shop: Shop, **policy: Any) -> list[Any]:
    async def endpoint(request: litestar.Request[Any, Any, Any]) -> litestar.Response[bytes]:
        page = await shop.answer(request.scope)
        task = None if page.afterwards is None else litestar.background_tasks.BackgroundTask(page.afterwards)
        given: dict[str, Any] = {
            "headers": page.fields,
            "media_type": KIND,
            "status_code": page.status,
            "background": task,
        }
        if page.chunks is not None:
            return litestar.response.Stream(page.chunks, **given)  # type: ignore[return-value]
        return litestar.Response(page.body.encode(), **given)

    return [
        *(litestar.route(path, http_method=["GET", "HEAD"], status_code=200)(endpoint) for path in GETS),
        *(litestar.post(path)(endpoint) for path in POSTS),
        litestar.get("/silent", **policy)(endpoint),
    ]


def _litestar(shop: Shop) -> App:
    app: Any = litestar.Litestar(_litestar_handlers(shop), logging_config=None)
    return app  # type: ignore[no-any-return]


def _litestar_plugin(shop: Shop, config: CacheConfig) -> App:
    plugin = asynccache_litestar.CachePlugin(config)
    app: Any = litestar.Litestar(_litestar_handlers(shop, cache=60), plugins=[plugin], logging_config=None)
    return app  # type: ignore[no-any-return]


# -- served -------------------------------------------------------------------------------------------------


def _around(build: Callable[[Shop], App]) -> Callable[[Shop, CacheConfig], App]:
    return lambda shop, config: CacheMiddleware(build(shop), config)


REFERENCE = _around(plain)
INSTALLATIONS: dict[str, Callable[[Shop, CacheConfig], App]] = {
    "fastapi-drop-in": _fastapi_drop_in,
    "fastapi-middleware": _fastapi_middleware,
    "fastapi-around": _around(_fastapi),
    "starlette-drop-in": _starlette_drop_in,
    "starlette-middleware": _starlette_middleware,
    "starlette-around": _around(_starlette),
    "litestar-plugin": _litestar_plugin,
    "litestar-around": _around(_litestar),
    "gateway": _around(gateway),
}


@dataclass
class Run:
    """One application that is served, and what it has answered so far."""

    shop: Shop
    clock: FakeClock
    client: Client
    answers: list[Answer] = field(default_factory=list[Answer])

    async def ask(self, target: str, method: str = "GET", **fields: str) -> Answer:
        """Send a request; what an application raises behind its response is the server's to see."""
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return await self.end(self.client.start(target, named, method=method))

    async def end(self, ongoing: Ongoing) -> Answer:
        """Wait for the end of a request."""
        await asyncio.wait({ongoing.task})
        error = ongoing.task.exception()
        assert error is None or str(error) == "broken", error
        answer = Answer(ongoing.messages)
        if ongoing.scope["method"] == "HEAD":
            answer.body = b""  # a server sends none, whatever an application does
        self.answers.append(answer)
        return answer


@asynccontextmanager
async def serve(installation: Callable[[Shop, CacheConfig], App]) -> AsyncGenerator[Run]:
    """Run an application with a cache of its own."""
    clock, shop = FakeClock(), Shop()
    config = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock), http=HTTPConfig(mode="rfc9111"))
    async with Client(installation(shop, config)) as client:
        yield Run(shop, clock, client)
