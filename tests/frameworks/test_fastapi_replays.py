"""A hit has the bytes, the status and the header fields of the miss, whatever the endpoint returned."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime
from enum import Enum
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import BackgroundTasks, Depends, Response
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from pydantic import BaseModel, Field
from starlette.middleware import Middleware

from asynccache import CachePolicy
from asynccache.testing import FakeClock
from asynccache_fastapi import APIRouter, CacheControl, CacheMiddleware, FastAPI, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Answer, Client

POLICY = CachePolicy(ttl=60, statuses=[200, 203, 204, 301, 308, 404, 410])


class Colour(Enum):
    RED = "red"


class Thing(BaseModel):
    id: int
    at: datetime
    colour: Colour = Colour.RED
    note: str | None = None
    secret: str = Field(default="s", exclude=True)
    alias: int = Field(default=1, serialization_alias="al-ias")


THING = Thing(id=1, at=datetime(2026, 1, 2, tzinfo=UTC))


class Paging:
    """A dependency that is a class."""

    def __init__(self, response: Response, page: int = 1, size: int = 10) -> None:
        self.page, self.size = page, size
        response.headers["x-page"] = str(page)


async def labelled(response: Response) -> AsyncGenerator[str]:
    response.headers["x-label"] = "a"
    yield "a"


def a_model() -> Thing:
    return THING


def a_list() -> list[Thing]:
    return [THING, THING]


def a_dict() -> dict[str, Any]:
    return {"at": datetime(2026, 1, 2, tzinfo=UTC), "text": "ä\u2028<", "none": None, "float": 0.1}


def nothing() -> None:
    return None


def status_by_parameter(response: Response) -> str:
    response.status_code = 203
    response.headers["X-Mixed"] = "Case"
    return "x"


def json_response() -> Response:
    return JSONResponse({"a": 1}, headers={"x-a": "1", "cache-control": "max-age=5", "etag": '"own"'})


def several_lines() -> Response:
    response = PlainTextResponse("x", headers={"link": "<a>"})
    response.headers.append("link", "<b>")
    return response


def empty() -> Response:
    return Response(status_code=204)


def gone() -> Response:
    return HTMLResponse("<p>gone</p>", 410)


def moved() -> Response:
    return RedirectResponse("/elsewhere", 301)


def bytes_in_parts() -> Response:
    def parts() -> Generator[bytes]:
        yield b"a" * 1000
        yield b""
        yield b"b"

    return StreamingResponse(parts(), media_type="application/x-parts", headers={"x-s": "1"})


def parts_with_length() -> Response:
    async def parts() -> AsyncGenerator[bytes]:
        yield b"aa"
        yield b"bb"

    return StreamingResponse(parts(), headers={"content-length": "4"})


def a_file() -> Response:
    return FileResponse(Path(__file__), media_type="text/x-python")


def with_dependencies(
    paging: Annotated[Paging, Depends()], label: Annotated[str, Depends(labelled)]
) -> dict[str, Any]:
    return {"page": paging.page, "size": paging.size, "label": label}


ROUTES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "a model": (a_model, {}),
    "a list": (a_list, {"response_model_exclude_none": True}),
    "a dict": (a_dict, {}),
    "a filter": (a_model, {"response_model_include": {"id", "note"}}),
    "another model": (a_dict, {"response_model": None}),
    "nothing": (nothing, {}),
    "status_code": (nothing, {"status_code": 204}),
    "status by parameter": (status_by_parameter, {}),
    "response class": (lambda: "<p>", {"response_class": HTMLResponse}),
    "json response": (json_response, {}),
    "several lines": (several_lines, {}),
    "empty": (empty, {}),
    "gone": (gone, {}),
    "moved": (moved, {}),
    "streaming": (bytes_in_parts, {}),
    "streaming with a length": (parts_with_length, {}),
    "file": (a_file, {}),
    "dependencies": (with_dependencies, {}),
}


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def endpoint(**arguments: Any) -> Any:
        return function(**arguments)

    endpoint.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return endpoint


def by_decorator(function: Any, options: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    app.get("/", **options)(cache_response(policy=POLICY)(function))
    return app


def by_route(function: Any, options: dict[str, Any]) -> fastapi.FastAPI:
    app = FastAPI(cache=configured())
    app.get("/", cache=POLICY, **options)(function)
    return app


def by_router(function: Any, options: dict[str, Any]) -> fastapi.FastAPI:
    app = FastAPI(cache=configured())
    router = APIRouter(cache=POLICY)
    router.get("/", **options)(function)
    app.include_router(router, prefix="")
    return app


def by_control(function: Any, options: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    router = fastapi.APIRouter()
    router.get("/", **options)(function)
    app.include_router(router, dependencies=[CacheControl(POLICY)])
    return app


def uncached(function: Any, options: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.get("/", **options)(function)
    return app


def own_fields(answer: Answer, without: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [field for field in answer.fields() if field[0].lower() not in without]


@pytest.mark.parametrize("build", [by_decorator, by_route, by_router, by_control])
@pytest.mark.parametrize("convert", [as_it_is, asynchronous], ids=["def", "async def"])
@pytest.mark.parametrize("name", ROUTES)
async def test_a_hit_is_what_the_miss_was(build: Any, convert: Any, name: str) -> None:
    """And the miss is what the application without a cache answers, with what makes it cacheable added."""
    function, options = ROUTES[name]
    plain = await Client(uncached(convert(function), options)).get("/")
    async with Client(build(convert(function), options)) as client:
        miss, hit = await client.get("/"), await client.get("/")
    assert (miss.hit, hit.hit) == (False, True)
    assert (hit.status, hit.body) == (miss.status, miss.body) == (plain.status, plain.body)
    streamed = {b"content-length"} if plain.header("content-length") is None else set[bytes]()
    # The head of what comes in parts may be gone before the bytes are known.
    late = {b"etag"} if name.startswith("streaming") else set[bytes]()
    assert own_fields(hit, streamed | late) == own_fields(miss, late)
    added = {b"etag", b"cache-control"} - {field.lower() for field, _ in plain.fields()}
    assert own_fields(miss, added) == plain.fields()


@pytest.mark.parametrize("build", [by_decorator, by_route, by_router, by_control])
@pytest.mark.parametrize("kind", ["parameter", "response", "dependency"])
async def test_background_tasks_belong_to_what_adds_them(build: Any, kind: str) -> None:
    """The endpoint's run on the miss; a dependency runs for every request, and so do its tasks."""
    done: list[int] = []

    def parameter(tasks: BackgroundTasks) -> str:
        tasks.add_task(done.append, 1)
        return "x"

    def response() -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(done.append, 1)
        return PlainTextResponse("x", background=tasks)

    def dependency(tasks: BackgroundTasks) -> None:
        tasks.add_task(done.append, 1)

    def depending() -> str:
        return "x"

    parameter.__annotations__["tasks"] = dependency.__annotations__["tasks"] = BackgroundTasks
    functions = {"parameter": parameter, "response": response, "dependency": depending}
    options = {"dependencies": [Depends(dependency)]} if kind == "dependency" else {}
    async with Client(build(functions[kind], options)) as client:
        answers = [await client.get("/") for _ in range(3)]
    assert [answer.hit for answer in answers] == [False, True, True]
    assert done == ([1] * 3 if kind == "dependency" else [1])


async def test_stale_if_error_covers_inherited_endpoints() -> None:
    """A synchronous endpoint that raises is stood in for too."""
    clock = FakeClock()
    errors: list[Exception] = []

    def failing() -> str:
        if errors:
            raise errors.pop()
        return "good"

    app = fastapi.FastAPI(
        middleware=[Middleware(CacheMiddleware, config=configured(clock))],
        dependencies=[CacheControl(ttl=60, stale_if_error=60)],
    )
    app.get("/")(failing)
    async with Client(app) as client:
        await client.get("/")
        clock.advance(61)
        errors.append(OSError())
        answer = await client.get("/")
    assert (answer.status, answer.text, answer.hit) == (200, '"good"', True)


async def test_partials_and_callable_objects() -> None:
    """A partial inherits like a function; an object that can be called runs uncached, and works."""

    async def add(a: int, b: int) -> int:
        return a + b

    class Adding:
        def __call__(self, a: int) -> int:
            return a + 1

    app = FastAPI(cache=configured(), cache_policy=60)
    router = fastapi.APIRouter()
    for target in (app, router):
        target.get("/partial")(partial(add, b=2))
        target.get("/object")(Adding())
    app.include_router(router, prefix="/r")
    async with Client(app) as client:
        for prefix in ("", "/r"):
            partials = [await client.get(f"{prefix}/partial?a=1") for _ in range(2)]
            objects = [await client.get(f"{prefix}/object?a=1") for _ in range(2)]
            assert [(answer.text, answer.hit) for answer in partials] == [("3", False), ("3", True)]
            assert [(answer.text, answer.cache_status) for answer in objects] == [("2", "")] * 2
