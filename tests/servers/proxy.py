"""A TCP proxy that misbehaves: it chops, delays, freezes, resets, and closes half.

async with Proxy(port) as proxy:
proxy.chunk = 3          # at most so many bytes at once from the server, a turn of the loop in between
proxy.delay = 0.1        # seconds before each piece of an answer
proxy.freeze()           # connections stay, nothing passes in either direction, until thaw()
proxy.reset()            # every connection ends with a RST
proxy.half_close()       # every connection's answers end (FIN), its requests still pass
proxy.refuse = True      # new connections are reset at once
proxy.swallow = True     # requests pass, answers are lost
proxy.port, proxy.accepted, proxy.open
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]


class Proxy:
    """Stands between a client and the server on 127.0.0.1:``target``."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.chunk: int | None = None
        self.delay = 0.0
        self.refuse = False
        self.swallow = False
        self.accepted = 0
        """Connections accepted so far."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reset what is open and stop listening."""
        assert self._server is not None
        self.refuse = True
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self) -> None:
        """Let nothing pass."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let it pass again, what was held back first."""
        self._flows.set()

    def reset(self) -> None:
        """End every connection with a RST."""
        for client, server in list(self._pairs.items()):
            _reset(client)
            _reset(server)

    def half_close(self) -> None:
        """End the direction from the server to the client of every connection."""
        for client in list(self._pairs):
            with contextlib.suppress(OSError, RuntimeError):
                client.write_eof()

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.refuse:
            _reset(client)
            return
        self.accepted += 1
        task = asyncio.ensure_future(self._serve(reader, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: client.close())  # also if it ended before it began

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(client)
            return
        self._pairs[client] = server
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, server, answers=False))
                group.create_task(self._pump(answers, client, answers=True))
        except* (OSError, RuntimeError):
            pass  # a connection that ends is what this is for
        finally:
            self._pairs.pop(client, None)
            server.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if not answers:
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
                continue
            step = self.chunk or len(data)
            for start in range(0, len(data), step):
                await asyncio.sleep(self.delay)
                await self._flows.wait()
                if not self.swallow:
                    sink.write(data[start : start + step])
                    await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST instead of a FIN."""
    transport = writer.transport
    raw = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
