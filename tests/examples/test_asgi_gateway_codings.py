"""Responses in other transfer codings than chunked alone: how they are read, and which are refused."""

import asyncio

import h11
import pytest

from examples.asgi_gateway.protocol import Protocol
from tests.examples.gateways import OK, answer_to, body, gateway, get, lines
from tests.wire import Play, Wire, repeating

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OLD_GET = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n"
"""The response to it ends with its connection, and has no framing of the gateway's."""
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def coded(*values: bytes, version: bytes = b"1.1", more: bytes = b"") -> bytes:
    """Return the head of a response in transfer codings."""
    codings = b"".join(b"Transfer-Encoding:" + value + b"\r\n" for value in values)
    return b"HTTP/" + version + b" 200 OK\r\nX-A: 1\r\n" + codings + b"X-B: 2\r\n" + more + b"\r\n"


def once(response: bytes) -> Play:
    """Answer one request, then close the connection."""

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(response)

    return play


async def gets(response: bytes, request: bytes = OLD_GET) -> bytes:
    """Return what a client gets from an origin that closes the connection."""
    async with gateway(once(response)) as (client, _):
        await client.send(request)
        return await client.rest()


async def ask_for_ok(client: Wire) -> None:
    await client.send(GET)
    assert b"\r\ncontent-length: 2\r\n" in await client.head()
    await client.exactly(b"ok")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("values", [[b" foo"], [b"Identity"], [b" foo,, bar "], [b" foo", b" bar"]])
async def test_a_word_that_is_no_coding_does_not_count(values: list[bytes], version: bytes) -> None:
    got = await gets(coded(*values, version=version) + b"all")

    via = b"via: " + version + b" asynccache"
    assert lines(got) == [b"HTTP/1.1 200 OK", b"x-a: 1", b"x-b: 2", via, b"connection: close"]
    assert body(got) == b"all"


@pytest.mark.parametrize(
    "values",
    [[b" foo, chunked"], [b"foo ,CHUNKED"], [b" foo", b" chunked"], [b" foo,\r\n chunked"], [b" chunked,"]],
)
async def test_where_chunked_is_final_the_response_ends_with_its_last_chunk(values: list[bytes]) -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(coded(*values) + b"3\r\nall\r\n0\r\n\r\n")
        await wire.rest()

    async with gateway(play) as (client, _):
        await client.send(OLD_GET)
        got = await client.rest()

    assert lines(got)[:3] == [b"HTTP/1.1 200 OK", b"x-a: 1", b"x-b: 2"]
    assert body(got) == b"all"


@pytest.mark.parametrize(
    "values",
    [
        [b" gzip"],
        [b" gzip, chunked"],
        [b" X-Gzip", b" chunked"],
        [b" br"],
        [b" foo, deflate, chunked"],
    ],
)
async def test_what_may_be_compressed_is_refused(values: list[bytes]) -> None:
    assert (await gets(coded(*values) + b"0\r\n\r\n")).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "values",
    [
        [b" chunked, foo"],
        [b" chunked", b" foo"],
        [b" chunked, chunked"],
        [b" xchunked"],
        [b" foo;q=1"],
        [b' "foo"'],
        [b" foo bar"],
        [b" foo\r\n chunked"],
        [b""],
        [b" ,"],
    ],
)
async def test_what_others_may_read_differently_is_refused(values: list[bytes]) -> None:
    assert (await gets(coded(*values) + b"0\r\n\r\n")).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("coding", [b" foo", b" foo, chunked"])
async def test_a_coding_beside_a_length_is_refused(coding: bytes) -> None:
    got = await gets(coded(coding, more=b"content-length: 5\r\n") + b"0\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 502 ")


async def test_a_connection_ends_with_a_response_that_had_other_codings() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(coded(b" foo, chunked") + b"0\r\n\r\n" + EVIL)
        await wire.rest()

    async with gateway(play, repeating(OK)) as (client, origin):
        await client.send(GET)
        assert b" 200 " in await client.head()
        await client.exactly(b"0\r\n\r\n")
        await ask_for_ok(client)
    assert origin.connections == 2


async def test_responses_without_content_may_have_any_coding() -> None:
    no_content = b"HTTP/1.1 304 X\r\nETag: x\r\nTransfer-Encoding: foo\r\n\r\n"
    async with gateway(repeating(coded(b" foo")), repeating(no_content), repeating(OK)) as (client, origin):
        await client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"x-b: 2" in await client.head()
        await client.send(GET)
        assert b"etag: x" in await client.head()
        await ask_for_ok(client)
    assert origin.connections == 3


async def test_parts_are_not_held_back() -> None:
    came = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(coded(b" foo") + b"one")
        await came.wait()
        await wire.send(b"two")

    async with gateway(play) as (client, _):
        await client.send(OLD_GET)
        await client.head()
        await client.exactly(b"one")
        came.set()
        assert await client.rest() == b"two"


async def test_a_response_that_breaks_off_is_not_taken_for_complete() -> None:
    came = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(coded(b" foo") + b"one")
        await came.wait()
        wire.reset()

    async with gateway(play) as (client, _):
        await client.send(GET)
        await client.head()
        await client.exactly(b"3\r\none\r\n")
        came.set()
        assert await client.rest() == b""


async def test_it_does_not_matter_how_a_head_arrives() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        for byte in coded(b" foo") + b"all":
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)

    async with gateway(play) as (client, _):
        await client.send(OLD_GET)
        assert body(await client.rest()) == b"all"


def test_it_may_have_arrived_with_its_end_before_it_is_read() -> None:
    http = Protocol()
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    http.send(h11.EndOfMessage())
    http.receive(coded(b" foo") + b"all")
    http.receive(b"")

    events = [http.next_event() for _ in range(3)]

    assert [type(event) for event in events] == [h11.Response, h11.Data, h11.EndOfMessage]
    assert not http.renew()


async def test_lines_may_end_without_a_carriage_return() -> None:
    got = await gets(coded(b" foo").replace(b"\r\n", b"\n") + b"all")

    assert lines(got)[:3] == [b"HTTP/1.1 200 OK", b"x-a: 1", b"x-b: 2"]
    assert body(got) == b"all"


async def test_interim_responses_before_it_are_passed_on_once() -> None:
    interim = b"HTTP/1.1 103 X\r\nX: 1\r\n\r\n"

    got = await gets(interim + interim + coded(b" foo") + b"all", get())

    assert got.count(b"HTTP/1.1 103 ") == 2
    assert b"\r\n3\r\nall\r\n" in got


async def test_the_request_goes_on_while_the_response_comes() -> None:
    begun = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(coded(b" foo") + b"one")
        await begun.wait()
        await wire.exactly(b"late")
        await wire.send(b"two")

    async with gateway(play) as (client, _):
        await client.send(b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        await client.head()
        await client.exactly(b"one")
        begun.set()
        await client.send(b"late")
        assert await client.rest() == b"two"


async def test_requests_in_other_codings_are_refused_as_ever() -> None:
    got, heads = await answer_to(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo, chunked\r\n\r\n0\r\n\r\n"
    )

    assert got.startswith(b"HTTP/1.1 400 ")
    assert heads == []
