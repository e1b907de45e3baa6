"""`MongoDBBackend`: one document an entry, every decision in one step of the server."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from asynccache._engine.arguments import INT64, check_integer, check_value, lifetime
from asynccache._engine.clock import Clock, wall_clock
from asynccache.backends.mongodb._bus import announcing, bus_of, listen
from asynccache.backends.mongodb._commands import Commands, Update, filling, releasing, replacing, touching
from asynccache.backends.mongodb._documents import WHOLE, identity, is_live, payload
from asynccache.backends.mongodb._server import Server
from asynccache.backends.mongodb._settings import Settings
from asynccache.errors import BackendError, ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import seconds
from asynccache.protocols import BackendHealth

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient

__all__ = ["MongoDBBackend"]

_MOST_IDS: Final = 2000
"""Keys in one command: 2000 of the longest ids are 4 MiB of the 16 that a command may have."""
_MOST_BYTES: Final = 15 * 2**20
_OVERHEAD: Final = 512
"""Bytes of a document beside its value and its key, generously."""


class MongoDBBackend:
    """A store in a collection of MongoDB 4.2 or newer: a server, a replica set or a sharded cluster.

    Expiry is judged on read by ``clock``, to its last bit; the server's TTL index removes what has expired
    later, for the disk's sake. All reads go to the primary. Writes ask for its acknowledgement, or for more
    where the URL or the client says so (``w=majority``), and are never sent twice.

    `open` is not needed, but tells early what is wrong. Each event loop gets a client of its own, closed by
    `aclose` or when the loop ends. A client of the user's own serves one loop and is never closed here.

    Args:
        url: ``mongodb://`` or ``mongodb+srv://`` with the driver's options and those below, or an
            `pymongo.AsyncMongoClient`, or Motor's ``AsyncIOMotorClient``.
        database: Left out: the one the URL names, else ``asynccache``.
        collection: Holds nothing but the cache. With a bus there is a second one, ``<collection>.bus``.
        timeout: Seconds for an operation, 1 if left out; the driver's ``timeoutMS``.
        connect_timeout: Seconds for a connection, and for the driver's own watch on its servers, 1 if left
            out.
        max_value_bytes: Larger values are refused; at most 16 MiB - 64 KiB, which is the default.
        bus: Whether to offer the invalidation bus, a change stream, for which the server has to be a replica
            set or a sharded cluster. Left out: yes where URL or client names a ``replicaSet``, and for
            mongodb+srv.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: an argument or the URL is malformed. Passwords are never shown.
    """

    def __init__(
        self,
        url: str | AsyncMongoClient[Any] | Any,
        *,
        database: str | None = None,
        collection: str | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        max_value_bytes: int | None = None,
        bus: bool | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        if not callable(clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"clock must be callable, not {clock!r}")
        options = {
            "database": database,
            "collection": collection,
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "max_value_bytes": max_value_bytes,
            "bus": bus,
        }
        self._settings = settings = Settings.of(url, options)
        self._clock = clock
        self._commands = Commands(settings.collection)
        self._server = Server(settings, self._commands)
        if settings.bus and type(self) is MongoDBBackend:
            self.__class__ = _WithBus  # a capability is a method, so there is a class for each set of them

    @classmethod
    def from_url(cls, url: str, **options: Any) -> MongoDBBackend:
        """Return a store for ``mongodb://user:password@host:27017/database?collection=cache&timeout=0.5``.

        Args:
            url: Our own options are those of the class; all others go to the driver.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: the URL is malformed, or an option is unknown, malformed or given twice.
        """
        if unknown := options.keys() - _OPTIONS:
            raise ConfigurationError(
                f"unknown option {min(unknown)!r}: MongoDBBackend takes {', '.join(sorted(_OPTIONS))}"
            )
        return cls(url, **options)

    def __repr__(self) -> str:
        settings = self._settings
        return f"<MongoDBBackend {settings.where} {settings.database}.{settings.collection}>"

    # -- bytes ------------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        if key.__class__ is not str or not key or not key.isascii():
            key = check_key(key)
        reply = await self._server.ask(self._commands.get(key), key)
        found = reply["cursor"]["firstBatch"]
        return payload(found[0], key, self._clock()) if found else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, replacing what was there; False if it is too large, and then nothing is there."""
        key = check_key(key)
        check_value(value)
        expires = self._expires(ttl)
        if not self._fits(key, value):
            await self._server.carry_out(self._commands.delete_many([identity(key)]), key)
            return False
        await self._server.update([replacing(key, value, expires)], key)
        return True

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        key = check_key(key)
        found = await self._server.decide(self._commands.delete(key), key)
        return found is not None and is_live(found, key, self._clock())

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        wanted = {identity(key): key for key in map(check_key, keys)}
        values: dict[str, bytes] = {}
        for found in await self._find(self._commands.get_many, list(wanted)):
            key = wanted[found["_id"]]
            value = payload(found, key, self._clock())
            if value is not None:
                values[key] = value
        return values

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused because their value is too large."""
        items = {check_key(key): value for key, value in items.items()}
        for value in items.values():
            check_value(value)
        expires = self._expires(ttl)
        refused = {key for key, value in items.items() if not self._fits(key, value)}
        if refused:
            await self._server.carry_out(self._commands.delete_many(map(identity, refused)))
        taken = {key: value for key, value in items.items() if key not in refused}
        for updates in _portions(taken, expires):
            await self._server.update(updates)
        return refused

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there.

        MongoDB tells how many documents it removed, not which, so they are looked up first. Of two callers
        that remove a key at the same moment both may be told that it was there; with `delete` it is one.
        """
        wanted = {identity(key): key for key in map(check_key, keys)}
        ids = list(wanted)
        there: builtins.set[str] = set()
        for start in range(0, len(ids), _MOST_IDS):
            part = ids[start : start + _MOST_IDS]
            documents = {found["_id"]: found for found in await self._find(self._commands.look_many, part)}
            if documents:
                await self._server.carry_out(self._commands.delete_many(documents))
                now = self._clock()
                there.update(wanted[_id] for _id in documents if is_live(documents[_id], wanted[_id], now))
        return there

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        key = check_key(key)
        reply = await self._server.ask(self._commands.look(key), key)
        return any(is_live(found, key, self._clock()) for found in reply["cursor"]["firstBatch"])

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        key = check_key(key)
        update = touching(key, self._expires(ttl), self._clock())
        return await self._server.update([update], key) == 1

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``.

        What is there at the call is gone when it returns. It may take up to 30 seconds.
        """
        await self._server.carry_out(self._commands.clear(check_key(prefix, "prefix")), long=True)

    # -- reading and writing in one step ----------------------------------------------------------------

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        key = check_key(key)
        check_value(value)
        expires, now = self._expires(ttl), self._clock()
        if not self._fits(key, value):
            return False
        found = await self._server.decide(self._commands.add(key, value, expires, now), key)
        return found is None or not is_live(found, key, now)

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, or the result would not fit in 64 bits.
        """
        key = check_key(key)
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        expires, now = self._expires(ttl), self._clock()
        if not -INT64 <= delta < INT64:
            raise BackendError("the delta does not fit in 64 bits", backend="mongodb", key=key)
        fresh = initial + delta
        found = await self._server.decide(self._commands.incr(key, delta, fresh, expires, now), key)
        value = fresh
        if found is not None and is_live(found, key, now):
            there: object = found.get("value")
            if not isinstance(there, int):
                raise BackendError("not an integer", backend="mongodb", key=key)
            value = there + delta
        if not -INT64 <= value < INT64:
            raise BackendError("the result does not fit in 64 bits", backend="mongodb", key=key)
        return int(value)

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        key = check_key(key)
        now = self._clock()
        token = secrets.token_hex(8)
        command = self._commands.acquire(key, token, now + seconds(ttl, "ttl"), now)
        found = await self._server.decide(command, key)
        lease: Mapping[str, Any] = (found or {}).get("lease") or {"until": now}
        return token if lease["until"] <= now else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or if too large."""
        key = check_key(key)
        check_value(value)
        expires, now = self._expires(ttl), self._clock()
        if not self._fits(key, value):
            await self._server.carry_out(self._commands.give_up(key, token, now), key)
            return False
        return await self._server.update([filling(key, value, expires, token, now)], key) == 1

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        key = check_key(key)
        await self._server.update([releasing(key, token)], key)

    # -- life -------------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Ask for a sign of life, measure it, and say what the server is.

        Raises:
            BackendError: there is no sign of life.
        """
        return await self._server.health()

    async def open(self) -> None:
        """Connect and create the collection with its TTL index.

        Raises:
            BackendUnavailableError: there is no server, or it does not let us in.
            ConfigurationError: the collection is capped, a view, or has a collation.
        """
        await self._server.open(self._settings.collection)

    async def aclose(self) -> None:
        """Close this event loop's client, unless it is the user's. The store may be used again."""
        await self._server.aclose()

    # -- details ----------------------------------------------------------------------------------------

    def _expires(self, ttl: float | None) -> float:
        return float(self._clock() + lifetime(ttl))

    def _fits(self, key: str, value: bytes) -> bool:
        if len(value) > self._settings.max_value_bytes:
            return False
        return len(key) <= WHOLE or _size(key, value) <= 16 * 2**20

    async def _find(self, command: Any, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the documents of ``ids``, in as many replies of 16 MiB as they need."""
        documents: list[Mapping[str, Any]] = []
        rest = list(ids)
        while rest:
            part = rest[:_MOST_IDS]
            reply = await self._server.ask(command(part))
            cursor = reply["cursor"]
            found: list[Mapping[str, Any]] = cursor["firstBatch"]
            documents += found
            rest = rest[_MOST_IDS:]
            if cursor["id"]:
                # Asked for anew instead of read on: a cursor lives on one server, a command finds its own.
                await self._server.ask(self._commands.end_cursor(cursor["id"]))
                seen = {document["_id"] for document in found}
                rest = [identity for identity in part if identity not in seen] + rest
        return documents


class _WithBus(MongoDBBackend):
    """The same where the server can tell of changes."""

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber, this process included."""
        check_value(message, "message")
        collection = self._settings.collection
        command = announcing(collection, bytes(message), self._clock())
        await self._server.carry_out(command, collection=bus_of(collection))

    def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over messages, from the first step on.

        Raises:
            BackendError: the connection was lost, or the server has no change streams.
        """
        return listen(self._server.database, self._settings.collection)

    async def open(self) -> None:
        """Connect and create both collections."""
        await self._server.open(self._settings.collection, bus_of(self._settings.collection))


_OPTIONS: Final = {
    "database",
    "collection",
    "timeout",
    "connect_timeout",
    "max_value_bytes",
    "bus",
    "clock",
}


def _size(key: str, value: bytes) -> int:
    """Return an upper bound of a document's bytes."""
    keys = len(key) if key.isascii() else len(key.encode())
    return len(value) + (keys if len(key) <= WHOLE else keys + 4 * WHOLE) + _OVERHEAD


def _portions(items: Mapping[str, bytes], expires: float) -> Iterator[list[Update]]:
    """Yield the updates that store ``items``, as many at once as a command can hold."""
    portion: list[Update] = []
    size = 0
    for key, value in items.items():
        more = 2 * _size(key, b"") + len(value)  # the id is in the filter as well
        if portion and (size + more > _MOST_BYTES or len(portion) == _MOST_IDS):
            yield portion
            portion, size = [], 0
        portion.append(replacing(key, value, expires))
        size += more
    if portion:
        yield portion
