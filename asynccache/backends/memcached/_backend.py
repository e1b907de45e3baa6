"""`MemcachedBackend`: what each operation takes and means. The rest of the package does it."""

from __future__ import annotations

import builtins
import secrets
import ssl as tls
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asynccache._engine.arguments import check_integer, check_value, lifetime
from asynccache._engine.clock import Clock, wall_clock
from asynccache._engine.perloop import PerLoop
from asynccache.backends.memcached import _changes as changes
from asynccache.backends.memcached._bulk import Bulk
from asynccache.backends.memcached._connection import LostError
from asynccache.backends.memcached._keys import locate
from asynccache.backends.memcached._lane import Lane
from asynccache.backends.memcached._location import Options, parse, url_options
from asynccache.backends.memcached._records import Record
from asynccache.backends.memcached._server import ITEM_SIZE
from asynccache.backends.memcached._single import Single, told
from asynccache.errors import BackendUnavailableError, ConfigurationError
from asynccache.policy import Seconds, seconds
from asynccache.protocols import BackendHealth

__all__ = ["MemcachedBackend"]

_ROOM: Final = 1024
"""Bytes of an item that are not the value's: its name, the server's own and our head."""
_KEY_ROOM: Final = 256
"""How many of them a full key may take; a longer one takes from the value's."""


class MemcachedBackend:
    """A store on one memcached server or several.

    Several servers share the keys (rendezvous hashing): adding one moves 1/n of them. Where one cannot be
    reached its keys are kept by the others meanwhile, and when it returns it starts empty, so that nothing
    comes back that was replaced or deleted while it was away.

    Nothing is returned at or after its expiry, judged by ``clock`` to the millisecond, although the server
    counts seconds. The server may forget anything at any time to make room; what it forgot is a miss.

    Every event loop has one connection to each server, made at first use and made again when it was lost.
    Cancelling a call harms no other.

    Args:
        url: ``memcached://host:11211``, with several servers ``memcached://a:11211,b:11211``, with TLS
            ``memcacheds://``, with ASCII authentication ``user:password@`` before the first host.
        max_value_bytes: Larger values are refused; None: what fits in the server's largest item (``-I``,
            1 MiB unless told otherwise) besides a kilobyte.
        timeout: Seconds of silence, while an answer is due, after which a server counts as hung.
        connect_timeout: Seconds for making a connection.
        retry_seconds: Seconds between attempts to reach a server that is out of reach.
        ssl: For ``memcacheds://``; left out: certificates are checked against the system's authorities.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: an argument is not what it must be.
    """

    owns_io = True
    """A caller that is cancelled merely leaves: answers are read by the connection."""

    __slots__ = ("_bulk", "_clock", "_lane", "_lanes", "_locations", "_max_value_bytes", "_single", "_tls")

    def __init__(
        self,
        url: str,
        *,
        max_value_bytes: int | None = None,
        timeout: Seconds = 1.0,
        connect_timeout: Seconds = 1.0,
        retry_seconds: Seconds = 1.0,
        ssl: tls.SSLContext | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self._locations, credentials, self._tls = parse(url)
        if ssl is not None and not self._tls:
            raise ConfigurationError("ssl is for memcacheds://, and the URL says memcached://")
        if not callable(clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"clock must be callable, not {clock!r}")
        if self._tls and ssl is None:
            ssl = tls.create_default_context()
        options = Options(
            timeout=seconds(timeout, "timeout"),
            connect_timeout=seconds(connect_timeout, "connect_timeout"),
            retry_seconds=seconds(retry_seconds, "retry_seconds"),
            max_value_bytes=max_value_bytes,
            tls=ssl,
            credentials=credentials,
        )
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._lanes = PerLoop(lambda loop: Lane(loop, self._locations, options))
        self._lane = self._lanes.here
        self._single = Single(self._lane, clock)
        self._bulk = Bulk(self._lane, clock)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> MemcachedBackend:
        """Return a store for ``memcached://a:11211,b:11211?timeout=0.5``.

        Args:
            url: As for the class; ``max_value_bytes``, ``timeout``, ``connect_timeout`` and ``retry_seconds``
                may follow as options.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: the URL is malformed, or an option is unknown, malformed or repeated.
        """
        base, options = url_options(url, options)
        return cls(base, **options)

    def __repr__(self) -> str:
        scheme = "memcacheds" if self._tls else "memcached"
        return f"<MemcachedBackend {scheme}://{','.join(map(str, self._locations))}>"

    @property
    def max_value_bytes(self) -> int:
        """The largest value that is stored: what the servers take, or less if so configured."""
        room = (
            min((lane.item_size or ITEM_SIZE for lane in self._lanes.everywhere()), default=ITEM_SIZE) - _ROOM
        )
        return room if self._max_value_bytes is None else min(room, self._max_value_bytes)

    # -- values -----------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        name, owner = locate(key)
        shelf = self._lane().ready(name, writes=False)
        single = self._single
        if shelf is not None:
            try:
                return await single.fetch(shelf, name, owner)
            except LostError:
                pass
        return await single.run(key, name, lambda shelf: single.fetch(shelf, name, owner), writes=False)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, replacing what was there; False if it is too large, and then nothing is there.

        Raises:
            TypeError: ``value`` is not ``bytes``, or ``key`` not a ``str``.
            InvalidKeyError: ``key`` is empty or cannot be written as UTF-8.
            BackendError: the server could not store it, or could not be reached.
        """
        name, owner = locate(key)
        check_value(value)
        life = lifetime(ttl)
        if await self._fits(key, name, owner, value):
            record = Record(value, self._clock() + life)
            single = self._single
            if await single.run(key, name, lambda shelf: single.put(shelf, name, owner, record)):
                return True
        await self.delete(key)
        return False

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        name, owner = locate(key)
        single = self._single
        return await single.run(key, name, lambda shelf: single.remove(shelf, name, owner))

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        places = {key: locate(key) for key in keys}
        if not places:
            return {}
        found = await self._bulk.fetch(dict(places.values()))
        return {key: found[name] for key, (name, _) in places.items() if name in found}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused because their value is too large."""
        places = {key: locate(key) for key in items}
        for value in items.values():
            check_value(value)
        life = lifetime(ttl)
        if not places:
            return set()
        fits = {key: await self._fits(key, *places[key], value) for key, value in items.items()}
        refused = {key for key in items if not fits[key]}
        expires = self._clock() + life
        records = {
            name: Record(items[key], expires) for key, (name, _) in places.items() if key not in refused
        }
        if records:
            large = await self._bulk.put(records, dict(places.values()))
            refused |= {key for key, (name, _) in places.items() if name in large}
        if refused:
            await self.delete_many(list(refused))
        return refused

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there."""
        places = {key: locate(key) for key in keys}
        if not places:
            return set()
        removed = await self._bulk.remove(dict(places.values()))
        return {key for key, (name, _) in places.items() if name in removed}

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        return await self.get(key) is not None

    # -- what depends on what is there ------------------------------------------------------------------

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        name, owner = locate(key)
        return await self._single.change(key, name, owner, changes.touch(lifetime(ttl)))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        name, owner = locate(key)
        check_value(value)
        life = lifetime(ttl)
        if not await self._fits(key, name, owner, value):
            return False
        return await self._single.change(key, name, owner, changes.add(value, life))

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, or the result would not fit in 64 bits.
        """
        name, owner = locate(key)
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        return await self._single.change(key, name, owner, changes.incr(delta, initial, lifetime(ttl)))

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return the bytes under ``key`` and their version, or None when there are none or they expired."""
        name, owner = locate(key)
        single = self._single
        return await single.run(
            key, name, lambda shelf: single.fetch_versioned(shelf, name, owner), writes=False
        )

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        """Store ``value`` only if what is under ``key`` still has ``version``; True if it was stored.

        A version holds as long as the connection does: False can also mean that it had to be made again.
        """
        name, owner = locate(key)
        check_value(value)
        life = lifetime(ttl)
        if not await self._fits(key, name, owner, value):
            return False
        record = Record(value, self._clock() + life)
        single = self._single
        return await single.run(
            key, name, lambda shelf: single.swap(shelf, name, owner, record, version), again=False
        )

    # -- leases -----------------------------------------------------------------------------------------

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        name, owner = locate(key)
        token = secrets.token_bytes(16)
        taken = await self._single.change(key, name, owner, changes.acquire(token, seconds(ttl, "ttl")))
        return token.hex() if taken else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or if too large."""
        name, owner = locate(key)
        check_value(value)
        life = lifetime(ttl)
        fits = await self._fits(key, name, owner, value)
        return await self._single.change(key, name, owner, changes.fill(value if fits else None, life, token))

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        name, owner = locate(key)
        await self._single.change(key, name, owner, changes.release(token))

    # -- life -------------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Describe the servers; healthy if at least one of them answers."""
        return await self._lane().health()

    async def open(self) -> None:
        """Connect to all servers.

        Raises:
            BackendUnavailableError: none of them can be reached.
        """
        try:
            await self._lane().open()
        except LostError as lost:
            raise BackendUnavailableError(str(lost), backend="memcached") from lost

    async def aclose(self) -> None:
        """Close the connections of the running loop. What is under way fails. The store may be used again."""
        await self._lane().aclose()

    async def _fits(self, key: str, name: bytes, owner: bytes, value: bytes) -> bool:
        """Return whether ``value`` is small enough to be sent."""
        lane = self._lane()
        if not lane.item_size:
            try:
                await lane.reach(name, writes=False)
            except LostError as lost:
                raise told(lost, key) from lost
        size, room = len(value), lane.item_size - _ROOM
        limit = self._max_value_bytes
        return size + max(len(owner) - _KEY_ROOM, 0) <= room and (limit is None or size <= limit)
