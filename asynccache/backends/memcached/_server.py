"""A server as one event loop sees it: its connection, and whether it can be reached."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import AbstractEventLoop, Task
from collections.abc import Awaitable, Callable
from typing import Final

from asynccache.backends.memcached._connection import Connection, LostError
from asynccache.backends.memcached._keys import AWAY_MARK, HOME_MARK
from asynccache.backends.memcached._location import Location, Options
from asynccache.backends.memcached._shelves import AWAY_SECONDS, Shelf
from asynccache.errors import BackendTimeoutError

__all__ = ["ITEM_SIZE", "Server"]

ITEM_SIZE: Final = 2**20
"""What an item may take where the server does not say (``-I``)."""
_PATIENCE: Final = 0.01


class Server:
    """One server.

    Args:
        loop: The loop it is used from.
        location: Where it is.
        options: How to speak to it.
        marked: Whether its shelves need marks: there are other servers.
        on_return: Awaited with the new connection of a server that was out of reach, before it is used.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        location: Location,
        options: Options,
        on_return: Callable[[Server, Connection], Awaitable[None]],
        *,
        marked: bool,
    ) -> None:
        self.location = location
        self.connection: Connection | None = None
        self.home = Shelf(self, HOME_MARK if marked else b"", float("inf"))
        self.away = Shelf(self, AWAY_MARK if marked else b"", AWAY_SECONDS)
        self.down = False
        """Whether the last attempt to reach it failed."""
        self.returning = False
        """Whether it answers again, and is being told what it missed."""
        self.outdated = False
        """Whether something it may have was replaced or deleted elsewhere."""
        self.item_size = 0
        """Bytes of the largest item it takes; 0 before it said so."""
        self.version = ""
        self._loop = loop
        self._options = options
        self._on_return = on_return
        self._connecting: Task[Connection] | None = None
        self._retry_at = 0.0
        self._predecessors: set[str] = set()

    def ready(self) -> bool:
        """Return whether there is a connection to use at once."""
        connection = self.connection
        return connection is not None and connection.lost is None and not connection.paused

    async def connected(self) -> Connection:
        """Return the connection, made if there is none; all who wait share one attempt.

        Raises:
            LostError: the server cannot be reached.
        """
        connection = self.connection
        if connection is not None and connection.lost is None:
            return connection
        attempt = self._connecting or self._attempt()
        await asyncio.wait({attempt})
        if attempt.cancelled():
            raise LostError(f"{self.location}: closed while connecting")
        return attempt.result()

    def retry(self) -> None:
        """Try to reach it again, in the background, if that is due."""
        if self._connecting is None and self._loop.time() >= self._retry_at:
            self._attempt()

    async def aclose(self) -> None:
        """Close the connection; it can be used again."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self.connection is not None:
            self.connection.abort(LostError("the store was closed"))
            await self.connection.closed

    def _attempt(self) -> Task[Connection]:
        attempt = self._connecting = self._loop.create_task(self._connect())
        attempt.add_done_callback(self._attempted)
        return attempt

    def _attempted(self, attempt: Task[Connection]) -> None:
        self._connecting = None
        self.returning = False
        if not attempt.cancelled() and attempt.exception() is not None:
            self.down = True
            self._retry_at = self._loop.time() + self._options.retry_seconds

    async def _connect(self) -> Connection:
        if self.connection is not None:
            if self.connection.unanswered:
                self._predecessors.add(self.connection.seen_as)
            await self.connection.closed
        connection = Connection(self._loop, self._options.timeout)
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._loop.create_connection(
                    lambda: connection,
                    self.location.host,
                    self.location.port,
                    ssl=self._options.tls,
                    server_hostname=self.location.host if self._options.tls else None,
                )
                await self._greet(connection)
                if self.down and self.outdated:
                    self.returning = True
                    self.outdated = False
                    await self._on_return(self, connection)
        except BaseException as error:
            self.outdated |= self.returning
            connection.abort(LostError("never used"))
            with contextlib.suppress(asyncio.CancelledError):
                await connection.gone()
            match error:
                case LostError():
                    raise LostError(f"{self.location}: {error}", error.kind) from error
                case TimeoutError():
                    within = f"no answer within {self._options.connect_timeout:g} seconds"
                    raise LostError(f"{self.location}: {within}", BackendTimeoutError) from error
                case OSError():
                    raise LostError(f"{self.location}: {error}") from error
                case _:
                    raise
        self.connection = connection
        self.down = False
        return connection

    async def _greet(self, connection: Connection) -> None:
        """Make sure that somebody answers, and learn what there is to know.

        Nothing else is sent before: a server that accepts connections without answering gets no request that
        it may carry out much later.
        """
        if credentials := self._options.credentials:
            line = await connection.line(b"set auth 0 0 %d\r\n%b\r\n" % (len(credentials), credentials))
            if line != b"STORED":
                raise LostError(f"authentication failed: {line.decode('utf-8', 'replace')}")
        version = await connection.line(b"version\r\n", changes=False)
        if not version.startswith(b"VERSION "):
            raise LostError("no memcached server answers there")
        self.version = version[8:].decode("utf-8", "replace")
        size = (await connection.stats("settings")).get("item_size_max", "")
        self.item_size = int(size) if size.isdecimal() else ITEM_SIZE
        # What a connection that was given up had sent must not be carried out after what the next one sends.
        # A server that hung has it in its buffers; when it has closed that connection it is done with it.
        while self._predecessors:
            conns = await connection.stats("conns")
            self._predecessors &= {value for name, value in conns.items() if name.endswith(":addr")}
            if self._predecessors:
                await asyncio.sleep(_PATIENCE)
