"""The thin end: sends commands over the loop's own client, and turns what goes wrong into our errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import count as counting
from typing import Any, Final

from pymongo import timeout as within
from pymongo.errors import DuplicateKeyError

from asynccache._engine.clock import stopwatch
from asynccache.backends.mongodb._commands import Commands, Update
from asynccache.backends.mongodb._failures import FAILURES, failure, lost_races
from asynccache.backends.mongodb._indexes import prepare
from asynccache.backends.mongodb._links import Link, Links
from asynccache.backends.mongodb._settings import Settings
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError
from asynccache.protocols import BackendHealth

__all__ = ["Server"]

Reply = Mapping[str, Any]
_log: Final = logging.getLogger("asynccache")
_TRIES: Final = 5
"""How often to try to be the one who inserts a document, or finds it inserted."""
_LONG_SECONDS: Final = 30.0


class Server:
    """A collection's server, or cluster."""

    __slots__ = ("_collection", "_commands", "_link", "_links")

    def __init__(self, settings: Settings, commands: Commands) -> None:
        self._collection = settings.collection
        self._commands = commands
        self._links = Links(settings)
        self._link = self._links.here

    # -- asking -----------------------------------------------------------------------------------------

    async def ask(self, command: dict[str, Any], key: str | None = None) -> Reply:
        """Return the reply to a command that changes nothing.

        Raises:
            BackendError: it failed.
        """
        try:
            return await self._link().send(command)
        except FAILURES as error:
            raise failure(error, key) from error

    async def write(
        self, command: dict[str, Any], key: str | None = None, collection: str | None = None
    ) -> Reply:
        """Return the reply to a command that writes; what it says of single statements is not looked at.

        It is sent again only where the server says that it did nothing: another client has just inserted the
        document that this command found absent.

        Raises:
            BackendError: it failed.
        """
        link = self._link()
        collection = collection or self._collection
        if collection not in link.prepared:
            await self._prepare_in_passing(link, collection)
        command["writeConcern"] = link.write_concern
        for tries in counting(1):
            try:
                return await link.send(dict(command))
            except DuplicateKeyError as error:
                if tries == _TRIES:
                    raise failure(error, key) from error
            except FAILURES as error:
                raise failure(error, key) from error
        raise AssertionError  # pragma: no cover - nobody counts that far

    async def decide(self, command: dict[str, Any], key: str) -> Mapping[str, Any] | None:
        """Return the document of ``key`` as it was before the ``findAndModify`` of ``command``."""
        reply = await self.write(command, key)
        self._races(reply, key)
        found: Mapping[str, Any] | None = reply.get("value")
        return found

    async def update(self, updates: Sequence[Update], key: str | None = None) -> int:
        """Carry out ``updates``; return how many documents they found or made."""
        done = 0
        for _ in range(_TRIES):
            reply = await self.write(self._commands.update(updates), key)
            lost = self._races(reply, key)
            done += int(reply["n"])
            if not lost:
                return done
            updates = [updates[index] for index in lost]
        raise BackendError("others kept inserting the same documents", backend="mongodb", key=key)

    async def carry_out(
        self,
        command: dict[str, Any],
        key: str | None = None,
        *,
        collection: str | None = None,
        long: bool = False,
    ) -> None:
        """Carry out a ``delete`` or an ``insert``; a ``long`` one may take its time."""
        if long:
            with within(_LONG_SECONDS):
                reply = await self.write(command, key, collection)
        else:
            reply = await self.write(command, key, collection)
        self._races(reply, key)

    @staticmethod
    def _races(reply: Reply, key: str | None) -> list[int]:
        try:
            return lost_races(reply)
        except FAILURES as error:
            raise failure(error, key) from error

    @property
    def database(self) -> Any:
        """The driver's database, for what is no command."""
        link = self._link()
        if link.database is None:
            link.connect()
        return link.database

    # -- life -------------------------------------------------------------------------------------------

    async def open(self, *collections: str) -> None:
        """Connect, and create what is missing of ``collections``.

        Raises:
            BackendUnavailableError: there is no server, or it does not let us.
            ConfigurationError: a collection cannot hold a cache.
        """
        link = self._link()
        for collection in collections:
            try:
                await self._prepare(link, collection)
            except BackendUnavailableError:
                raise
            except BackendError as error:
                raise BackendUnavailableError(f"cannot open: {error}", backend="mongodb") from error

    async def health(self) -> BackendHealth:
        """Measure how long a sign of life takes, and ask what the server is."""
        started = stopwatch()
        await self.ask({"ping": 1})
        latency_ms = (stopwatch() - started) * 1000
        hello = await self.ask({"hello": 1})
        build = await self.ask({"buildInfo": 1})
        count = await self.ask({"count": self._collection})
        topology = "sharded" if hello.get("msg") == "isdbgrid" else hello.get("setName", "single server")
        details = {
            "server": "mongodb",
            "server_version": build["version"],
            "topology": topology,
            "persistence": "disk",
            "eviction_policy": "none: only what has expired is removed",
            "documents": count["n"],
        }
        return BackendHealth(healthy=True, backend_type="mongodb", latency_ms=latency_ms, details=details)

    async def aclose(self) -> None:
        """Close the loop's client."""
        await self._link().close()

    async def _prepare(self, link: Link, collection: str) -> None:
        try:
            await prepare(link.send, collection)
        except FAILURES as error:
            raise failure(error) from error
        link.prepared.add(collection)

    async def _prepare_in_passing(self, link: Link, collection: str) -> None:
        """Do what `open` does; values are right without an index, so others need not wait for it."""
        link.prepared.add(collection)
        try:
            await self._prepare(link, collection)
        except BackendError as error:
            if isinstance(error, BackendUnavailableError | BackendTimeoutError):
                link.prepared.discard(collection)
                raise
            _log.warning("mongodb: expired documents of %r will not be purged: %s", collection, error)
        except BaseException:  # cancelled, or a collection that must not be used
            link.prepared.discard(collection)
            raise
