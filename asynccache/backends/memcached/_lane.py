"""The servers as one event loop sees them: who keeps a key now, and what one that returns is told."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Lock
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from asynccache._engine.loopend import before_loop_ends
from asynccache.backends.memcached._connection import Connection, LostError
from asynccache.backends.memcached._examining import examine
from asynccache.backends.memcached._location import Location, Options
from asynccache.backends.memcached._ring import Ring
from asynccache.backends.memcached._server import Server
from asynccache.backends.memcached._shelves import Shelf
from asynccache.protocols import BackendHealth

__all__ = ["Lane"]


class Lane:
    """What belongs to one event loop.

    A key is kept by the first server of its order that can be reached. What is written elsewhere than at home
    is outdated at home: a server that returns gets new marks, its own and, for what others kept meanwhile,
    theirs, before anybody here uses it. Writes wait for that; reads go on where the key is kept meanwhile.

    Args:
        loop: The loop.
        locations: The servers.
        options: How to speak to them.
    """

    def __init__(self, loop: AbstractEventLoop, locations: Sequence[Location], options: Options) -> None:
        self.several = len(locations) > 1
        self.servers = [
            Server(loop, location, options, self._welcome, marked=self.several) for location in locations
        ]
        self._ring = Ring([str(location) for location in locations])
        self._only = self.servers[0].home
        self._turns: dict[bytes, tuple[Lock, list[None]]] = {}
        self._life: AsyncGenerator[None, None] | None = None

    @property
    def item_size(self) -> int:
        """Bytes of the largest item that all servers take which said so; 0 if none did."""
        if not self.several:
            return self._only.server.item_size
        return min((server.item_size for server in self.servers if server.item_size), default=0)

    def ready(self, name: bytes, *, writes: bool) -> Shelf | None:
        """Return the shelf that keeps ``name`` now, if it can be asked at once: before the next `await`.

        Args:
            name: The key's name.
            writes: Whether something is going to be changed.
        """
        if not self.several:
            return self._only if self._only.server.ready() else None
        home = self.servers[self._ring.home(name)]
        if not home.down:
            return home.home if home.ready() else None
        skipped: list[Server] = []
        for place in self._ring.order(name):
            server = self.servers[place]
            if server.down:
                server.retry()
                if writes and server.returning:
                    return None
                skipped.append(server)
            elif not server.ready():
                return None
            else:
                if writes:
                    for other in skipped:
                        other.outdated = True
                return server.away
        return None

    async def reach(self, name: bytes, *, writes: bool) -> Shelf:
        """Return the same, connecting to a server if need be.

        Raises:
            LostError: no server can be reached.
        """
        if self._life is None:
            self._begin()
        order = [self.servers[place] for place in self._ring.order(name)]
        failed: dict[Server, LostError] = {}
        while (shelf := self.ready(name, writes=writes)) is None:
            up = [server for server in order if not server.down or (writes and server.returning)]
            # Where all are down they are asked all the same: it may be early, but nobody else is left.
            server = next((server for server in up or order if server not in failed), None)
            if server is None:
                raise next(iter(failed.values()))
            try:
                await (await server.connected()).writable()
            except LostError as lost:
                failed[server] = lost
        return shelf

    async def spread(self, names: Iterable[bytes], *, writes: bool) -> dict[Shelf, list[bytes]]:
        """Return the shelves that keep ``names`` now, for use before the next `await`.

        Raises:
            LostError: no server can be reached.
        """
        if not self.several:
            only = self.ready(b"", writes=writes) or await self.reach(b"", writes=writes)
            return {only: list(names)}
        while True:
            shelves: dict[Shelf, list[bytes]] = {}
            for name in names:
                shelf = self.ready(name, writes=writes)
                if shelf is None:
                    await self.reach(name, writes=writes)
                    break
                shelves.setdefault(shelf, []).append(name)
            else:
                return shelves

    async def _welcome(self, server: Server, connection: Connection) -> None:
        """Empty the shelves that ``server`` has, and those on which others kept its keys meanwhile."""
        await server.home.renew(connection)
        await server.away.renew(connection)
        for other in self.servers:
            if other is server:
                continue
            if not other.down:
                try:
                    await other.away.renew(await other.connected())
                    continue
                except LostError:
                    pass
            other.outdated = True  # it is told when it returns

    @asynccontextmanager
    async def turn(self, name: bytes) -> AsyncGenerator[None, None]:
        """Let one task of this loop at a time read and replace what is under ``name``."""
        lock, users = self._turns.setdefault(name, (Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                del self._turns[name]

    # -- life -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to all servers.

        Raises:
            LostError: none of them can be reached.
        """
        self._begin()
        attempts = [server.connected() for server in self.servers]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(failed) == len(outcomes):
            raise failed[0]

    async def health(self) -> BackendHealth:
        """Ask the servers what they say of themselves."""
        self._begin()
        return await examine(self.servers)

    async def aclose(self) -> None:
        """Close the connections."""
        life, self._life = self._life, None
        if life is not None:
            await life.aclose()

    def _begin(self) -> None:
        """See to it that the connections are closed with the loop, if nobody closes them before."""
        if self._life is None:
            self._life = before_loop_ends(self._close)

    async def _close(self) -> None:
        for server in self.servers:
            await server.aclose()
