"""A cluster: which keys go together, and what to do when the servers are no longer where they were."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection

from asynccache.backends.redis._failure import LOST
from asynccache.backends.redis._keys import slot
from asynccache.backends.redis._link import AT_ONCE, Call, Link
from asynccache.backends.redis._scripts import Command

__all__ = ["ClusterLink"]

_LEARNING_SECONDS: Final = 5.0
_REST_SECONDS: Final = 0.5
"""Between two looks at the cluster's layout."""


class ClusterLink(Link):
    """A cluster.

    The client learns the layout at its first command and again after a lost connection, and where that is
    cancelled it closes all connections, other callers' too. So it does so in a task of ours. A command
    that is cancelled before it times out teaches it nothing: after such, too, we look again.

    Args:
        client: The driver's client.
        slots: Commands under way at once.
        patience: Seconds.
        owned: False for a user's client: it is never closed.
    """

    def __init__(self, client: RedisCluster, slots: int, patience: float, *, owned: bool) -> None:
        super().__init__(slots, patience)
        self._client = client
        self._owned = owned
        self._starting: Task[Any] | None = None
        self._looking: Task[None] | None = None
        self._moved = 0

    def groups(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return ``keys`` by slot."""
        by_slot: dict[int, list[list[bytes]]] = {}
        for key in keys:
            parts = by_slot.setdefault(slot(key), [[]])
            if len(parts[-1]) >= AT_ONCE:
                parts.append([])
            parts[-1].append(key)
        return [part for parts in by_slot.values() for part in parts]

    async def connect(self) -> None:
        """Learn the layout, and ask a server for a sign of life."""
        await self._ready()
        await self._on(self._client.get_random_node(), "PING")

    async def servers(self) -> list[Call]:
        """Return every primary."""
        await self._ready()
        return [partial(self._within, self._on, node) for node in self._client.get_primaries()]

    async def _on(self, node: Any, *command: bytes | str | int) -> Any:
        try:
            return await node.execute_command(*command)
        except (*LOST, asyncio.CancelledError):
            self._look_again()
            raise

    def listener(self) -> AbstractConnection:
        """Return a connection to some server: a message reaches all of them."""
        node = self._client.get_random_node()
        connection: AbstractConnection = node.connection_class(**node.connection_kwargs)
        return connection

    def _call(self, *command: bytes | str | int) -> Awaitable[Any]:
        return self._attempt(self._client.execute_command, *command)

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = await self._attempt(self._run, commands)
        if any(isinstance(reply, LOST) for reply in replies):
            self._look_again()
        return replies

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self._client.pipeline()
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)

    async def _attempt(self, run: Call, *args: Any) -> Any:
        client = self._client
        await self._ready()
        try:
            return await run(*args)
        except (*LOST, asyncio.CancelledError):
            self._look_again()
            raise
        finally:
            if client.reinitialize_counter != self._moved:
                self._moved = client.reinitialize_counter
                self._look_again()

    async def _ready(self) -> None:
        """Wait until the client knows the layout."""
        if not self._client._initialize:  # noqa: SLF001 - the client's only word on it
            return
        starting = self._starting
        if starting is None:
            starting = self._starting = asyncio.create_task(self._start())
            starting.add_done_callback(self._forget)
        await asyncio.shield(starting)

    async def _start(self) -> None:
        await self._client.initialize()

    def _forget(self, task: Task[Any]) -> None:
        if self._starting is task:
            self._starting = None
        if not task.cancelled():
            task.exception()  # whoever still waited has it; nobody may be left

    def _look_again(self) -> None:
        """Ask the cluster for its layout, soon, unless that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_LEARNING_SECONDS):
                await self._client.nodes_manager.initialize()
        except (*LOST, TimeoutError):
            pass  # the next command that fails asks again
        await asyncio.sleep(_REST_SECONDS)

    async def _disconnect(self) -> None:
        for task in (self._starting, self._looking):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._looking = None
        if self._owned:
            await self._client.aclose()
