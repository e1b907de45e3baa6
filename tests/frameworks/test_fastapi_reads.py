"""What FastAPI knows an endpoint to read, where the routes are not simply the application's."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Cookie, Depends, Header, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount

import asynccache_fastapi
from asynccache import CachePolicy
from asynccache.http import Rule
from asynccache_fastapi import CacheMiddleware, cache_response
from asynccache_fastapi._reading import declared
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Answer, Client

TENANTS = ("a", "b", "a", "b")


async def tenant(x_tenant: Annotated[str, Header()] = "") -> str:
    return x_tenant


async def ask(client: Client, path: str = "/page") -> list[Answer]:
    return [await client.get(path, [("x-tenant", name)]) for name in TENANTS]


def plain(**options: Any) -> fastapi.FastAPI:
    return fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())], **options)


def reading() -> fastapi.APIRouter:
    """Return a router whose endpoint does not say itself what it reads."""
    router = fastapi.APIRouter()

    @router.get("/page")
    @cache_response(ttl=60)
    async def page(request: fastapi.Request) -> str:
        return request.headers.get("x-tenant", "")

    return router


def kept_apart(answers: list[Answer]) -> None:
    assert [answer.text for answer in answers] == [f'"{name}"' for name in TENANTS]
    assert [answer.hit for answer in answers] == [False, False, True, True]


async def test_a_router_mounted_as_an_application() -> None:
    """Its routes are not among the application's."""
    inner = fastapi.APIRouter()
    inner.include_router(reading(), dependencies=[Depends(tenant)])
    app = plain()
    app.router.routes.append(Mount("/inner", app=inner))
    async with Client(app) as client:
        kept_apart(await ask(client, "/inner/page"))


async def test_a_mounted_application() -> None:
    """It shares the cache, and what its endpoints read is its own."""
    inner = fastapi.FastAPI(dependencies=[Depends(tenant)])
    inner.include_router(reading())
    app = plain()
    app.mount("/inner", inner)
    async with Client(app) as client:
        kept_apart(await ask(client, "/inner/page"))


async def test_a_router_that_is_included_again_while_the_application_runs() -> None:
    """The new inclusion is known with its first request."""
    app, router = plain(), reading()
    app.include_router(router, prefix="/one")
    async with Client(app) as client:
        first = [(await client.get("/one/page")).hit for _ in range(2)]
        app.include_router(router, prefix="/two", dependencies=[Depends(tenant)])
        kept_apart(await ask(client, "/two/page"))

    assert first == [False, True]


async def test_a_route_that_is_added_while_the_application_runs() -> None:
    """So is a new route."""
    app = asynccache_fastapi.FastAPI(cache=configured())
    async with Client(app) as client:

        @app.get("/page", cache=60)
        async def page(name: Annotated[str, Depends(tenant)]) -> str:
            return name

        kept_apart(await ask(client))


async def test_a_rule_by_path() -> None:
    """It decides before routing; what the endpoint reads is known when it has answered."""
    router = fastapi.APIRouter(dependencies=[Depends(tenant)])

    @router.get("/page")
    async def page(request: fastapi.Request) -> str:
        return request.headers.get("x-tenant", "")

    app = fastapi.FastAPI()
    app.include_router(router)
    async with Client(
        CacheMiddleware(app, configured(), rules=[Rule("/page", CachePolicy(ttl=60))])
    ) as client:
        answers = await ask(client)

    assert [answer.text for answer in answers] == ['"a"', '"b"'] * 2
    assert answers[3].hit


async def test_without_a_lifespan() -> None:
    """What is read is found out with the first request."""
    app = plain(dependencies=[Depends(tenant)])
    app.include_router(reading())
    client = Client(app)
    kept_apart(await ask(client))


scheme = APIKeyHeader(name="X-Gizmo", auto_error=False)


class Subclass(APIKeyHeader):
    """A scheme of an application's own."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        """Return the key."""
        return f"key of {request}"


class Named(BaseModel):
    """Names of every kind."""

    model_config = ConfigDict(populate_by_name=True)

    plain_name: str = ""
    other: str = Field("", alias="X-Other")
    nested: str = Field("", validation_alias=AliasPath("x-nested", 0))
    of_several: str = Field("", validation_alias=AliasChoices("of_several", "X-Several"))


FORMS: dict[str, Any] = {
    "object": scheme,
    "subclass": Subclass(name="X-Gizmo"),
    "method": scheme.__call__,
    "partial": partial(scheme),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_api_key_is_found_in_whatever_form_it_is_declared(form: str) -> None:
    """As an object, of a subclass, as its method, in a partial."""
    app = asynccache_fastapi.FastAPI(cache=configured())

    @app.get("/page", cache=60, dependencies=[Security(FORMS[form])])
    async def page(request: fastapi.Request) -> str:
        return request.headers.get("x-gizmo", "")

    async with Client(app) as client:
        kept_apart([await client.get("/page", [("x-gizmo", name)]) for name in TENANTS])


def test_what_is_declared() -> None:
    """Fields by the names they have in a request; those with rules of their own are left to these."""
    router = fastapi.APIRouter()

    @router.get("/")
    async def endpoint(
        authorization: Annotated[str, Header()],
        host: Annotated[str, Header()],
        x_token: Annotated[str, Header()],
        as_it_is: Annotated[str, Header(convert_underscores=False)],
        renamed: Annotated[list[str], Header(alias="X-Renamed")],
        session: Annotated[str, Cookie()],
        bearer: Annotated[Any, Security(HTTPBearer())],
        optional: Annotated[Named | None, Header()] = None,
    ) -> None: ...

    reads = declared(router.routes[0].dependant)  # type: ignore[attr-defined]

    assert set(reads.fields) == {
        *("as_it_is", "x-renamed", "plain-name", "x-other", "other", "x-nested", "nested"),
        *("of_several", "of-several", "x-several"),
    }
    assert reads.credentials == ("x-token",)
    assert reads.queries == ()
