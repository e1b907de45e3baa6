"""A cluster: which server a key is on, and what to do when it is no longer there.

The driver's client knows the layout and its nodes have the connections. How commands find their way is ours.
The driver sends ``ASKING`` and what is to follow it on two connections. When it is redirected, or cancelled
at the wrong moment, it closes all of them, other callers' too. From a call that is cancelled before it times
out it learns nothing.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import PipelineCommand
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError, MovedError, SlotNotCoveredError, TryAgainError

from asynccache.backends.redis._failure import LOST
from asynccache.backends.redis._keys import slot
from asynccache.backends.redis._link import AT_ONCE, Call, Link
from asynccache.backends.redis._scripts import Command, key_of

__all__ = ["ClusterLink"]

_LEARNING_SECONDS: Final = 5.0
_REST_SECONDS: Final = 0.5
"""Between two looks at the cluster's layout."""
_PAUSE_SECONDS: Final = 0.01
_ELSEWHERE: Final = (AskError, TryAgainError)  # MovedError is an AskError


class ClusterLink(Link):
    """A cluster.

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

    async def listener(self, channel: str) -> AbstractConnection:
        """Return a connection to the server that has the slot ``channel`` would have.

        There it is published, too. A message reaches all servers, but only those from one are in order.
        """
        await self._ready()
        node: Any = self._client.get_node_from_key(channel)
        connection: AbstractConnection = node.connection_class(**node.connection_kwargs)
        return connection

    # -- commands -----------------------------------------------------------------------------------------

    async def _call(self, *command: bytes | str | int) -> Any:
        await self._ready()
        try:
            return await self._on(self._node(command), *command)
        except _ELSEWHERE as exc:
            return await self._follow(command, exc)

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        await self._ready()
        calls = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
        by_node: dict[str, tuple[Any, list[PipelineCommand]]] = {}
        for call, command in zip(calls, commands, strict=True):
            try:
                node = self._node(command)
                by_node.setdefault(node.name, (node, []))[1].append(call)
            except SlotNotCoveredError as exc:
                call.result = exc
        await asyncio.gather(*(self._send(node, sent) for node, sent in by_node.values()))
        for call, command in zip(calls, commands, strict=True):
            if isinstance(call.result, _ELSEWHERE):
                try:
                    call.result = await self._follow(command, call.result)
                except (*_ELSEWHERE, *LOST, TimeoutError) as exc:
                    call.result = exc
        return [call.result for call in calls]

    async def _on(self, node: Any, *command: bytes | str | int) -> Any:
        try:
            return await node.execute_command(*command)
        except LOST:
            await self._lost(node)
            raise
        except CancelledError:
            self._look_again()
            raise

    async def _send(self, node: Any, calls: list[PipelineCommand]) -> None:
        """Run ``calls`` on one connection. Each has its own result; one server's failure is not another's."""
        try:
            await node.execute_pipeline(calls)
        except LOST as exc:
            for call in calls:
                call.result = exc
        except CancelledError:
            self._look_again()
            raise
        if any(isinstance(call.result, LOST) for call in calls):
            await self._lost(node)

    async def _follow(self, command: Command, exc: Exception) -> Any:
        """Run ``command`` where ``exc`` says that its slot is, or on its way to.

        While a slot moves, a command whose keys are not all on one side is told to try again: it has not run.
        """
        if isinstance(exc, TryAgainError) and command[0] == "MGET":
            return [await self._call("GET", key) for key in command[1:]]
        async with asyncio.timeout(self._patience):
            while True:
                try:
                    if isinstance(exc, AskError):
                        return await self._ask(command, exc)
                    return await self._on(self._node(command), *command)
                except _ELSEWHERE as again:
                    exc = again
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask(self, command: Command, exc: AskError) -> Any:
        to: Any = exc
        node: Any = self._client.get_node(to.host, to.port)
        if isinstance(exc, MovedError):
            self._look_again()
        if node is None:  # it joined after we looked
            await asyncio.shield(self._look_again())
            node = self._client.get_node(to.host, to.port)
        if node is None:
            raise ClusterDownError("redirected to a server that is not in the cluster")
        if isinstance(exc, MovedError):
            return await self._on(node, *command)
        calls = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *command)]
        await self._send(node, calls)
        result: Any = calls[1].result
        if isinstance(result, Exception):
            raise result
        return result

    def _node(self, command: Command) -> Any:
        return self._client.get_node_from_key(key_of(command))

    # -- the layout ---------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """Wait until the client knows the layout."""
        known: Any = self._client.get_default_node()
        if known is not None:
            return
        starting = self._starting
        if starting is None:
            starting = self._starting = asyncio.create_task(self._start())
            starting.add_done_callback(self._started)
        await asyncio.shield(starting)

    async def _start(self) -> None:
        if self._owned:  # the client would ask for all commands, too, and of one server, be it dead
            await self._client.nodes_manager.initialize()
        else:
            await self._client.initialize()

    def _started(self, task: Task[Any]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # whoever still waited has it; nobody may be left

    async def _lost(self, node: Any) -> None:
        """Take it that a server may be gone, and that its idle connections are."""
        self._look_again()
        if close := getattr(node, "disconnect_free_connections", None):  # redis-py 6 and newer
            await close()

    def _look_again(self) -> Task[None]:
        """Ask the cluster for its layout, unless that is under way or has just been done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._looking

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
            for nodes in ("nodes_cache", "startup_nodes"):
                await self._client.nodes_manager.aclose(nodes)
