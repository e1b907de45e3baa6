"""`RedisBackend`: the store in a Redis or Valkey server, in one that sentinels watch, or in a cluster."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Unpack

from redis.asyncio import Redis, RedisCluster

from asynccache._engine.arguments import INT64, check_integer, check_value, lifetime
from asynccache._engine.clock import stopwatch
from asynccache._engine.urls import query_options, split_url
from asynccache.backends.redis._bus import listen
from asynccache.backends.redis._failure import DRIVER_ERRORS, LOST, failure, mapped
from asynccache.backends.redis._health import describe
from asynccache.backends.redis._keys import lease_key
from asynccache.backends.redis._links import links
from asynccache.backends.redis._removing import remove, remove_prefix
from asynccache.backends.redis._running import run, run_all
from asynccache.backends.redis._scripts import ADD, FILL, INCR, PERSIST, RELEASE, SET, pairs
from asynccache.backends.redis._settings import OPTIONS, PARSERS, Options, Settings
from asynccache.backends.redis._target import read_target
from asynccache.errors import ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import seconds
from asynccache.protocols import BackendHealth

__all__ = ["RedisBackend"]

Keys = set[str]
_LONGEST: Final = 2**62
"""Milliseconds; with today's date added they still fit into the server's 64 bits."""
_SET_BYTES: Final = 2**18
"""Of values in one command: a server makes room before a command, not within it."""


class RedisBackend:
    """A store in Redis or Valkey: shared by processes and machines.

    Keys are stored as they are. Expiry is the server's, to the millisecond. Clearing looks at all keys of the
    server, a few thousand at a time. It can be used from several event loops, each with its own connections.

    Args:
        where: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, ``redis+unix:///path``,
            ``redis+sentinel://host,host/service/0``, ``redis+cluster://host,host`` (both also
            ``rediss+``), or a client of your own from `redis.asyncio`: used as it is, and never closed.
        username: If it is not in the URL.
        password: Likewise.
        sentinel_username: For the sentinels, which have users of their own.
        sentinel_password: Likewise.
        max_connections: Commands under way at once, in one event loop; further ones wait for ``timeout``.
        timeout: Seconds that sending a command, or waiting for its reply, may take.
        connect_timeout: Seconds for connecting.
        max_value_bytes: Larger values are refused. At most 512 MiB, which is what Redis takes.
        channel: Where invalidations are published; caches that share it hear each other.
        ssl_ca_certs: A file with the authorities to trust, instead of the system's.
        ssl_certfile: A file with our own certificate, if the server asks for one.
        ssl_keyfile: A file with its key.
        ssl_check_hostname: False accepts a valid certificate of another host.

    Raises:
        ConfigurationError: the URL or an option is malformed.
    """

    def __init__(self, where: str | Redis | RedisCluster, **options: Unpack[Options]) -> None:
        if isinstance(where, str):
            url, _, query = where.partition("?")
            given: dict[str, Any] = query_options(query, PARSERS, options, split_url(url).scheme)
            target = read_target(url, given.pop("db", None))
            self._shown = f"{target.kind} {target}"
            self._settings = settings = _settings(given)
            self._links = links(target, settings)
        elif isinstance(where, Redis | RedisCluster):
            self._shown = f"{type(where).__name__} of its user"
            self._settings = settings = _settings(options)
            self._links = links(where, settings)
        else:
            raise ConfigurationError(
                f"RedisBackend takes a URL or a client of redis.asyncio, not {type(where).__name__}"
            )
        self._link = self._links.here

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisBackend:
        """Return a store for ``url``, whose query may hold options: ``redis://host/0?timeout=0.5``.

        Args:
            url: See the class. ``username`` and ``password`` stand before the host.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: the URL or an option is unknown, malformed or given twice.
        """
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"<RedisBackend {self._shown}>"

    # -- one key ------------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        if key.__class__ is not str or not key or not key.isascii():
            key = check_key(key)
        try:
            value: bytes | None = await self._link().call("GET", key)
        except DRIVER_ERRORS as exc:
            raise failure(exc, "get", key) from exc
        return value

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``; False if it is too large, or the server is full: then nothing is there.

        Raises:
            TypeError: ``value`` is not ``bytes``, or ``key`` not a ``str``.
            InvalidKeyError: ``key`` is empty or cannot be written as UTF-8.
            BackendError: the server refused for another reason, or is not to be reached.
        """
        name, px = check_key(key).encode(), _milliseconds(ttl)
        if self._too_large(value):
            await self.delete(key)
            return False
        with mapped("set", key):
            stored = await run(self._link(), SET, pairs([name]), px, value)
        return bool(stored)

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        name = check_key(key).encode()
        with mapped("delete", key):
            return bool(await remove(self._link(), [name]))

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        name = check_key(key).encode()
        with mapped("exists", key):
            return bool(await self._link().call("EXISTS", name))

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        name, px = check_key(key).encode(), _milliseconds(ttl)
        with mapped("touch", key):
            if px:
                return bool(await self._link().call("PEXPIRE", name, px))
            return bool(await run(self._link(), PERSIST, [name]))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored.

        Raises:
            BackendError: the server is full.
        """
        name, px = check_key(key).encode(), _milliseconds(ttl)
        if self._too_large(value):
            return False
        with mapped("add", key):
            return bool(await run(self._link(), ADD, pairs([name]), px, value))

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value. It is never sent twice.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, the result would not fit in 64 bits, or the server
                is full.
        """
        name, px = check_key(key).encode(), _milliseconds(ttl)
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        first = initial + delta
        start = b"%d" % first if -INT64 <= first < INT64 else b""
        with mapped("incr", key):
            return int(await run(self._link(), INCR, pairs([name]), px, b"%d" % delta, start))

    # -- many keys ----------------------------------------------------------------------------------------

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        names = {check_key(key).encode(): key for key in keys}
        if not names:
            return {}
        with mapped("get_many"):
            link = self._link()
            groups = link.groups(list(names))
            if len(groups) == 1:
                replies = [await link.call(*_read(groups[0]))]
            else:
                replies = await link.pipeline([_read(group) for group in groups])
            # A lost server of a cluster is a part of the keys, not all of them: its values are missed.
            if not any(isinstance(reply, list) for reply in replies):
                raise replies[0]
            found: dict[str, bytes] = {}
            for group, reply in zip(groups, replies, strict=True):
                if isinstance(reply, LOST):
                    continue
                if isinstance(reply, Exception):
                    raise reply
                for name, value in zip(group, reply, strict=True):
                    if value is not None:
                        found[names[name]] = value
        return found

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        """Store all of ``items``; return the keys that were refused, see `set`."""
        names = {check_key(key).encode(): key for key in items}
        px = _milliseconds(ttl)
        too_large = [name for name, key in names.items() if self._too_large(items[key])]
        refused = {names[name] for name in too_large}
        fitting = [name for name, key in names.items() if key not in refused]
        with mapped("set_many"):
            link = self._link()
            if too_large:
                await remove(link, too_large)
            parts = [part for group in link.groups(fitting) for part in _parts(group, names, items)]
            commands = [
                SET.by_name(pairs(part), px, *(items[names[name]] for name in part)) for part in parts
            ]
            for part, stored in zip(parts, await run_all(link, SET, commands), strict=True):
                if not stored:
                    refused.update(names[name] for name in part)
        return refused

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        """Remove ``keys``; return those that were there."""
        names = {check_key(key).encode(): key for key in keys}
        with mapped("delete_many"):
            return {names[name] for name in await remove(self._link(), list(names))}

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``.

        What is there at the call is gone when it returns. The server looks at all keys it has, a few thousand
        at a time, and answers others in between.
        """
        name = check_key(prefix, "prefix").encode()
        with mapped("clear", prefix):
            await remove_prefix(self._link(), name)

    # -- leases and the bus -------------------------------------------------------------------------------

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        lease, px = lease_key(check_key(key).encode()), _milliseconds(seconds(ttl, "ttl"))
        token = secrets.token_hex(16)
        with mapped("acquire_lease", key):
            return token if await self._link().call("SET", lease, token, "NX", "PX", px) else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or as with `set`."""
        name, px = check_key(key).encode(), _milliseconds(ttl)
        secret = _written(token)
        with mapped("fill", key):
            if self._too_large(value):
                await run(self._link(), RELEASE, [lease_key(name), name], secret)
                return False
            return bool(await run(self._link(), FILL, pairs([name]), px, value, secret))

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        lease = lease_key(check_key(key).encode())
        with mapped("release_lease", key):
            await run(self._link(), RELEASE, [lease], _written(token))

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber of the channel, on all databases of the server."""
        check_value(message, "message")
        with mapped("publish"):
            await self._link().call("PUBLISH", self._settings.channel, message)

    def subscribe(self) -> AsyncGenerator[bytes, None]:
        """Iterate over messages, on a connection of its own. Close it when done (`contextlib.aclosing`).

        Raises `BackendError` when that is lost: there may have been messages in between.
        """
        channel = self._settings.channel
        return listen(lambda: self._link().listener(channel), channel)

    # -- life ---------------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Ask every server that holds keys of its own for what it says of itself."""
        with mapped("health"):
            servers = await self._link().servers()
            start = stopwatch()
            said = [await server("INFO") for server in servers]
            latency = (stopwatch() - start) / len(said)
            try:
                saving = await servers[0]("CONFIG", "GET", "save")
            except DRIVER_ERRORS:  # where it is somebody else's business
                saving = None
        return BackendHealth(
            healthy=True,
            backend_type="redis",
            latency_ms=1000 * latency,
            details=describe(said, saving),
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            BackendUnavailableError: the server is not to be reached, or does not know us.
        """
        with mapped("open"):
            await self._link().connect()

    async def aclose(self) -> None:
        """Let what is under way end, and close this event loop's connections. The store can be used again."""
        with mapped("aclose"):
            await self._link().aclose()

    def _too_large(self, value: bytes) -> bool:
        if value.__class__ is not bytes:
            check_value(value)
        return len(value) > self._settings.max_value_bytes


def _settings(options: Mapping[str, Any]) -> Settings:
    if unknown := options.keys() - OPTIONS:
        raise ConfigurationError(
            f"unknown option {min(unknown)!r}: RedisBackend takes {', '.join(sorted(OPTIONS))}"
        )
    return Settings(**options)


def _milliseconds(ttl: float | None) -> bytes:
    """Return ``ttl`` for the server, which wants a whole number of at least one."""
    if ttl is None:
        return b""
    return b"%d" % min(max(round(lifetime(ttl) * 1000), 1), _LONGEST)


def _written(token: object) -> bytes:
    if not isinstance(token, str):
        raise TypeError(f"token must be a str, not {type(token).__name__}")
    return token.encode(errors="surrogatepass")  # none of ours has surrogates: then it holds nothing


def _read(names: Sequence[bytes]) -> tuple[bytes | str, ...]:
    return ("MGET", *names)


def _parts(
    names: Sequence[bytes], keys: Mapping[bytes, str], items: Mapping[str, bytes]
) -> list[list[bytes]]:
    """Return ``names`` in parts whose values are small together, or one only."""
    parts: list[list[bytes]] = []
    size = 0
    for name in names:
        size += len(items[keys[name]])
        if not parts or size > _SET_BYTES:
            parts.append([])
            size = len(items[keys[name]])
        parts[-1].append(name)
    return parts
