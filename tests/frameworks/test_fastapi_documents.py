"""OpenAPI says what the cache adds to responses, where a policy is in force, and nothing anywhere else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import fastapi
import pytest
from fastapi import Response
from starlette.middleware import Middleware

from asynccache import CachePolicy, HTTPConfig
from asynccache_fastapi import (
    APIRouter,
    CacheControl,
    CacheMiddleware,
    FastAPI,
    cache_response,
    document_cache,
)
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client

FIELDS = {"Cache-Control", "ETag", "Age", "Cache-Status"}


async def page(id: int = 1) -> dict[str, int]:
    return {"id": id}


def stripped(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without what describes the cache."""
    plain = deepcopy(document)
    for operations in plain["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("304", None)
            for response in operation["responses"].values():
                for name in FIELDS:
                    response.get("headers", {}).pop(name, None)
                if response.get("headers") == {}:
                    del response["headers"]
    return plain


def cached_operations(document: dict[str, Any]) -> set[str]:
    return {
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "304" in operation["responses"] or "Age" in str(operation["responses"])
    }


def as_it_is(function: Any) -> Any:
    return function


def build(kind: Any, router_kind: Any, *, cached: bool = True, **options: Any) -> fastapi.FastAPI:
    app: fastapi.FastAPI = kind(**options)
    router: fastapi.APIRouter = router_kind()
    mark: Any = cache_response(ttl=60) if cached else as_it_is
    control = [CacheControl(60)] if cached else []
    app.get("/decorated")(mark(page))
    app.get("/plain")(page)
    app.api_route("/both/{id}", methods=["GET", "POST", "HEAD"])(mark(page))
    app.get("/controlled", dependencies=control)(page)
    app.post("/controlled", dependencies=control)(page)
    app.get("/hidden", include_in_schema=False)(mark(page))
    router.get("/x")(page)
    router.get("/decorated")(mark(page))
    app.include_router(router, prefix="/r", dependencies=control)
    app.include_router(router, prefix="/q")
    return app


CACHED = {
    "get /decorated", "get /both/{id}", "head /both/{id}", "get /controlled", "get /r/x", "get /r/decorated",
    "get /q/decorated",
}  # fmt: skip


def plainly(**options: Any) -> fastapi.FastAPI:
    app = build(fastapi.FastAPI, fastapi.APIRouter, **options)
    document_cache(app)
    return app


def dropped_in(**options: Any) -> fastapi.FastAPI:
    return build(FastAPI, APIRouter, **options)


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
@pytest.mark.parametrize("make", [plainly, dropped_in])
def test_cached_operations_are_described_and_all_else_is_untouched(make: Any) -> None:
    """GET and HEAD of every route with a policy, wherever it comes from."""
    document = make().openapi()
    assert cached_operations(document) == CACHED
    assert stripped(document) == build(fastapi.FastAPI, fastapi.APIRouter, cached=False).openapi()
    responses = document["paths"]["/decorated"]["get"]["responses"]
    assert set(responses["200"]["headers"]) == set(responses["304"]["headers"]) == FIELDS
    assert "headers" not in responses["422"]
    assert make().openapi() == document


def plain_documented() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    document_cache(app)
    return app


@pytest.mark.parametrize("make", [FastAPI, plain_documented])
def test_the_document_follows_new_routes_and_is_made_once(make: Any) -> None:
    """As FastAPI's own."""
    app = make()
    app.get("/a")(cache_response(ttl=60)(page))
    first = app.openapi()
    assert app.openapi() is first
    app.get("/b")(cache_response(ttl=60)(page))
    app.openapi_schema = None
    assert cached_operations(app.openapi()) == {"get /a", "get /b"}


async def test_preparing_the_routes_at_start_changes_no_document() -> None:
    """The same before and after."""
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    document_cache(app)
    router = fastapi.APIRouter(dependencies=[CacheControl(60)])
    router.get("/x")(page)
    app.include_router(router)
    before = deepcopy(app.openapi())
    async with Client(app) as client:
        served = await client.get("/openapi.json")
        assert app.openapi() == before
        assert cached_operations(before) == {"get /x"}
        assert '"304"' in served.text


def test_what_is_described_is_what_is_sent() -> None:
    """Statuses that are stored, no ETag without a 200, no Cache-Status where it is off, no word twice."""
    app = FastAPI(cache=configured(http=HTTPConfig(cache_status=False)))
    own = {
        200: {"headers": {"etag": {"description": "mine", "schema": {"type": "string"}}}},
        404: {"description": "none"},
        410: {"description": "gone"},
        "default": {"description": "else"},
        "5XX": {"description": "broken"},
    }
    app.get("/many", cache=CachePolicy(ttl=60, statuses=[200, 404]), responses=own)(page)
    app.get("/none", cache=CachePolicy(ttl=60, statuses=[204]), status_code=204)(empty)
    app.get("/mine", cache=60, responses={304: {"description": "mine"}})(page)
    paths = app.openapi()["paths"]
    many, none, mine = (paths[path]["get"]["responses"] for path in ("/many", "/none", "/mine"))
    assert set(many["200"]["headers"]) == {"etag", "Cache-Control", "Age"}
    assert many["200"]["headers"]["etag"]["description"] == "mine"
    assert set(many["404"]["headers"]) == {"Cache-Control", "Age"}
    assert all("headers" not in many[code] for code in ("410", "default", "5XX"))
    assert set(none["204"]["headers"]) == {"Cache-Control", "Age"}
    assert "304" not in none
    assert (mine["304"]["description"], set(mine["304"]["headers"])) == ("mine", FIELDS - {"Cache-Status"})


async def empty() -> Response:
    return Response(status_code=204)


async def test_what_is_sent_is_what_is_described() -> None:
    """Every field of a hit and of its 304 is in the document."""
    app = FastAPI(cache=configured())
    app.get("/", cache=60)(page)
    described = app.openapi()["paths"]["/"]["get"]["responses"]
    async with Client(app) as client:
        await client.get("/")
        hit = await client.get("/")
        unchanged = await client.get("/", [("if-none-match", hit.header("etag") or "")])
    for answer in (hit, unchanged):
        names = {name.lower() for name in described[str(answer.status)]["headers"]}
        sent = {name.decode() for name, _ in answer.messages[0]["headers"]} - {
            "content-length",
            "content-type",
        }
        assert sent == names
