"""What stands beside cached handlers in a Litestar application: files, mounts, streams, sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from litestar import Controller, Request, WebSocket, asgi, get, route, static_files, websocket
from litestar.config.response_cache import ResponseCacheConfig
from litestar.response import ServerSentEvent
from starlette.applications import Starlette as PlainStarlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route as PlainRoute

import asynccache_starlette
from tests.frameworks.litestar_apps import application
from tests.http_middleware.asgi_client import Client

AnyRequest = Request[Any, Any, Any]


async def test_files_of_a_static_router_pass_through_untouched(tmp_path: Path) -> None:
    """They are neither stored nor spoken of."""
    (tmp_path / "file.txt").write_text("one")
    static: Any = getattr(static_files, "create_static_files_router")  # noqa: B009 - its type is not complete

    @get("/", cache=60)
    async def handler() -> str:
        return "x"

    app = application(handler, static("/static", directories=[tmp_path]))
    async with Client(app) as client:
        first = await client.get("/static/file.txt")
        (tmp_path / "file.txt").write_text("two")
        second = await client.get("/static/file.txt")
    assert [(answer.text, answer.cache_status) for answer in (first, second)] == [("one", ""), ("two", "")]


async def test_mounted_applications_pass_through_and_may_use_the_cache() -> None:
    """A mounted application that marks its routes is cached once, by full path, by the outer cache."""

    def inner(name: str) -> Any:
        async def page(_: Any) -> PlainTextResponse:
            return PlainTextResponse(name)

        async def plain(_: Any) -> PlainTextResponse:
            return PlainTextResponse("plain")

        routes = [
            asynccache_starlette.Route("/page/", page, cache=60),
            PlainRoute("/plain/", plain),
        ]  # as Litestar asks
        return asgi(f"/{name}", is_mount=True, copy_scope=True)(_callable(PlainStarlette(routes=routes)))

    async with Client(application(inner("a"), inner("b"))) as client:
        for hit in (False, True):
            for name in ("a", "b"):
                answer = await client.get(f"/{name}/page")
                assert (answer.text, answer.hit) == (name, hit)
        assert (await client.get("/a/plain")).cache_status == ""
        unknown = [await client.get(f"/{name}/page", raw_path=None) for name in ("a", "b")]
        assert [(answer.text, answer.cache_status) for answer in unknown] == [("a", ""), ("b", "")]


def _callable(app: Any) -> Any:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return mounted


async def test_server_sent_events_and_websockets_are_left_alone() -> None:
    """Both work as without a cache."""

    async def events() -> AsyncGenerator[str]:
        yield "one"

    @get("/events", cache=60)
    async def stream() -> ServerSentEvent:
        return ServerSentEvent(events())

    @websocket("/socket", opt={"cache": False})
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    def keep(scope: Any, status: int) -> bool:
        return True

    config = ResponseCacheConfig(cache_response_filter=keep)
    async with Client(application(stream, socket, response_cache_config=config)) as client:
        answers = [await client.get("/events") for _ in range(2)]
        messages = await client.websocket("/socket")
    assert [b"one" in answer.body and not answer.hit for answer in answers] == [True, True]
    assert [message["type"] for message in messages] == ["websocket.accept", "websocket.close"]


async def test_controllers_several_paths_and_later_registered_methods() -> None:
    """A handler that Litestar shows more than once is cached once, with the policy it first had."""
    runs: list[str] = []

    class Pages(Controller):
        """Two paths, one handler."""

        path = "/pages"
        opt = {"cache": 60}  # noqa: RUF012 - Litestar's way

        @get(["/a", "/b"])
        async def page(self, request: AnyRequest) -> str:
            """Answer with the path."""
            runs.append(request.url.path)
            return request.url.path

    @route("/late", http_method=["GET"], cache=60)
    async def late() -> str:
        runs.append("late")
        return "late"

    @route("/late", http_method=["PUT"])
    async def put() -> str:
        return "put"

    app = application(Pages, late)
    app.register(put)
    async with Client(app) as client:
        for path in ("/pages/a", "/pages/b", "/late"):
            assert [(await client.get(path)).hit for _ in range(2)] == [False, True]
        await client.request("PUT", "/late")
        assert not (await client.get("/late")).hit
    assert runs == ["/pages/a", "/pages/b", "late", "late"]


async def test_a_registered_handler_is_still_a_function() -> None:
    """Whoever calls it outside of a request runs it, uncached."""

    @get("/", cache=60, name="handler")
    async def handler() -> str:
        return "x"

    app = application(handler)
    index = app.get_handler_index_by_name("handler")
    assert index is not None
    fn: Any = index["handler"].fn
    assert await fn() == "x"
    assert app.route_reverse("handler") == "/"
