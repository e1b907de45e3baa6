"""What Litestar knows a handler to read, beside the plain parameters of `test_declared_reads`."""

from __future__ import annotations

import logging
from typing import Annotated, Any, get_args

import pytest
from fastapi import Depends
from litestar import Request, get
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from asynccache import CachePolicy, ConfigurationError
from asynccache_litestar import CacheDep
from tests.frameworks.litestar_apps import application, header
from tests.http_middleware.asgi_client import Client

INJECTED = get_args(CacheDep)[1]


async def tenant(name: Annotated[str, header("X-Tenant")]) -> str:
    return name


async def tariff(tenant: Annotated[str, INJECTED]) -> str:
    return f"tariff of {tenant}"


async def test_a_header_of_a_dependencys_dependency_keeps_requests_apart() -> None:
    """What a provider declares, the handler reads."""

    @get("/page", cache=60, sync_to_thread=False)
    def page(tariff: Annotated[str, INJECTED]) -> str:
        return tariff

    app = application(page, dependencies={"tenant": Provide(tenant), "tariff": Provide(tariff)})
    async with Client(app) as client:
        answers = [await client.get("/page", [("x-tenant", name)]) for name in ("a", "b", "a", "b")]

    assert [answer.text for answer in answers] == ["tariff of a", "tariff of b"] * 2
    assert [answer.hit for answer in answers] == [False, False, True, True]


async def test_every_path_of_a_handler_counts() -> None:
    """What is a parameter of one path may be a header field on the other."""
    params: Any = pytest.importorskip("litestar.params")
    if not hasattr(params, "HeaderParameter"):
        pytest.skip("before 2.23 a header parameter cannot have the name of the path's")
    marker = params.HeaderParameter()

    def page(name: str) -> str:
        return name

    page.__annotations__["name"] = Annotated[str, marker]
    handler = get(["/by-header", "/by-path/{name:str}"], cache=60, sync_to_thread=False)(page)
    async with Client(application(handler)) as client:
        answers = [await client.get("/by-header", [("name", name)]) for name in ("a", "b", "a")]

    assert [answer.text for answer in answers] == ["a", "b", "a"]
    assert answers[2].hit


class Authenticating:
    """Middleware that takes the option by which `JWTAuth` tells its own where the token is."""

    def __init__(self, app: Any, auth_header: str) -> None:
        self.app = app
        self.field = auth_header

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Find out who asks."""
        scope["user"] = Request[Any, Any, Any](scope).headers.get(self.field, "nobody")
        await self.app(scope, receive, send)


async def test_tokens_in_a_field_of_their_own_keep_users_apart() -> None:
    """Litestar's authentication says where it looks for the token."""

    @get("/me", cache=60, sync_to_thread=False)
    def me(request: Request[str, Any, Any]) -> str:
        return request.user

    app = application(me, middleware=[DefineMiddleware(Authenticating, auth_header="X-Ticket")])
    async with Client(app) as client:
        answers = [await client.get("/me", [("x-ticket", name)]) for name in ["alice", "bob"] * 2]
        nobody = await client.get("/me")

    assert [answer.text for answer in answers] == ["alice", "bob"] * 2
    assert [answer.hit for answer in answers] == [False, False, True, True]
    assert nobody.text == "nobody"


async def test_a_header_that_is_ever_new_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """It is safe and never hits: one line says what to do."""

    @get("/page", cache=60, sync_to_thread=False)
    def page(agent: Annotated[str, header("User-Agent")]) -> str:
        return agent

    with caplog.at_level(logging.INFO, "asynccache"):
        application(page)

    assert [record.levelname for record in caplog.records if "user-agent" in record.getMessage()] == ["INFO"]


@pytest.mark.parametrize("vary_on", [Depends(tenant), Annotated[str, Depends(tenant)]], ids=["it", "in-type"])
def test_a_dependency_of_fastapi_is_refused(vary_on: Any) -> None:
    """Nobody would resolve it: the application is not made."""

    @get("/page", opt={"cache": CachePolicy(ttl=60, vary_on=vary_on)}, sync_to_thread=False)
    def page() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="is for FastAPI"):
        application(page)
