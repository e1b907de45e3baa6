"""The middleware under uvicorn, with both of its parsers, spoken to over raw sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from asynccache import CacheConfig, CachePolicy, HTTPConfig
from asynccache.http import CacheMiddleware, MarkedApp
from tests.http_messages import Reply, read_reply, request
from tests.http_middleware.asgi_client import until
from tests.http_middleware.tiny_apps import respond
from tests.wire import dialled


class Server:
    """An application in a server in a thread."""

    def __init__(self, parser: str) -> None:
        self.runs: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        config = CacheConfig(http=HTTPConfig(coalesce_timeout=100))
        app = CacheMiddleware(MarkedApp(self.handle, CachePolicy(ttl=600)), config)
        settings: Any = {
            "http": parser,
            "lifespan": "off",
            "log_level": "warning",
            "host": "127.0.0.1",
            "port": 0,
        }
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, **settings))
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Count, wait for the gate, answer with the number of the run."""
        self.runs.append(scope["path"])
        body = f"run {len(self.runs)}".encode()
        self.arrived.set()
        await until(self.gate.is_set, 0.001)
        await respond(send, body)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        return port


@pytest.fixture(params=["h11", "httptools"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that ends with the test."""
    running = Server(request.param)
    running.thread.start()
    pause = threading.Event()
    while not running.uvicorn.started and running.thread.is_alive():
        pause.wait(0.005)
    try:
        yield running
    finally:
        running.gate.set()
        running.uvicorn.should_exit = True
        running.thread.join(30)


async def ask(server: Server, data: bytes, method: str = "GET") -> Reply:
    async with dialled(server.port) as wire:
        await wire.send(data)
        return await read_reply(wire, method)


async def test_miss_hit_304_and_head(server: Server) -> None:
    """What clients see on the wire: bytes, lengths and no body where there must be none."""
    miss = await ask(server, request())
    hit = await ask(server, request())
    unchanged = await ask(server, request("/", f"If-None-Match: {hit.get('etag')}"))
    head = await ask(server, request(method="HEAD"), "HEAD")

    assert (miss.body, miss.cache_status) == (b"run 1", "asynccache; fwd=uri-miss; stored")
    assert (hit.body, hit.cache_status.startswith("asynccache; hit; ttl=")) == (b"run 1", True)
    assert (unchanged.status, unchanged.get("content-length")) == (304, "")
    assert (head.status, head.get("content-length")) == (200, "5")
    assert len(server.runs) == 1


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Hits, misses, HEAD and 304 on one connection do not get mixed up."""
    etag = (await ask(server, request("/a"))).get("etag")
    async with dialled(server.port) as wire:
        await wire.send(
            request("/a")
            + request("/b")
            + request("/a", method="HEAD")
            + request("/a", f"If-None-Match: {etag}")
            + request("/b")
        )
        replies = [await read_reply(wire, method) for method in ("GET", "GET", "HEAD", "GET", "GET")]

    assert [(reply.status, reply.body) for reply in replies] == [
        (200, b"run 1"), (200, b"run 2"), (200, b""), (304, b""), (200, b"run 2"),
    ]  # fmt: skip


async def test_the_leaders_client_leaves_and_the_followers_are_answered(server: Server) -> None:
    """One run, and everyone who is still there gets its answer."""
    server.gate.clear()
    async with dialled(server.port) as leader:
        await leader.send(request())
        await until(server.arrived.is_set, 0.001)
        followers = [asyncio.ensure_future(ask(server, request())) for _ in range(10)]
        await until(lambda: len(server.uvicorn.server_state.connections) >= 11, 0.001)
    await until(lambda: len(server.uvicorn.server_state.connections) <= 10, 0.001)
    server.gate.set()
    replies = await asyncio.gather(*followers)

    assert {reply.body for reply in replies} == {b"run 1"}
    assert len(server.runs) == 1


async def test_fifty_simultaneous_misses(server: Server) -> None:
    """Fifty connections, one run."""
    server.gate.clear()
    asked = [asyncio.ensure_future(ask(server, request())) for _ in range(50)]
    await until(server.arrived.is_set, 0.001)
    server.gate.set()
    replies = await asyncio.gather(*asked)
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"run 1")}
    assert len(server.runs) == 1


async def test_two_host_headers(server: Server) -> None:
    """The server refuses them, or the cache stays out of it."""
    await ask(server, request())
    for first, second in (("shop.test", "evil.test"), ("evil.test", "shop.test"), ("shop.test", "shop.test")):
        reply = await ask(server, request("/", f"Host: {second}", host=first))
        assert reply.status == 400 or reply.cache_status == "asynccache; fwd=bypass; detail=host"
    assert (await ask(server, request())).body == b"run 1"


async def test_absolute_form_targets_poison_nothing(server: Server) -> None:
    """What ``GET http://evil.test/x`` with our Host gets answers nobody at evil.test, nor another path."""
    await ask(server, request("http://evil.test/x"))
    runs = len(server.runs)
    assert (await ask(server, request("/x", host="evil.test"))).body == f"run {runs + 1}".encode()
    ours = await ask(server, request("/x"))
    seen = set(server.runs)
    assert ours.status == 200
    assert seen <= {"/x", "http://evil.test/x"}
    if "http://evil.test/x" in seen:
        assert not ours.cache_status.startswith("asynccache; hit")


async def test_encoded_paths_are_kept_apart(server: Server) -> None:
    """As the server passes them, raw."""
    targets = ["/a%2fb", "/a/b", "/a%ff", "/a%fe", "/a;x=1", "//a"]
    for _ in range(2):
        bodies = [(await ask(server, request(target))).body for target in targets]
        assert bodies == [f"run {number + 1}".encode() for number in range(len(targets))]
