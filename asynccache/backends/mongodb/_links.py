"""The driver's client of an event loop: made when first needed, closed at the latest when the loop ends."""

from __future__ import annotations

import weakref
from asyncio import AbstractEventLoop, BaseProtocol, CancelledError
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from socket import socket
from traceback import walk_tb
from typing import Any, Final

from pymongo import timeout as within

from asynccache._engine.loopend import before_loop_ends
from asynccache._engine.perloop import PerLoop
from asynccache.backends.mongodb._settings import Settings
from asynccache.errors import ConfigurationError

__all__ = ["Link", "Links"]

Command = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]
_CLOSING_SECONDS: Final = 0.5


class Link:
    """A client and what has been found out about its server."""

    __slots__ = ("_command", "_keeper", "_settings", "database", "prepared", "write_concern")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keeper: AsyncGenerator[None, None] | None = None
        self._command: Command | None = None
        self.database: Any = None
        """The driver's; None before the first and after the last use."""
        self.write_concern: dict[str, Any] = {}
        self.prepared: set[str] = set()
        """The collections that have their index."""

    async def send(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Return the server's reply; raises whatever the driver does."""
        try:
            return await (self._command or self.connect())(command)
        except CancelledError as cancelled:
            _close_orphans(cancelled)
            raise

    def connect(self) -> Command:
        """Make the client, which connects by itself as soon as it is used."""
        make = self._settings.new_client
        if make is None:
            client = self._settings.client
        else:
            client = make()
            self._keeper = before_loop_ends(partial(_close, client))
        # The server's own default asks a majority, which a cache need not wait for.
        self.write_concern = client.write_concern.document or {"w": 1}
        self.database = client[self._settings.database]
        command: Command = self.database.command
        self._command = command
        return command

    async def close(self) -> None:
        """Close the client, unless it is the user's; the next use makes another."""
        keeper, self._keeper = self._keeper, None
        self._command = self.database = None
        self.prepared = set()
        if keeper is not None:
            await keeper.aclose()


async def _close(client: Any) -> None:
    # It begins by telling the server, which may be frozen. Cancelled, it would leave connections behind.
    with within(_CLOSING_SECONDS):
        await client.close()


def _close_orphans(cancelled: CancelledError) -> None:
    """Close what PyMongo 4.20 forgets where it is cancelled while it connects.

    Until the connection has its place in the pool, nothing but the driver's frames knows the socket, and then
    a pair of transport and protocol, which the event loop would keep open for ever.
    """
    for frame, _ in walk_tb(cancelled.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, socket):
                value.close()
                continue
            match getattr(value, "conn", None):
                case (transport, BaseProtocol()):
                    transport.abort()
                case _:
                    pass


class Links:
    """The links of all event loops."""

    __slots__ = ("_home", "_links", "_settings", "here")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home: weakref.ref[AbstractEventLoop] | None = None
        self._links = PerLoop(self._new)
        self.here = self._links.here
        """Returns the link of the running loop."""

    def _new(self, loop: AbstractEventLoop) -> Link:
        if self._settings.client is not None:
            if self._home is not None and self._home() is not loop:
                raise ConfigurationError(
                    f"mongodb: this {self._settings.where} belongs to another event loop: "
                    "give a URL, or a client for each loop"
                )
            self._home = weakref.ref(loop)
        return Link(self._settings)
