"""Memcached for tests: one server a run, and more for the tests that need several, TLS, or a crash."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.servers.process import ServerProcess, running
from tests.servers.provision import program, provided

__all__ = ["MemcachedServer", "memcached_command"]


class MemcachedServer:
    """A server, and what tests want to know of it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 11211

    def fresh_url(self) -> str:
        """Return a URL for one test: memcached has no databases, so tests keep apart by their keys."""
        return self.url

    def url_via(self, port: int) -> str:
        """Return the URL of the same server through a proxy on 127.0.0.1."""
        return f"memcached://127.0.0.1:{port}"

    async def ask(self, request: bytes, end: bytes = b"\r\n") -> bytes:
        """Send ``request`` on a connection of its own and return the answer, which ends with ``end``."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            return await reader.readuntil(end)
        finally:
            writer.close()
            await writer.wait_closed()

    async def connections(self) -> int:
        """Return how many client connections the server has, this one left out."""
        stats = await self.ask(b"stats conns\r\n", b"END\r\n")
        return sum(b":listen_addr " in line for line in stats.splitlines()) - 1


def memcached_command(*arguments: str) -> list[str]:
    """Return the command line of a server on a free port of 127.0.0.1."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    listen = ["-l", "127.0.0.1", "-p", "{port}", "-U", "0"]
    return [program("memcached"), *user, *listen, "-t", "2", "-m", "64", *arguments]


@contextmanager
def _start() -> Generator[MemcachedServer]:
    with running(memcached_command()) as process:
        yield MemcachedServer(f"memcached://127.0.0.1:{process.port}")
        process.kill()  # it would take a second to end by itself


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    """Give the one server of the run."""
    with provided(
        "memcached",
        at=MemcachedServer,
        url="memcached://{host}:{port}",
        start=_start,
        programs=("memcached",),
    ) as server:
        yield server


@pytest.fixture(scope="session")
def memcached_servers() -> Iterator[tuple[MemcachedServer, ...]]:
    """Give three servers for the run."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(_start()) for _ in range(3))


@pytest.fixture
def start_memcached() -> Iterator[Callable[..., ServerProcess]]:
    """Give a way to start servers of the test's own, to be killed, frozen and restarted."""
    with ExitStack() as stack:

        def start(*arguments: str) -> ServerProcess:
            process = stack.enter_context(running(memcached_command(*arguments)))
            stack.callback(process.kill)  # it would take a second to end by itself
            return process

        yield start
