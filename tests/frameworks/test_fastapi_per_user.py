"""``vary_on=Depends(...)``: what a dependency returns distinguishes users; nobody gets what is not theirs."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Depends, Header, HTTPException
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request

import asynccache_starlette
from asynccache import CachePolicy, ConfigurationError
from asynccache.http import CacheMiddleware as PlainMiddleware, MarkedApp
from asynccache_fastapi import APIRouter, CacheControl, CacheMiddleware, FastAPI, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


class User(BaseModel):
    name: str


runs: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    runs.clear()


async def current_user(authorization: Annotated[str | None, Header()] = None) -> User:
    runs.append("user")
    if authorization is None:
        raise HTTPException(401)
    return User(name=authorization.removeprefix("Bearer "))


CurrentUser = Annotated[User, Depends(current_user)]


class Tenant:
    """A dependency that is a class: an object with a result of its own."""

    def __init__(self, x_tenant: Annotated[str, Header()]) -> None:
        self.name = x_tenant


def tenant_of(tenant: Annotated[Tenant, Depends()]) -> str:
    return tenant.name


async def me(user: CurrentUser) -> dict[str, str]:
    runs.append("me")
    return {"name": user.name}


def me_in_a_thread(user: CurrentUser) -> dict[str, str]:
    runs.append("me")
    return {"name": user.name}


def without_asking_itself() -> dict[str, str]:
    runs.append("me")
    return {"name": str(len(runs))}


def by_decorator(function: Callable[..., Any], dependency: Any) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    app.get("/me")(cache_response(ttl=60, vary_on=dependency)(function))
    return app


def by_route(function: Callable[..., Any], dependency: Any) -> fastapi.FastAPI:
    app = FastAPI(cache=configured())
    app.get("/me", cache=CachePolicy(ttl=60, vary_on=dependency))(function)
    return app


def by_router(function: Callable[..., Any], dependency: Any) -> fastapi.FastAPI:
    app = FastAPI(cache=configured())
    router = APIRouter(cache=CachePolicy(ttl=60, vary_on=dependency))
    router.get("/me")(function)
    app.include_router(router)
    return app


def by_control(function: Callable[..., Any], dependency: Any) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    router = fastapi.APIRouter(dependencies=[CacheControl(ttl=60, vary_on=dependency)])
    router.get("/me")(function)
    app.include_router(router)
    return app


BUILDS = pytest.mark.parametrize("build", [by_decorator, by_route, by_router, by_control])


@BUILDS
@pytest.mark.parametrize("function", [me, me_in_a_thread])
@pytest.mark.parametrize("dependency", [Depends(current_user), CurrentUser], ids=["depends", "annotated"])
async def test_each_user_gets_their_own(build: Any, function: Any, dependency: Any) -> None:
    """One word; the dependency runs once for each request, before every hit."""
    async with Client(build(function, dependency)) as client:
        for hit in (False, True):
            for name in ("alice", "bob"):
                answer = await client.get("/me", [("authorization", f"Bearer {name}")])
                assert (answer.text, answer.hit) == (f'{{"name":"{name}"}}', hit)
        assert runs.count("user") == 4
        assert runs.count("me") == 2
        stranger = await client.get("/me")
        assert (stranger.status, stranger.cache_status) == (401, "")


@BUILDS
async def test_an_endpoint_need_not_ask_itself(build: Any) -> None:
    """The dependency is resolved because the policy names it."""
    async with Client(build(without_asking_itself, Depends(current_user))) as client:
        answers = [
            await client.get("/me", [("authorization", f"Bearer {name}")]) for name in ("a", "b", "a", "b")
        ]
    assert [answer.hit for answer in answers] == [False, False, True, True]
    assert [answer.text for answer in answers[:2]] == [answer.text for answer in answers[2:]]


async def anybody(x_user: Annotated[str | None, Header()] = None) -> str | None:
    return x_user


async def opened(x_user: Annotated[str, Header()]) -> AsyncGenerator[str]:
    runs.append("open")
    yield x_user
    runs.append("close")


@dataclass
class Account:
    number: int


async def account(x_user: Annotated[str, Header()]) -> Account:
    return Account(int(x_user))


async def connected(x_user: Annotated[str, Header()]) -> object:
    return object()


async def unhashable(x_user: Annotated[str, Header()]) -> dict[str, list[str]]:
    return {"roles": [x_user]}


@BUILDS
async def test_none_bypasses(build: Any) -> None:
    """Who cannot be told from others gets no stored response, and leaves none."""
    async with Client(build(without_asking_itself, Depends(anybody))) as client:
        for _ in range(2):
            answer = await client.get("/me")
            assert answer.cache_status == "asynccache; fwd=bypass; detail=vary-on"
        known = [await client.get("/me", [("x-user", "a")]) for _ in range(2)]
        assert [answer.hit for answer in known] == [False, True]


@BUILDS
@pytest.mark.parametrize("dependency", [account, unhashable, opened])
async def test_results_count_by_what_they_are(build: Any, dependency: Any) -> None:
    """Dataclasses, dictionaries of lists, what a generator yields: equal ones are one user."""
    async with Client(build(without_asking_itself, Depends(dependency))) as client:
        hits = [(await client.get("/me", [("x-user", name)])).hit for name in ("1", "2", "1", "2")]
    assert hits == [False, False, True, True]


@BUILDS
async def test_a_result_without_identity_bypasses_with_a_warning(
    build: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A session or a connection says nothing about who asks: no error, no leak, no caching."""
    async with Client(build(without_asking_itself, Depends(connected))) as client:
        with caplog.at_level(logging.WARNING, "asynccache"):
            answers = [await client.get("/me", [("x-user", "a")]) for _ in range(2)]
    assert [answer.cache_status for answer in answers] == ["asynccache; fwd=bypass; detail=vary-on"] * 2
    assert "lasting identity" in caplog.text


@BUILDS
async def test_dependency_overrides_count(build: Any) -> None:
    """What a test puts in the dependency's place is what the key is made of."""
    app = build(me, Depends(current_user))
    app.dependency_overrides[current_user] = lambda: User(name="tester")
    async with Client(app) as client:
        answers = [await client.get("/me", [("authorization", name)]) for name in ("a", "b")]
    assert [(answer.text, answer.hit) for answer in answers] == [
        ('{"name":"tester"}', False), ('{"name":"tester"}', True),
    ]  # fmt: skip


@BUILDS
async def test_a_class_is_a_dependency_like_others(build: Any) -> None:
    """Here the key is a function of one."""
    async with Client(build(without_asking_itself, Depends(tenant_of))) as client:
        hits = [(await client.get("/me", [("x-tenant", name)])).hit for name in ("a", "b", "a")]
        assert (await client.get("/me")).status == 422
    assert hits == [False, False, True]


def test_openapi_shows_what_the_dependency_needs() -> None:
    """Its parameters are the operation's; the parameter that carries its result is nobody's business."""
    document = by_decorator(without_asking_itself, Depends(current_user)).openapi()
    (parameter,) = document["paths"]["/me"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("authorization", "header")
    assert "asynccache_vary_on" not in str(document)


async def test_a_policy_for_included_routers_may_not_name_a_dependency() -> None:
    """It would ask for a user where one logs in."""
    policy = CachePolicy(ttl=60, vary_on=Depends(current_user))
    with pytest.raises(ConfigurationError, match="own APIRouter"):
        FastAPI().include_router(APIRouter(), cache=policy)
    app = FastAPI(cache=configured(), cache_policy=policy)
    app.post("/login")(without_asking_itself)
    app.get("/me")(me)
    with pytest.raises(ConfigurationError, match="own APIRouter"):
        app.include_router(APIRouter())
    async with Client(app) as client:
        assert (await client.request("POST", "/login")).status == 200
        alice = [await client.get("/me", [("authorization", "Bearer alice")]) for _ in range(2)]
    assert [answer.hit for answer in alice] == [False, True]


async def test_elsewhere_a_dependency_is_refused() -> None:
    """Starlette and bare applications have none: an error where it stands, never a shared response."""
    policy = CachePolicy(ttl=60, vary_on=Depends(current_user))

    async def page(request: Request) -> Any:
        raise NotImplementedError

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    with pytest.raises(ConfigurationError, match="FastAPI"):
        asynccache_starlette.Route("/", page, cache=policy)
    with pytest.raises(ConfigurationError, match="FastAPI"):
        asynccache_starlette.Mount("/", routes=[], cache=policy)
    marked = cache_response(policy=policy)(page)
    client = Client(
        asynccache_starlette.Starlette(routes=[asynccache_starlette.Route("/", marked)], cache=configured())
    )
    assert "FastAPI" in (await client.startup())["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)
    with pytest.raises(ConfigurationError, match="FastAPI"):
        await client.get("/")
    with pytest.raises(ConfigurationError, match="FastAPI"):
        await Client(PlainMiddleware(MarkedApp(application, policy), configured())).get("/")
    with pytest.raises(ConfigurationError, match="callable"):
        CachePolicy(vary_on=Depends())
