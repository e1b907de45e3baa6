"""Both ends of HTTP as bytes: an origin that plays a script, and a client that says anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import uvicorn

__all__ = ["Play", "ScriptedOrigin", "Wire", "dialled", "repeating", "served"]

_NO_HANG = 30.0
"""Seconds after which something that should have happened will not."""


class Wire:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> bytes:
        """Return the next head of a message with its empty line; b"" at the end."""
        try:
            return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), _NO_HANG)
        except asyncio.IncompleteReadError:
            return b""

    async def exactly(self, expected: bytes) -> None:
        """Read what must come next."""
        assert await asyncio.wait_for(self._reader.readexactly(len(expected)), _NO_HANG) == expected

    async def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; fewer if the other end closes the connection, however it does."""
        try:
            return await asyncio.wait_for(self._reader.readexactly(count), _NO_HANG)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionError:
            return b""

    async def line(self) -> bytes:
        """Return the next line without its end; b"" if the other end closes the connection before."""
        try:
            line = await asyncio.wait_for(self._reader.readuntil(b"\r\n"), _NO_HANG)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return line.removesuffix(b"\r\n")

    async def rest(self) -> bytes:
        """Return all that comes until the other end closes the connection, however it does."""
        parts: list[bytes] = []
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(self._reader.read(65536), _NO_HANG):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """End the connection with a RST, if it has not ended."""
        sock = self._writer.get_extra_info("socket")
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Play = Callable[[Wire], Awaitable[None]]


def repeating(response: bytes) -> Play:
    """Answer every request on a connection alike."""

    async def play(wire: Wire) -> None:
        while await wire.head():
            await wire.send(response)

    return play


class ScriptedOrigin:
    """A server that plays a script on each connection, and remembers the heads of all requests."""

    def __init__(self, *plays: Play, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._plays = plays
        self._wires: list[Wire] = []
        self._playing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.heads: list[bytes] = []
        self.port = 0

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._wires)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    async def die(self) -> None:
        """Reset all connections and accept none any more."""
        self._server.close()
        for wire in self._wires:
            wire.reset()
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._accept(reader, writer))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = _Remembering(reader, writer, self.heads)
        play = self._plays[min(len(self._wires), len(self._plays) - 1)]
        self._wires.append(wire)
        try:
            await play(wire)
        except ConnectionError:
            pass
        finally:
            wire.close()


class _Remembering(Wire):
    def __init__(self, reader: Any, writer: Any, heads: list[bytes]) -> None:
        super().__init__(reader, writer)
        self._heads = heads

    async def head(self) -> bytes:
        head = await super().head()
        if head:
            self._heads.append(head)
        return head


@asynccontextmanager
async def dialled(port: int) -> AsyncGenerator[Wire]:
    """Give a client's end of a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class _Server(uvicorn.Server):
    """uvicorn in the loop of a test: signals are pytest's, and nothing is polled."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.enough = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        await self.enough.wait()


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncGenerator[int]:
    """Serve ``app`` in this loop, with uvicorn's ``options``, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, **options))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await asyncio.wait_for(server.up.wait(), _NO_HANG)
            assert server.started
            yield listener.getsockname()[1]
        finally:
            server.enough.set()
            await serving
