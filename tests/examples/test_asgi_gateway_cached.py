"""The gateway as its README starts it: what is cached, what passes, and what stands in for a dead origin."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from asynccache import CacheConfig
from asynccache.config import HTTPConfig
from examples.asgi_gateway.__main__ import FULL, PARSERS, SAFE, SERVER, main
from examples.asgi_gateway.gateway import create_app
from examples.asgi_gateway.origin import Origin
from tests.servers.process import ROOT
from tests.wire import Play, ScriptedOrigin, Wire, dialled, repeating, served

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
FRESH = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
STALE = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nCache-Control: max-age=0%s\r\nContent-Length: 2\r\n\r\nok'


@asynccontextmanager
async def serving(origin: ScriptedOrigin, http: HTTPConfig = SAFE) -> AsyncGenerator[int]:
    """Serve a gateway with a cache in front of ``origin``, and give the port."""
    app = create_app(Origin(f"http://127.0.0.1:{origin.port}"), CacheConfig(http=http))
    async with served(app, http=PARSERS["h11"], **SERVER) as port:
        yield port


@asynccontextmanager
async def gateway(*plays: Play, http: HTTPConfig = SAFE) -> AsyncGenerator[tuple[Wire, ScriptedOrigin]]:
    """Give a client's connection to a gateway with a cache, and the origin that plays behind it."""
    async with ScriptedOrigin(*plays) as origin, serving(origin, http) as port, dialled(port) as client:
        yield client, origin


async def ask(client: Wire, *fields: bytes) -> tuple[int, str]:
    """Return the status of a response whose content is ``ok``, and what the cache says of it."""
    await client.send(
        GET.replace(b"\r\n\r\n", b"\r\n" + b"".join(line + b"\r\n" for line in fields) + b"\r\n")
    )
    head = await client.head()
    if b"\r\ncontent-length: 2\r\n" in head:
        await client.exactly(b"ok")
    return int(head[9:12]), b"; ".join(re.findall(rb"cache-status: (.*)\r\n", head)).decode()


async def test_what_is_fresh_does_not_reach_the_origin() -> None:
    async with gateway(repeating(FRESH)) as (client, origin):
        assert await ask(client) == (200, "asynccache; fwd=uri-miss; stored")
        for _ in range(3):
            status, said = await ask(client)
            assert (status, said.startswith("asynccache; hit; ttl=")) == (200, True)
    assert len(origin.heads) == 1


async def test_a_hit_is_the_response_that_was_stored() -> None:
    async with gateway(repeating(FRESH.replace(b"\r\n", b"\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\n", 1))) as (
        client,
        _,
    ):
        heads: list[bytes] = []
        for _ in range(2):
            await client.send(GET)
            heads.append(await client.head())
            await client.exactly(b"ok")

    told, repeated = (
        [line for line in head.split(b"\r\n") if line[:2] in (b"x-", b"vi", b"da")] for head in heads
    )
    assert told == repeated
    assert len(told) == 5


async def test_what_is_stale_is_validated() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(STALE % b"")
        assert b'\r\nif-none-match: "1"\r\n' in await wire.head()
        await wire.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n")

    async with gateway(play) as (client, origin):
        await ask(client)
        status, said = await ask(client)

    assert status == 200
    assert "fwd=stale" in said
    assert len(origin.heads) == 2


async def test_events_pass_when_they_are_sent() -> None:
    heard = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n"
        )
        await wire.send(b"data: 1\n\n")
        await heard.wait()
        await wire.send(b"data: 2\n\n")

    async with gateway(play) as (client, _):
        await client.send(GET)
        await client.head()
        await client.exactly(b"9\r\ndata: 1\n\n\r\n")
        heard.set()
        await client.exactly(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")


async def test_parts_of_what_is_stored_are_not_held_back_either() -> None:
    heard = asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(FRESH.removesuffix(b"k"))
        await heard.wait()
        await wire.send(b"k")

    async with gateway(play) as (client, _):
        await client.send(GET)
        await client.head()
        await client.exactly(b"o")
        heard.set()
        await client.exactly(b"k")
        assert "hit" in (await ask(client))[1]


@pytest.mark.parametrize(
    "http, allowed, status",
    [
        (SAFE, b"", 502),
        (SAFE, b", stale-if-error=60", 200),
        (FULL, b"", 200),
        (FULL, b", must-revalidate", 502),
    ],
)
async def test_the_cache_stands_in_for_an_origin_that_is_gone(
    http: HTTPConfig, allowed: bytes, status: int
) -> None:
    async with gateway(repeating(STALE % allowed), http=http) as (client, origin):
        await ask(client)
        await origin.die()

        answer = await ask(client)

    assert answer[0] == status


async def test_a_response_that_breaks_off_is_not_stored() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(FRESH.removesuffix(b"k"))
        wire.close()

    async with ScriptedOrigin(play, repeating(FRESH)) as origin, serving(origin) as port:
        async with dialled(port) as client:
            await client.send(GET)
            await client.head()
            await client.exactly(b"o")
            assert await client.rest() == b""
        async with dialled(port) as client:
            assert await ask(client) == (200, "asynccache; fwd=uri-miss; stored")


@pytest.mark.parametrize("sent", [b"", FRESH.removesuffix(b"k")])
async def test_a_client_that_leaves_ends_the_request_to_the_origin(sent: bytes) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(sent)
        asked.set()
        await wire.rest()
        left.set()

    async with ScriptedOrigin(play, repeating(FRESH)) as origin, serving(origin) as port:
        async with dialled(port) as client:
            await client.send(GET)
            await asked.wait()
        await asyncio.wait_for(left.wait(), 30)
        async with dialled(port) as client:
            assert await ask(client) == (200, "asynccache; fwd=uri-miss; stored")


async def test_a_client_cannot_take_a_field_away_between_the_cache_and_the_origin() -> None:
    vary = FRESH.replace(b"\r\n", b"\r\nVary: accept-language\r\n", 1)
    async with gateway(repeating(vary)) as (client, origin):
        await ask(client, b"Accept-Language: de", b"Connection: keep-alive, accept-language")
        await ask(client, b"Accept-Language: de")

    assert [b"accept-language: de" in head for head in origin.heads] == [False, True]


async def test_interim_responses_pass_by_the_cache_and_are_not_stored() -> None:
    async with gateway(repeating(b"HTTP/1.1 103 X\r\nX-Hint: 1\r\n\r\n" + FRESH)) as (client, origin):
        await client.send(GET)
        interim = await client.head()
        assert b" 103 " in interim
        assert b"\r\nx-hint: 1\r\n" in interim
        assert b"cache-status" not in interim
        head = await client.head()
        assert b"cache-status: asynccache; fwd=uri-miss; stored\r\n" in head
        assert b"x-hint" not in head
        await client.exactly(b"ok")

        await client.send(GET)
        head = await client.head()
        assert b"cache-status: asynccache; hit" in head
        assert b"x-hint" not in head
        await client.exactly(b"ok")
    assert len(origin.heads) == 1


async def test_an_interim_response_does_not_follow_an_answer_from_the_cache() -> None:
    revalidate, asked = b", stale-while-revalidate=60", asyncio.Event()

    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(STALE % revalidate)
        await wire.head()
        await wire.send(b"HTTP/1.1 103 X\r\n\r\n" + STALE % revalidate)
        asked.set()
        await wire.rest()

    async with gateway(play) as (client, _):
        await ask(client)
        assert (await ask(client))[0] == 200
        await asyncio.wait_for(asked.wait(), 30)
        assert (await ask(client))[0] == 200


async def test_a_response_is_stored_without_its_transfer_coding() -> None:
    async def play(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: foo\r\n\r\nok")

    async with gateway(play) as (client, origin):
        await client.send(GET)
        await client.head()
        await client.exactly(b"2\r\nok\r\n0\r\n\r\n")
        status, said = await ask(client)
        assert (status, said.startswith("asynccache; hit; ttl=")) == (200, True)
    assert origin.connections == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Ctrl-C for one process")
def test_the_command_of_the_readme_serves_until_it_is_told_to_end() -> None:
    readme = (ROOT / "examples" / "asgi_gateway" / "README.md").read_text(encoding="utf-8")
    shown = r"^python (-m examples\.asgi_gateway) --origin http://127\.0\.0\.1:8000 --port 8080$"
    line = re.search(shown, readme, re.MULTILINE)
    assert line
    command = [sys.executable, *line[1].split(), "--origin", "http://127.0.0.1:9", "--port", "0", "--full"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        url = re.findall(r"http://127\.0\.0\.1:\d+$", told.strip())
        assert url, told
        assert httpx.get(url[0], timeout=30).status_code == 502
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["--origin", "nonsense"], ["--origin", "http://h", "--cache", "nonsense://user:secret@h"]]
)
def test_what_cannot_start_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1

    said = capsys.readouterr().err
    assert said.startswith("The gateway cannot start: ")
    assert "secret" not in said


@pytest.mark.parametrize(
    "argument,values", [("port", ["-1", "65536", "x", "80.5"]), ("timeout", ["0", "-1", "nan", "inf", "x"])]
)
def test_options_that_cannot_be_are_named(
    argument: str, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        with pytest.raises(SystemExit):
            main(["--origin", "http://127.0.0.1:9", f"--{argument}={value}"])
        assert re.search(rf"argument --{argument}: invalid \w+ value: '{value}'", capsys.readouterr().err)
