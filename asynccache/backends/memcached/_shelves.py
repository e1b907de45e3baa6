"""What makes everything that was put on a server unreadable at once, without touching what is not ours.

Where there are several servers, one that was out of reach may come back with values that were replaced or
deleted elsewhere in the meantime. So each server has two shelves: *home* for the keys that belong to it,
*away* for those it keeps while theirs is out of reach. Each has a mark, eight random bytes under a name of
its own on the server itself. Items carry the mark of their shelf, and the mark is read in the same request as
they are: an item with another one is a miss. Setting a new mark empties the shelf for everybody, in one step.
A mark that the server lost (a restart, an eviction) does the same: the next one is another.

A single server needs no marks: while it is out of reach nothing is replaced or deleted anywhere else.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from asynccache.backends.memcached._connection import Connection, LostError
from asynccache.backends.memcached._records import MARK, NO_MARK, Item

if TYPE_CHECKING:
    from asynccache.backends.memcached._server import Server

__all__ = ["AWAY_SECONDS", "Shelf"]

AWAY_SECONDS: Final = 60.0
"""The longest that a server keeps what belongs to another one: the bound on what a process that crashed
during an outage may have left behind."""


_ROUNDS: Final = 100


class Shelf:
    """A server, together with the mark under which its items count.

    Args:
        server: Where it is.
        name: The mark's name there; empty: a shelf without mark.
        longest: Seconds for which the server may keep anything.
    """

    __slots__ = ("ask", "get", "gets", "longest", "mark", "name", "server")

    def __init__(self, server: Server, name: bytes, longest: float) -> None:
        self.server = server
        self.name = name
        self.longest = longest
        self.mark: bytes | None = None if name else NO_MARK
        """As last seen."""
        self.get = b"get %b " % name if name else b"get "
        """How a request for items begins: with the mark's name, where there is one."""
        self.ask = b"get %b\r\n" % name if name else b""
        """A request for the mark alone."""
        self.gets = b"gets %b " % name if name else b"gets "

    @property
    def connection(self) -> Connection:
        """The server's connection, which the caller knows to be there."""
        connection = self.server.connection
        assert connection is not None  # noqa: S101 - for the type checkers
        return connection

    def see(self, found: dict[bytes, Item]) -> bytes | None:
        """Take the mark from what was ``found``, and remember it; None if the server has none."""
        if not self.name:
            return NO_MARK
        item = found.pop(self.name, None)
        self.mark = item.data if item is not None and item.flags == MARK and len(item.data) == 8 else None
        return self.mark

    async def known(self) -> bytes:
        """Return the mark: the one last seen, else the server's, else a new one."""
        for _ in range(_ROUNDS):
            if self.mark is not None:
                return self.mark
            found = (await self.connection.values(self.ask, self.name)).found
            # Whoever is first sets it; all others read it then. What is there and is no mark goes.
            command = b"set" if found else b"add"
            if self.see(found) is None:
                await self.connection.line(self._marking(command, token_bytes(8)))
        raise LostError("somebody removes our mark all the time")

    async def renew(self, connection: Connection) -> None:
        """Set a new mark: nothing on the shelf counts any more."""
        mark = token_bytes(8)
        await connection.line(self._marking(b"set", mark))
        self.mark = mark

    def _marking(self, command: bytes, mark: bytes) -> bytes:
        return b"%b %b %d 0 8\r\n%b\r\n" % (command, self.name, MARK, mark)
