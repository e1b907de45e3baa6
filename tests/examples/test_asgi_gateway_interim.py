"""Interim responses: from the origin through the gateway, and what uvicorn has been taught to send."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from examples.asgi_gateway.__main__ import PARSERS, SERVER
from examples.asgi_gateway.interim import INFORMATIONAL, InterimProtocol
from tests.examples.gateways import OK, answer_to, body, gateway, get, lines
from tests.wire import Wire, dialled, repeating, served

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-B: 1\r\nlink: </b>\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


# -- through the gateway -------------------------------------------------------------------------------------


async def test_interim_responses_are_passed_on_as_they_were_sent() -> None:
    async with gateway(repeating(PROCESSING + HINTS + OK)) as (client, origin):
        for _ in range(2):
            await client.send(GET)
            assert lines(await client.head()) == [b"HTTP/1.1 102 ", b"via: 1.1 asynccache"]
            assert lines(await client.head()) == [
                b"HTTP/1.1 103 ",
                b"link: </a>; rel=preload",
                b"x-b: 1",
                b"link: </b>",
                b"via: 1.1 asynccache",
            ]
            assert lines(await client.head())[:2] == [b"HTTP/1.1 200 OK", b"content-length: 2"]
            await client.exactly(b"ok")
    assert origin.connections == 1


async def test_an_interim_response_does_not_wait_for_the_final_one() -> None:
    told = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(HINTS)
        await told.wait()
        await wire.send(OK)

    async with gateway(play) as (client, _):
        await client.send(GET)
        assert b" 103 " in await client.head()
        told.set()
        assert b" 200 " in await client.head()


async def test_fields_of_one_hop_and_lengths_do_not_come_with_an_interim_response() -> None:
    hop = b"Connection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
    lengths = b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n"

    got, _ = await answer_to(get(), b"HTTP/1.1 103 X\r\n" + hop + lengths + b"X-Other: 1\r\n\r\n" + OK)

    assert lines(got) == [b"HTTP/1.1 103 ", b"x-other: 1", b"via: 1.1 asynccache"]
    assert lines(body(got))[0] == b"HTTP/1.1 200 OK"


async def test_who_serves_the_client_says_when_to_continue() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.exactly(b"ok")
        await wire.send(OK)

    async with gateway(play) as (client, _):
        await client.send(get("Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert (await client.head()).startswith(b"HTTP/1.1 100 ")
        await client.send(b"ok")
        assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def test_no_origin_can_switch_protocols() -> None:
    got, _ = await answer_to(get(), b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n" + OK)

    assert got.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("http, version", [("h11", "1.0"), ("httptools", "1.1")])
async def test_where_interim_responses_cannot_be_sent_they_are_skipped(http: str, version: str) -> None:
    request = f"GET / HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n".encode()

    got, _ = await answer_to(request, HINTS + OK, http=http)

    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1.1") == 1


async def test_an_origin_that_fails_after_an_interim_response_is_not_asked_again() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(OK)
        await wire.head()
        await wire.send(HINTS)

    async with gateway(play, repeating(OK)) as (client, origin):
        await client.send(GET)
        await client.head()
        await client.exactly(b"ok")
        await client.send(GET)
        assert b" 103 " in await client.head()
        assert b" 502 " in await client.head()
    assert origin.connections == 1


# -- uvicorn's part ------------------------------------------------------------------------------------------


def serving(app: Any) -> AbstractAsyncContextManager[int]:
    return served(app, http=InterimProtocol, **SERVER | {"lifespan": "off"})


async def hint(send: Any, status: int = 103, value: bytes = b"1") -> None:
    await send({"type": INFORMATIONAL, "status": status, "headers": [(b"x", value)]})


async def answer(send: Any, part: bytes = b"ok", *, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": part, "more_body": more})


async def test_an_application_is_told_that_it_may_send_interim_responses() -> None:
    offered: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        offered.append(INFORMATIONAL in (scope.get("extensions") or ()))
        await answer(send)

    async with serving(app) as port:
        for version in (b"1.1", b"1.0"):
            async with dialled(port) as client:
                await client.send(b"GET / HTTP/%s\r\nHost: h\r\n\r\n" % version)
                await client.head()

    assert offered == [True, False]


async def test_an_interim_response_is_dropped_once_the_response_has_begun() -> None:
    late: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            late.append(send)
            await answer(send, b"o", more=True)
            await hint(send)
            await send({"type": "http.response.body", "body": b"k"})
            await hint(send)
        else:
            await hint(late[0])  # this would be taken for one of the second response
            await answer(send)

    async with (
        served(app, http=InterimProtocol, **SERVER | {"lifespan": "off"}) as port,
        dialled(port) as client,
    ):
        for target in (b"/first", b"/second"):
            await client.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
            assert b" 200 " in await client.head()
            await client.exactly(b"ok")


async def test_an_interim_response_to_a_client_that_has_gone_goes_nowhere() -> None:
    asked, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asked.set()
        assert (await receive())["type"] == "http.disconnect"
        await hint(send)
        done.set()

    async with serving(app) as port:
        async with dialled(port) as client:
            await client.send(GET)
            await asked.wait()
        await asyncio.wait_for(done.wait(), 30)


async def test_interim_responses_are_sent_no_faster_than_they_are_read() -> None:
    held = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for _ in range(1000):
                await asyncio.wait_for(hint(send, value=b"x" * 60_000), 1)
        except TimeoutError:
            held.set()
        await answer(send)

    async with serving(app) as port, dialled(port) as client:
        await client.send(GET)
        await asyncio.wait_for(held.wait(), 30)
        client.reset()


async def test_101_is_no_interim_response() -> None:
    refused: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await hint(send, 101)
        except ValueError as error:
            refused.append(error)
        await answer(send)

    async with (
        served(app, http=InterimProtocol, **SERVER | {"lifespan": "off"}) as port,
        dialled(port) as client,
    ):
        await client.send(GET)
        assert b" 200 " in await client.head()
    assert len(refused) == 1


def test_the_gateway_speaks_http_with_it_by_default() -> None:
    assert PARSERS["h11"] is InterimProtocol
