"""What is Litestar's stays Litestar's: order of guards and hooks, responses, DTOs, OpenAPI, files, mounts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import pytest
from litestar import (
    Litestar,
    MediaType,
    Request,
    Response,
    Router,
    get,
)
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.datastructures import Cookie, ResponseHeader
from litestar.di import Provide
from litestar.dto import DataclassDTO, DTOConfig
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.response import Redirect, Stream

from asynccache import CachePolicy
from asynccache.testing import FakeClock
from asynccache_litestar import CacheDep
from tests.frameworks.framework_apps import configured
from tests.frameworks.litestar_apps import application
from tests.http_middleware.asgi_client import Client, until

AnyRequest = Request[Any, Any, Any]
Number = Annotated[int, get_args(CacheDep)[1]]
"""A number that is injected; what marks that has another name in each version of Litestar."""
GZIP = [("accept-encoding", "gzip")]


class Log(list[str]):
    """What ran, in order; every part of a request that Litestar knows leaves its name."""

    def guard(self, connection: Any, _: Any) -> None:
        """Let nobody but friends pass."""
        self.append("guard")
        if connection.headers.get("x-key") != "friend":
            raise NotAuthorizedException

    async def before_request(self, request: AnyRequest) -> None:
        """Note it."""
        self.append("before_request")

    async def after_request(self, response: Any) -> Any:
        """Note it, and change the response."""
        self.append("after_request")
        response.headers["x-after"] = str(self.count("after_request"))
        return response

    async def after_response(self, request: AnyRequest) -> None:
        """Note it."""
        self.append("after_response")

    def take(self) -> list[str]:
        """Return what there is and forget it."""
        taken = list(self)
        self.clear()
        return taken


async def test_guards_hooks_and_dependencies_run_before_every_hit() -> None:
    """A hit replaces the handler, its serialisation and after_request, and nothing that may say no."""
    log = Log()

    async def number() -> AsyncGenerator[int]:
        log.append("dependency")
        yield 1
        log.append("dependency ends")

    @get(
        "/",
        cache=60,
        guards=[log.guard],
        before_request=log.before_request,
        dependencies={"number": Provide(number)},
        after_request=log.after_request,
        after_response=log.after_response,
        background=BackgroundTask(log.append, "background"),
    )
    async def handler(request: AnyRequest, number: Number) -> dict[str, int]:
        log.append("handler")
        return {"number": 1}

    async with Client(application(handler)) as client:
        before = ["guard", "before_request", "dependency"]
        strange = await client.get("/")
        assert (strange.status, log.take()) == (401, ["guard"])
        miss = await client.get("/", [("x-key", "friend")])
        ran = ["handler", "after_request", "dependency ends", "background", "after_response"]
        assert log.take() == [*before, *ran]
        hit = await client.get("/", [("x-key", "friend")])
        assert log.take() == [*before, "dependency ends", "after_response"]
        refused = await client.get("/")
        assert (refused.status, refused.hit, log.take()) == (401, False, ["guard"])
    assert (hit.hit, hit.body, hit.fields()) == (True, miss.body, miss.fields())
    assert hit.header("x-after") == "1"


async def test_what_before_request_answers_is_neither_stored_nor_replaced() -> None:
    """It comes before the cache: the page that says "closed" is not kept, nor is the kept one shown."""
    closed = False

    def gate(_: AnyRequest) -> dict[str, bool] | None:
        return {"closed": True} if closed else None

    @get("/", cache=60, before_request=gate)
    async def handler() -> dict[str, bool]:
        return {"closed": False}

    async with Client(application(handler)) as client:
        opened = await client.get("/")
        closed = True
        shut = [await client.get("/") for _ in range(2)]
        closed = False
        again = await client.get("/")
    assert opened.text == again.text == '{"closed":false}'
    assert again.hit
    assert [(answer.text, answer.cache_status) for answer in shut] == [('{"closed":true}', "")] * 2


@dataclass
class Item:
    """Has something to hide."""

    id: int
    price: float = 9.5


class Public(DataclassDTO[Item]):
    """Hides it."""

    config = DTOConfig(exclude={"price"}, rename_strategy="upper")


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    "kind", ["data", "dto", "response", "dto response", "msgpack", "text", "redirect", "stream"]
)
async def test_a_hit_has_the_bytes_of_the_miss(kind: str, public: bool) -> None:
    """Whatever a handler returns, the hit is what the miss was; with a DTO what it hides stays hidden."""
    options: dict[str, Any] = {"opt": {"cache": CachePolicy(ttl=60, public=public)}}

    async def pieces() -> AsyncGenerator[bytes]:
        yield b"a"
        yield b"b"

    @get("/data", **options)
    async def data() -> Item:
        return Item(1)

    @get("/dto", return_dto=Public, **options)
    async def dto() -> list[Item]:
        return [Item(1)]

    @get("/response", response_headers=[ResponseHeader(name="x-declared", value="1")], **options)
    async def response() -> Response[Item]:
        return Response(Item(1), headers={"x-own": "2"})

    @get("/dto-response", return_dto=Public, **options)
    async def dto_response() -> Response[Item]:
        return Response(Item(1), headers={"x-own": "2"})

    @get("/msgpack", media_type=MediaType.MESSAGEPACK, **options)
    async def msgpack() -> Item:
        return Item(1)

    @get("/text", media_type=MediaType.TEXT, sync_to_thread=True, **options)
    def text() -> str:
        return "bödy"

    @get("/redirect", status_code=301, **options)
    async def redirect() -> Redirect:
        return Redirect("/text", status_code=301)

    @get("/stream", **options)
    async def stream() -> Stream:
        return Stream(pieces(), media_type="text/plain")

    app = application(data, dto, response, dto_response, msgpack, text, redirect, stream)
    async with Client(app) as client:
        miss, hit = [await client.get("/" + kind.replace(" ", "-")) for _ in range(2)]
    assert [miss.hit, hit.hit] == [False, True]
    assert (hit.status, hit.body) == (miss.status, miss.body)
    ours = {b"etag", b"cache-control", b"content-length"}  # of a stream they are not known in time
    assert hit.fields() == miss.fields() or kind == "stream"
    assert [field for field in hit.fields() if field[0] not in ours] == [
        field for field in miss.fields() if field[0] not in ours
    ]
    assert (b"price" in hit.body) == (kind in {"data", "response", "msgpack"})


def test_openapi_is_unchanged_by_caching() -> None:
    """The schema is that of the same application without a cache."""

    def handlers() -> list[Any]:
        @get("/items/{id:int}", cache=60, sync_to_thread=True)
        def item(request: AnyRequest) -> Item:
            """Return an item."""
            return Item(1)

        @get("/items", opt={"cache": CachePolicy(ttl=5)}, summary="All of them")
        async def items(request: AnyRequest) -> list[Item]:
            """Return all."""
            return []

        return [item, items]

    plain = Litestar(handlers(), logging_config=None)
    assert application(*handlers()).openapi_schema.to_schema() == plain.openapi_schema.to_schema()


async def test_compression_stays_outside_and_identity_bytes_are_stored() -> None:
    """Each client gets its own encoding of one stored response."""
    runs: list[int] = []

    @get("/", cache=60, media_type=MediaType.TEXT)
    async def handler() -> str:
        runs.append(1)
        return "x" * 5000

    app = application(handler, compression_config=CompressionConfig(backend="gzip"))
    async with Client(app) as client:
        zipped = [await client.get("/", GZIP) for _ in range(2)]
        plain = await client.get("/")
    assert [answer.header("content-encoding") for answer in (*zipped, plain)] == ["gzip", "gzip", None]
    assert zipped[0].body == zipped[1].body != plain.body == b"x" * 5000
    assert (plain.hit, len(runs)) == (True, 1)


async def test_what_middleware_adds_is_added_once_to_hits_too() -> None:
    """The cache is inside of the middleware of every layer."""

    def adding(name: str) -> Any:
        def middleware(app: Any) -> Any:
            async def wrapped(scope: Any, receive: Any, send: Any) -> None:
                async def added(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        message["headers"].append((b"x-by", name.encode()))
                    await send(message)

                await app(scope, receive, added)

            return wrapped

        return middleware

    @get("/", cache=60, middleware=[adding("handler")])
    async def handler() -> str:
        return "x"

    router = Router("/", route_handlers=[handler], middleware=[adding("router")])
    async with Client(application(router, middleware=[adding("application")])) as client:
        for hit in (False, True):
            answer = await client.get("/")
            assert (answer.hit, answer.all("x-by")) == (hit, ["handler", "router", "application"])


async def test_declared_cookies_and_private_are_never_stored() -> None:
    """``response_cookies`` are for one client; a handler's own ``cache_control`` wins."""

    @get("/cookies", cache=60, response_cookies=[Cookie(key="a", value="b")])
    async def cookies() -> str:
        return "x"

    @get("/private", cache=60, response_headers={"Cache-Control": "private"})
    async def private() -> str:
        return "x"

    async with Client(application(cookies, private)) as client:
        for path, reason in (("/cookies", "set-cookie"), ("/private", "private")):
            for _ in range(2):
                answer = await client.get(path)
                assert answer.cache_status.endswith(f"; detail={reason}")


async def test_exceptions_are_answered_by_their_handlers_and_stored_only_if_the_policy_says_so() -> None:
    """What an exception handler makes of an exception is a response like any other."""

    def handle(_: Any, error: Exception) -> Response[str]:
        return Response(f"{error.args}", status_code=404)

    runs: list[int] = []

    async def raising() -> str:
        runs.append(1)
        raise NotFoundException(f"{len(runs)}")

    default = get("/default", cache=60)(raising)
    allowed = get("/allowed", opt={"cache": CachePolicy(ttl=60, statuses=[404])})(raising)
    app = application(default, allowed, exception_handlers={NotFoundException: handle})
    async with Client(app) as client:
        misses = [await client.get("/default") for _ in range(2)]
        miss, hit = [await client.get("/allowed") for _ in range(2)]
    assert [answer.cache_status for answer in misses] == ["asynccache; fwd=uri-miss; detail=status"] * 2
    assert (len(runs), hit.hit, hit.status, hit.body) == (3, True, 404, miss.body)


async def test_a_stale_response_stands_in_for_a_failure_that_is_still_reported() -> None:
    """``stale_if_error``: clients get the old response, after_exception hooks the exception."""
    clock = FakeClock()
    reported: list[Exception] = []
    failing = False

    async def report(error: Exception, _: Any) -> None:
        reported.append(error)

    @get("/", opt={"cache": CachePolicy(ttl=1, stale_if_error=60)})
    async def handler() -> str:
        if failing:
            raise OSError("disk")
        return "good"

    async with Client(application(handler, cache=configured(clock), after_exception=[report])) as client:
        await client.get("/")
        failing = True
        clock.advance(2)
        answer = await client.get("/")
    assert (answer.status, answer.text) == (200, "good")
    assert [str(error) for error in reported] == ["disk"]


async def test_refreshing_in_the_background_is_a_request_of_its_own() -> None:
    """It has no conditions, and what Litestar remembers of the first request is not taken for its own."""
    clock = FakeClock()
    seen: list[tuple[str | None, int]] = []
    made: list[int] = []

    async def number() -> int:
        made.append(1)
        return len(made)

    @get(
        "/",
        opt={"cache": CachePolicy(ttl=1, stale_while_revalidate=60)},
        dependencies={"n": Provide(number, use_cache=True)},
    )
    async def handler(request: AnyRequest, n: Number) -> str:
        seen.append((request.headers.get("if-none-match"), n))
        if len(seen) == 3:
            raise NotFoundException  # its handler is looked up in what Litestar remembers
        return f"{len(seen)}"

    def before(connection: Any, _: Any) -> None:
        assert connection.headers is connection.headers  # from now on Litestar remembers them

    async with Client(application(handler, cache=configured(clock), guards=[before])) as client:
        await client.get("/")
        for count in (2, 3):
            clock.advance(2)
            stale = await client.get("/", [("if-none-match", '"old"')])
            await until(lambda: len(seen) == count)  # noqa: B023 - called in this turn
            assert "detail=stale" in stale.cache_status
    assert [conditions for conditions, _ in seen] == [None, None, None]
