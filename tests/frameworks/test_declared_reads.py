"""What a framework knows an endpoint to read keeps requests apart by itself: a part of the safety table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Annotated, Any

import pytest
from fastapi import Depends, Header, HTTPException, Security
from fastapi.security import APIKeyHeader, APIKeyQuery
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from asynccache import CachePolicy
from asynccache.testing import FakeClock
from tests.frameworks import litestar_apps
from tests.frameworks.framework_apps import Counting, Page, Spelling
from tests.http_middleware.asgi_client import Answer, Client

KEYS = ("alice", "bob")


def parameter(name: str, annotation: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)


def told(field: str) -> Callable[[Request, int], Response]:
    """Answer with what came in a request field."""
    return lambda request, run: PlainTextResponse(f"{run}: {request.headers.get(field)}")


def page(handler: Counting, policy: CachePolicy | None = None) -> Page:
    return Page("/page", handler, policy or CachePolicy(ttl=60))


async def ask(client: Client, field: str, values: Sequence[str], path: str = "/page") -> list[Answer]:
    return [await client.get(path, [(field, value)]) for value in values]


async def kept_apart(client: Client, field: str) -> None:
    """Ask for two and again for two: each gets its own, the second time from the cache."""
    answers = await ask(client, field, KEYS * 2)
    assert [answer.text for answer in answers] == ["1: alice", "2: bob"] * 2
    assert [answer.hit for answer in answers] == [False, False, True, True]
    assert {answer.header("vary") for answer in answers} == {field}


def header_of(spelling: Spelling, name: str) -> Parameter:
    """Return a parameter taken from a header, as the framework has it."""
    marker = litestar_apps.header(name) if spelling.name.startswith("litestar") else Header(alias=name)
    return parameter("declared", Annotated[str | None, marker]).replace(default=None)


async def test_a_declared_header_keeps_requests_apart(knowing_spelling: Spelling, public: bool) -> None:
    """Whatever the handler does with it, and also where all are said to get the same."""
    spelling = knowing_spelling
    handler = Counting(told("x-tenant"), [header_of(spelling, "X-Tenant")])
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        await kept_apart(client, "x-tenant")
        none = [await client.get("/page") for _ in range(2)]

    assert [answer.text for answer in none] == ["3: None"] * 2


async def test_a_declared_token_keeps_requests_apart_where_nobody_says_who_asks(
    knowing_spelling: Spelling,
) -> None:
    """A field known to carry credentials does not bypass the cache then: each token has its own answer."""
    spelling = knowing_spelling
    handler = Counting(told("x-token"), [header_of(spelling, "X-Token")])
    async with spelling.serve([page(handler)]) as client:
        await kept_apart(client, "x-token")


async def test_a_response_stored_before_the_header_was_declared_is_not_served(
    knowing_spelling: Spelling, public: bool
) -> None:
    """A new version of the application finds what an older one has stored, for everybody."""
    spelling, clock = knowing_spelling, FakeClock()
    policy = CachePolicy(ttl=60, public=public)
    backend = spelling.store.backend(clock)
    async with spelling.serve([page(Counting(), policy)], backend=backend, clock=clock) as client:
        assert (await client.get("/page")).text == "run 1"
    handler = Counting(told("x-tenant"), [header_of(spelling, "X-Tenant")])
    async with spelling.serve([page(handler, policy)], backend=backend, clock=clock) as client:
        await kept_apart(client, "x-tenant")


async def test_underscores_are_converted_as_fastapi_does(fastapi_spelling: Spelling) -> None:
    """``x_tenant`` is X-Tenant."""
    handler = Counting(told("x-tenant"), [parameter("x_tenant", Annotated[str, Header()])])
    async with fastapi_spelling.serve([page(handler)]) as client:
        await kept_apart(client, "x-tenant")


class Fields(BaseModel):
    """Header parameters in a model."""

    x_tenant: str | None = None
    region: str | None = Field(None, validation_alias=AliasChoices("X-Region", "X-Area"))


@pytest.mark.parametrize("field", ["x-tenant", "x-region", "x-area"])
async def test_a_header_model_keeps_requests_apart(fastapi_spelling: Spelling, field: str) -> None:
    """Every field of a model counts, under each of its aliases."""
    handler = Counting(told(field), [parameter("fields", Annotated[Fields, Header()])])
    async with fastapi_spelling.serve([page(handler)]) as client:
        answers = await ask(client, field, KEYS * 2)

    assert [answer.text for answer in answers] == ["1: alice", "2: bob"] * 2


class Anything(BaseModel):
    """A model that takes whatever fields there are."""

    model_config = ConfigDict(extra="allow")


async def test_a_model_of_any_headers_is_never_stored(fastapi_spelling: Spelling) -> None:
    """What depends on all of a request is for that request."""
    handler = Counting(told("x-tenant"), [parameter("fields", Annotated[Anything, Header()])])
    async with fastapi_spelling.serve([page(handler)]) as client:
        answers = await ask(client, "x-tenant", KEYS * 2)

    assert [answer.text for answer in answers] == ["1: alice", "2: bob", "3: alice", "4: bob"]
    assert answers[0].cache_status.endswith("; detail=vary-any")


async def tenant(x_tenant: Annotated[str, Header()]) -> str:
    return x_tenant


async def tariff(name: Annotated[str, Depends(tenant)]) -> str:
    return f"tariff of {name}"


async def test_a_header_of_a_sub_dependency_keeps_requests_apart(fastapi_spelling: Spelling) -> None:
    """What a dependency of a dependency declares, the endpoint reads."""
    handler = Counting(told("x-tenant"), [parameter("tariff", Annotated[str, Depends(tariff)])])
    async with fastapi_spelling.serve([page(handler)]) as client:
        await kept_apart(client, "x-tenant")


async def test_a_header_of_a_layers_dependency_keeps_requests_apart(fastapi_spelling: Spelling) -> None:
    """So does what an application, a router, an inclusion or the route has among its ``dependencies``."""
    handler = Counting(told("x-tenant"))
    async with fastapi_spelling.serve([page(handler)], depends=[Depends(tariff)]) as client:
        await kept_apart(client, "x-tenant")


gizmo_key = APIKeyHeader(name="X-Gizmo-Key")
gizmo_query = APIKeyQuery(name="gizmo")


async def customer(key: Annotated[str, Security(gizmo_key)]) -> str:
    if key == "nobody":
        raise HTTPException(403)
    return key


@pytest.mark.parametrize("on_layer", [True, False], ids=["layer", "endpoint"])
async def test_an_api_key_keeps_users_apart(fastapi_spelling: Spelling, on_layer: bool) -> None:
    """Any field of an API key is a credential: each key has answers of its own, and is checked every time."""
    needed = [parameter("customer", Annotated[str, Depends(customer)])]
    handler = Counting(told("x-gizmo-key"), () if on_layer else needed)
    depends = [Depends(customer)] if on_layer else []
    async with fastapi_spelling.serve([page(handler)], depends=depends) as client:
        await kept_apart(client, "x-gizmo-key")
        refused = await client.get("/page", [("x-gizmo-key", "nobody")])

    assert refused.status == 403


async def test_more_than_32_api_keys_are_kept_apart_and_cached(fastapi_spelling: Spelling) -> None:
    """The bound on variants is against header values that clients invent, not against having users."""
    handler = Counting(told("x-gizmo-key"))
    keys = [str(number) for number in range(40)]
    async with fastapi_spelling.serve([page(handler)], depends=[Depends(customer)]) as client:
        await ask(client, "x-gizmo-key", keys)
        answers = await ask(client, "x-gizmo-key", keys)

    assert [answer.text for answer in answers] == [f"{int(key) + 1}: {key}" for key in keys]


def everyone(_: Request) -> str:
    return "everyone"


@pytest.mark.parametrize(
    "policy",
    [CachePolicy(ttl=60, public=True), CachePolicy(ttl=60, vary_on=everyone)],
    ids=["public", "vary-on"],
)
async def test_the_policy_may_say_what_the_owners_of_api_keys_share(
    fastapi_spelling: Spelling, policy: CachePolicy
) -> None:
    """``public`` and ``vary_on`` say who gets the same: an API key then only decides who may ask."""
    handler = Counting()
    async with fastapi_spelling.serve([page(handler, policy)], depends=[Depends(customer)]) as client:
        answers = await ask(client, "x-gizmo-key", KEYS)

    assert [answer.text for answer in answers] == ["run 1"] * 2
    assert answers[0].header("vary") is None


async def test_an_api_key_in_the_query_is_not_left_out(fastapi_spelling: Spelling) -> None:
    """An allow-list of query parameters leaves out what does not matter; a key of a user does."""
    handler = Counting(lambda request, run: PlainTextResponse(f"{run}: {request.query_params['gizmo']}"))
    policy = CachePolicy(ttl=60, query=("page",))
    async with fastapi_spelling.serve([page(handler, policy)], depends=[Security(gizmo_query)]) as client:
        paths = [f"/page?gizmo={key}&from={n}" for n in range(2) for key in KEYS]
        answers = [await client.get(path) for path in paths]

    assert [answer.text for answer in answers] == ["1: alice", "2: bob"] * 2


async def test_an_api_key_does_not_excuse_a_cookie(fastapi_spelling: Spelling) -> None:
    """A key says who asks; a cookie may say something else."""
    handler = Counting()
    async with fastapi_spelling.serve([page(handler)], depends=[Depends(customer)]) as client:
        answer = await client.get("/page", [("x-gizmo-key", "alice"), ("cookie", "session=1")])

    assert answer.cache_status == "asynccache; fwd=bypass; detail=cookie"


async def test_vary_names_what_the_policy_does_and_what_the_response_did(spelling: Spelling) -> None:
    """What keeps responses apart here does so in every cache on the way: in one line, each name once."""
    handler = Counting(lambda _, run: PlainTextResponse(f"{run}", headers={"Vary": "Accept, X-A"}))
    policy = CachePolicy(ttl=60, vary=("x-a", "x-b"))
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page") for _ in range(2)]

    assert [answer.raw.count((b"vary", b"Accept, X-A, x-b")) for answer in answers] == [1, 1]
    assert [answer.hit for answer in answers] == [False, True]


async def test_a_header_that_is_ever_new_is_reported(
    fastapi_spelling: Spelling, caplog: pytest.LogCaptureFixture
) -> None:
    """It is safe and never hits: one line at start says what to do."""
    handler = Counting(told("user-agent"), [parameter("user_agent", Annotated[str, Header()])])
    with caplog.at_level(logging.INFO, "asynccache"):
        async with fastapi_spelling.serve([page(handler)]) as client:
            await kept_apart(client, "user-agent")

    assert [record.levelname for record in caplog.records if "user-agent" in record.getMessage()] == ["INFO"]
