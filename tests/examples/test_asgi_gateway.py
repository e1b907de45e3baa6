"""The gateway without its cache, byte by byte: what reaches the origin, and what reaches the client."""

import asyncio
import re
import ssl
from pathlib import Path

import pytest

from examples.asgi_gateway.__main__ import SERVER
from examples.asgi_gateway.gateway import Edge, Gateway
from examples.asgi_gateway.origin import Origin
from tests.examples.gateways import CHUNKED, OK, answer_to, body, gateway, get, lines
from tests.servers.certificates import issue
from tests.wire import ScriptedOrigin, Wire, dialled, repeating, served

SOON = 0.2
"""The patience of a gateway whose origin is not to answer."""
PARSERS = pytest.mark.parametrize("http", ["h11", "httptools"])


# -- the request ---------------------------------------------------------------------------------------------


@PARSERS
async def test_a_request_reaches_the_origin_as_it_was_sent(http: str) -> None:
    sent = get(
        "X-B: 2",
        "X-A: 1",
        "x-b: \u00e9",
        "X-Empty:",
        "Accept: a,b;q=0",
        target="/a%2fb//%C3%A9/../?x=%20&&y=+",
    )

    _, [head] = await answer_to(sent, http=http)

    assert lines(head) == [
        b"GET /a%2fb//%C3%A9/../?x=%20&&y=+ HTTP/1.1",
        b"host: h",
        b"x-b: 2",
        b"x-a: 1",
        "x-b: \u00e9".encode(),
        b"x-empty: ",
        b"accept: a,b;q=0",
        b"via: 1.1 asynccache",
    ]


async def test_fields_of_one_hop_stay_there() -> None:
    hop = ["Keep-Alive: 9", "TE: trailers", "Proxy-Connection: x", "Trailer: a", "Proxy-Authorization: b"]

    _, [head] = await answer_to(
        get("Connection: X-Mine, host", "X-Mine: 1", "Upgrade: h2c", *hop, "X-Last: 1")
    )

    assert lines(head)[1:] == [b"host: h", b"x-last: 1", b"via: 1.1 asynccache"]


async def test_via_comes_after_that_of_earlier_proxies() -> None:
    response = b"HTTP/1.0 200 OK\r\nVia: 1.1 b\r\nContent-Length: 2\r\n\r\nok"
    request = b"GET / HTTP/1.0\r\nHost: h\r\nVia: 1.1 a\r\n\r\n"

    got, [head] = await answer_to(request, response)

    assert [line for line in lines(head) if line.startswith(b"via")] == [
        b"via: 1.1 a",
        b"via: 1.0 asynccache",
    ]
    assert [line for line in lines(got) if line.startswith(b"via")] == [b"via: 1.1 b", b"via: 1.0 asynccache"]


async def test_the_origin_gets_its_own_name_on_demand() -> None:
    async with gateway(repeating(OK), change_host=True) as (client, origin):
        await client.send(get())
        await client.rest()

    assert b"host: 127.0.0.1:%d" % origin.port in lines(origin.heads[0])


async def test_a_request_without_host_gets_one() -> None:
    _, [head] = await answer_to(b"GET / HTTP/1.0\r\n\r\n")

    assert re.fullmatch(rb"host: 127\.0\.0\.1:\d+", lines(head)[1])


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_what_cannot_be_passed_on_is_refused_and_the_connection_with_it(
    request_: bytes, status: int
) -> None:
    got, heads = await answer_to(request_ + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert got.count(b"HTTP/1.1") == 1
    assert heads == []


async def test_max_forwards_is_counted_down_to_here() -> None:
    _, [head] = await answer_to(get("Max-Forwards: 1", method="OPTIONS", target="*"))
    assert lines(head)[0] == b"OPTIONS * HTTP/1.1"
    assert b"max-forwards: 0" in lines(head)

    got, heads = await answer_to(get("Max-Forwards: 0", method="OPTIONS"))
    assert got.startswith(b"HTTP/1.1 200 ")
    assert heads == []


# -- the request's content -----------------------------------------------------------------------------------


@PARSERS
async def test_content_is_passed_on_as_it_arrives(http: str) -> None:
    came = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(b"one")
        came.set()
        await wire.exactly(b"two")
        await wire.send(OK)

    async with gateway(play, http=http) as (client, origin):
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nConnection: close\r\n\r\none")
        await came.wait()
        await client.send(b"two")
        assert body(await client.rest()) == b"ok"

    assert b"content-length: 6" in lines(origin.heads[0])


@PARSERS
async def test_chunked_content_stays_chunked(http: str) -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(b"3\r\none\r\n0\r\n\r\n")
        await wire.send(OK)

    async with gateway(play, http=http) as (client, origin):
        await client.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3;ext=1\r\none\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
        assert body(await client.rest()) == b"ok"

    assert b"transfer-encoding: chunked" in lines(origin.heads[0])


async def test_an_origin_may_answer_before_it_has_read_everything() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nless")

    async with gateway(play) as (client, _):
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegin")
        assert b" 413 " in await client.head()
        await client.exactly(b"less")


# -- the response --------------------------------------------------------------------------------------------


@PARSERS
async def test_a_response_reaches_the_client_as_it_was_sent(http: str) -> None:
    response = (
        b"HTTP/1.1 299 Whatever\r\nCache-Control: max-age=1\r\nSet-Cookie: b=2\r\n"
        b'CACHE-CONTROL:private , x=""\r\nExpires: 0\r\nAge: -1, abc\r\nX-Empty:\r\nX-Raw: \xe9\xff\r\n'
        b"Set-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok"
    )

    got, _ = await answer_to(get(), response, http=http)

    assert [line for line in lines(got) if line != b"connection: close"] == [
        b"HTTP/1.1 299 ",
        b"cache-control: max-age=1",
        b"set-cookie: b=2",
        b'cache-control: private , x=""',
        b"expires: 0",
        b"age: -1, abc",
        b"x-empty: ",
        b"x-raw: \xe9\xff",
        b"set-cookie: a=1",
        b"content-length: 2",
        b"via: 1.1 asynccache",
    ]
    assert body(got) == b"ok"


async def test_fields_of_one_hop_do_not_come_back() -> None:
    hop = b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTrailer: a\r\nUpgrade: h2\r\nX-Mine: 1\r\n"

    got, _ = await answer_to(get(), OK.replace(b"\r\n", b"\r\nConnection: x-mine, keep-alive\r\n" + hop, 1))

    assert lines(got)[1:] == [b"content-length: 2", b"via: 1.1 asynccache", b"connection: close"]


async def test_a_date_is_added_only_where_there_is_none() -> None:
    dated, _ = await answer_to(get(), OK.replace(b"\r\n", b"\r\nDate: yesterday\r\n", 1))
    assert re.findall(rb"date: (.*)\r\n", dated) == [b"yesterday"]

    undated, _ = await answer_to(get())
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n", undated)


@PARSERS
@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_that_has_no_content_ends_with_its_head(status: int, http: str) -> None:
    response = b"HTTP/1.1 %d X\r\nETag: x\r\nContent-Length: 7\r\n\r\n" % status
    async with gateway(repeating(response), http=http) as (client, origin):
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"etag: x" in await client.head()
    assert origin.connections == 1


@PARSERS
async def test_head_has_the_fields_of_get_and_no_content(http: str) -> None:
    async with gateway(repeating(OK.removesuffix(b"ok")), http=http) as (client, _):
        for _ in range(2):
            await client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"content-length: 2" in await client.head()


@PARSERS
async def test_parts_of_a_response_are_not_held_back(http: str) -> None:
    came = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        await wire.send(b"one")
        await came.wait()
        await wire.send(b"two")

    async with gateway(play, http=http) as (client, _):
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        await client.exactly(b"one")
        came.set()
        await client.exactly(b"two")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_response_that_ends_with_its_connection_is_complete(version: str) -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nall")

    async with gateway(play) as (client, _):
        await client.send(f"GET / HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = body(await client.rest())

    assert got == (b"all" if version == "1.0" else b"3\r\nall\r\n0\r\n\r\n")


@PARSERS
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none",
        CHUNKED + b"3\r\none\r\n",
        b"HTTP/1.1 200 OK\r\n\r\none",
    ],
)
async def test_a_response_that_breaks_off_is_not_taken_for_complete(head: bytes, http: str) -> None:
    came = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(head)
        await came.wait()
        wire.reset()

    async with gateway(play, http=http) as (client, _):
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        got = await client.head()
        await client.exactly(b"one" if b"content-length" in got else b"3\r\none\r\n")
        came.set()
        assert await client.rest() == b""


async def test_a_client_that_does_not_read_holds_the_origin_up() -> None:
    held = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        if await stuck(wire):
            held.set()

    async with gateway(play) as (client, _):
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(held.wait(), 30)


async def test_an_origin_that_does_not_read_holds_the_client_up() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await asyncio.Event().wait()

    async with gateway(play) as (client, _):
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n")
        assert await stuck(client)
        client.reset()


async def test_an_origin_that_neither_reads_nor_answers_is_a_gateway_timeout() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await asyncio.Event().wait()

    async with gateway(play, patience=SOON) as (client, _):
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n")
        sending = asyncio.create_task(client.send(bytes(64 * 1024 * 1024)))
        assert (await client.head()).startswith(b"HTTP/1.1 504 ")
        sending.cancel()
        client.reset()


async def stuck(wire: Wire) -> bool:
    """Send more than all buffers on the way can hold; return whether somebody stopped that."""
    try:
        for _ in range(64):
            await asyncio.wait_for(wire.send(bytes(1024 * 1024)), 1)
    except TimeoutError:
        return True
    return False


# -- an origin that fails ------------------------------------------------------------------------------------


async def test_an_origin_that_is_not_there_is_a_bad_gateway() -> None:
    async with gateway(repeating(OK)) as (client, origin):
        await origin.die()
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 502 ")
            await client.exactly(b"The origin does not answer.\n")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 O", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"]
)
async def test_what_is_no_answer_is_a_bad_gateway(answer: bytes) -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(answer)

    async with gateway(play) as (client, origin):
        await client.send(get())
        assert (await client.rest()).startswith(b"HTTP/1.1 502 ")
    assert len(origin.heads) == 1


async def test_an_origin_that_does_not_answer_in_time_is_a_gateway_timeout() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.rest()

    async with gateway(play, patience=SOON) as (client, _):
        await client.send(get())
        assert (await client.rest()).startswith(b"HTTP/1.1 504 ")


def pass_by(seconds: float) -> None:
    """Let time pass at once, for everything that waits in this loop."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign]


@pytest.mark.parametrize("pauses", [(15, 1), (8, 8), (1, 8), (8, 15, 8)])
async def test_a_client_that_takes_its_time_is_not_an_origin_that_does(pauses: tuple[int, ...]) -> None:
    async def play(wire: Wire) -> None:
        asked.set()
        await wire.head()
        await wire.exactly(b"late")
        pass_by(pauses[-1])
        await asyncio.sleep(0.05)
        await wire.send(OK)

    asked = asyncio.Event()
    async with gateway(play, patience=10) as (client, _):
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        await asked.wait()
        for pause in pauses[:-1]:
            pass_by(pause)
            await asyncio.sleep(0.05)
        await client.send(b"late")
        assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


@PARSERS
@pytest.mark.parametrize("sent", [b"", CHUNKED + b"3\r\none\r\n"])
async def test_a_client_that_leaves_ends_the_request_to_the_origin(sent: bytes, http: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(sent)
        asked.set()
        await wire.rest()
        left.set()

    async with gateway(play, http=http) as (client, _):
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asked.wait()
        client.close()
        await asyncio.wait_for(left.wait(), 30)


# -- connections ---------------------------------------------------------------------------------------------


@PARSERS
async def test_one_connection_serves_one_request_after_the_other(http: str) -> None:
    async with gateway(repeating(OK), http=http) as (client, origin):
        for _ in range(3):
            await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await client.head()
            await client.exactly(b"ok")
    assert (origin.connections, len(origin.heads)) == (1, 3)


@PARSERS
async def test_pipelined_requests_are_answered_in_their_order(http: str) -> None:
    async def play(wire: Wire) -> None:
        while head := await wire.head():
            await wire.send(OK.removesuffix(b"ok") + head[5:7])

    async with gateway(play, http=http) as (client, _):
        await client.send(b"".join(b"GET /%02d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(5)))
        for number in range(5):
            await client.head()
            await client.exactly(b"%02d" % number)


async def closing(wire: Wire) -> None:
    """Answer one request as if more could come, and close the connection at the next."""
    await wire.head()
    await wire.send(OK)
    await wire.head()


async def test_an_idle_connection_that_the_origin_closes_costs_nobody_anything() -> None:
    async with gateway(closing, repeating(OK)) as (client, origin):
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b" 200 " in await client.head()
            await client.exactly(b"ok")
    assert (origin.connections, len(origin.heads)) == (2, 3)


async def test_what_must_not_be_sent_twice_gets_a_connection_of_its_own() -> None:
    async with gateway(closing, repeating(OK)) as (client, origin):
        for head in (b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 0\r\n"):
            await client.send(head + b"Host: h\r\n\r\n")
            assert b" 200 " in await client.head()
            await client.exactly(b"ok")
    assert (origin.connections, len(origin.heads)) == (2, 2)


async def test_a_post_that_gets_no_answer_is_not_repeated() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()

    async with gateway(play) as (client, origin):
        await client.send(get("Content-Length: 0", method="POST"))
        assert (await client.rest()).startswith(b"HTTP/1.1 502 ")
    assert len(origin.heads) == 1


async def test_a_response_that_nobody_asked_for_is_nobodys() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await wire.rest()

    async with gateway(play, repeating(OK)) as (client, _):
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await client.head()
            await client.exactly(b"ok")


async def test_an_origin_may_want_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issue(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    async with ScriptedOrigin(repeating(OK), tls=tls) as origin:
        behind = Origin(f"https://localhost:{origin.port}")
        async with served(Edge(Gateway(behind)), **SERVER) as port, dialled(port) as client:
            for _ in range(2):
                await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await client.head()
                await client.exactly(b"ok")
    assert origin.connections == 1


async def test_no_websocket_passes() -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await Edge(Gateway(Origin("http://h")))({"type": "websocket"}, receive, send)

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1003)]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://h", "http://", "http://h/path", "http://user@h", "http://h:x"]
)
def test_an_origin_is_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match=r"origin must be|[Pp]ort"):
        Origin(url)
