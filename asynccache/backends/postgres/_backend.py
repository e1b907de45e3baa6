"""`PostgresBackend`: the store's operations, each of them one statement."""

from __future__ import annotations

import builtins
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf
from secrets import token_hex
from typing import Any, Final, cast

from asynccache._engine.arguments import INT64, check_count, check_integer, check_value, lifetime
from asynccache._engine.clock import Clock, stopwatch, wall_clock
from asynccache._engine.perloop import PerLoop
from asynccache.backends.postgres._address import check_url, read_url, shown
from asynccache.backends.postgres._borrowed import BorrowedConnections
from asynccache.backends.postgres._bus import Inbox, channel, parts
from asynccache.backends.postgres._driver import Pool, asyncpg
from asynccache.backends.postgres._health import describe
from asynccache.backends.postgres._own import OwnConnections
from asynccache.backends.postgres._rows import as_bytes, bounds, digest, portions
from asynccache.backends.postgres._session import Session
from asynccache.backends.postgres._table import Statements, Table
from asynccache.errors import BackendError, ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import seconds
from asynccache.protocols import BackendHealth

__all__ = ["PostgresBackend"]

_MIB: Final = 2**20
_LARGEST: Final = 512 * _MIB  # the server's limit for a message, 1 GiB, with room to read it back
_CLEARED_AT_ONCE: Final = 1000
_HEARTBEAT: Final = 10.0
"""Seconds of silence on the bus after which the server is asked whether it is still there."""


class PostgresBackend:
    """A store in a table of a PostgreSQL server, 12 or newer.

    The table is made when the store is opened or first used. By default it is UNLOGGED: fast, and empty after
    a crash of the server. Expired rows are never returned; they are removed a little at a time while others
    are written. Nothing else removes rows: what has no time to live stays.

    Connections are opened as needed, up to ``pool_size`` for each event loop; `open` finds mistakes early but
    is not needed.

    Args:
        url: ``postgresql://user:password@host:port/database?sslmode=require``, or an `asyncpg.Pool` of your
            own, which is used as it is and never closed.
        table: The table's name. Stores with the same table share everything.
        schema: Where it is; None: as the server's ``search_path`` says. It is made if need be.
        unlogged: False: the table is written to the log, replicated and kept in a crash, which costs writes.
        pgbouncer: The server is reached through PgBouncer, pooling transactions or sessions: nothing is
            prepared, and there is no bus.
        pool_size: The most connections at once; further calls wait, in turn.
        timeout: Seconds for an operation and for waiting for a connection. A guard usually gives up earlier.
        connect_timeout: Seconds to connect in.
        sweep_every: Rows written between two steps that remove expired ones; 0: only `sweep` does.
        max_value_bytes: Larger values are refused, up to 512 MiB.
        clock: Seconds since the epoch. It decides what has expired, the server's does not.

    Raises:
        ConfigurationError: an argument is not what it must be.
    """

    def __init__(
        self,
        url: str | Pool,
        *,
        table: str = "asynccache",
        schema: str | None = None,
        unlogged: bool = True,
        pgbouncer: bool = False,
        pool_size: int = 10,
        timeout: float = 1.0,
        connect_timeout: float = 2.0,
        sweep_every: int = 250,
        max_value_bytes: int = 64 * _MIB,
        clock: Clock = wall_clock,
    ) -> None:
        if isinstance(url, str):
            check_url(url)
        elif not isinstance(url, asyncpg.Pool):
            raise ConfigurationError(f"url must be a str or an asyncpg.Pool, not {type(url).__name__}")
        for name, flag in (("unlogged", unlogged), ("pgbouncer", pgbouncer)):
            if not isinstance(flag, bool):
                raise ConfigurationError(f"{name} must be True or False, not {flag!r}")
        check_count(pool_size, "pool_size", 1)
        check_count(sweep_every, "sweep_every", 0)
        check_count(max_value_bytes, "max_value_bytes", 1)
        if max_value_bytes > _LARGEST:
            raise ConfigurationError(f"max_value_bytes must be at most {_LARGEST}, not {max_value_bytes}")
        if not callable(clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"clock must be callable, not {clock!r}")
        self._server = url
        self._table = Table(table, schema)
        self._sql = Statements(self._table)
        self._unlogged = unlogged
        self._pgbouncer = pgbouncer
        self._pool_size = pool_size
        self._timeout = seconds(timeout, "timeout")
        self._connect_timeout = seconds(connect_timeout, "connect_timeout")
        self._sweep_every = sweep_every
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._heartbeat = _HEARTBEAT
        self._sessions = PerLoop(self._new_session)
        self._here = self._sessions.here
        if pgbouncer:
            self.__class__ = cast("Any", _WithoutBus)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> PostgresBackend:
        """Return a store for ``postgresql://user:password@host/database?table=cache&pool_size=20``.

        Args:
            url: Beside what the driver reads (``sslmode``, ``host`` of a socket ...) its query may have any
                argument of the class but the clock.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: an option is unknown, malformed or repeated.
        """
        server, arguments = read_url(url, options)
        return cls(server, **arguments)

    def __repr__(self) -> str:
        server = shown(self._server) if isinstance(self._server, str) else "a pool of the user's own"
        return f"<PostgresBackend {server} table {self._table}>"

    def _new_session(self, loop: AbstractEventLoop) -> Session:
        connections = (
            OwnConnections(
                loop,
                self._server,
                size=self._pool_size,
                timeout=self._timeout,
                connect_timeout=self._connect_timeout,
                pgbouncer=self._pgbouncer,
            )
            if isinstance(self._server, str)
            else BorrowedConnections(loop, self._server, timeout=self._timeout)
        )
        return Session(
            loop,
            connections,
            self._table,
            self._sql,
            unlogged=self._unlogged,
            sweep_every=self._sweep_every,
            clock=self._clock,
        )

    # -- bytes ---------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        name = check_key(key).encode()
        rows = await self._here().fetch(key, self._sql.get, digest(name), name, self._clock())
        return rows[0][0] if rows else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, replacing what was there; False if it is too large, and then nothing is there."""
        name = check_key(key).encode()
        check_value(value)
        expires = self._clock() + lifetime(ttl)
        if len(value) > self._max_value_bytes:
            await self.delete(key)
            return False
        session = self._here()
        await session.fetch(key, self._sql.set, digest(name), name, value, expires)
        session.sweeper.wrote(1)
        return True

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        name = check_key(key).encode()
        rows = await self._here().fetch(key, self._sql.delete, digest(name), name, self._clock())
        return bool(rows and rows[0][0])

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        names = {check_key(key).encode(): key for key in keys}
        if not names:
            return {}
        digests = list(map(digest, names))
        rows = await self._here().fetch(None, self._sql.get_many, digests, self._clock())
        return {names[name]: value for name, value in rows if name in names}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused because their value is too large."""
        rows: list[tuple[bytes, bytes, bytes]] = []
        refused: builtins.set[str] = set()
        for key, value in items.items():
            name = check_key(key).encode()
            check_value(value)
            if len(value) > self._max_value_bytes:
                refused.add(key)
            else:
                rows.append((digest(name), name, value))
        expires = self._clock() + lifetime(ttl)
        if refused:
            await self.delete_many(list(refused))
        rows.sort()  # the order in which every process locks rows
        session = self._here()
        for portion in portions(rows):
            await session.fetch(None, self._sql.set_many, *map(list, zip(*portion, strict=True)), expires)
            session.sweeper.wrote(len(portion))
        return refused

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there."""
        names = {check_key(key).encode(): key for key in keys}
        if not names:
            return set()
        digests = list(map(digest, names))
        rows = await self._here().fetch(None, self._sql.delete_many, digests, self._clock())
        return {names[name] for name, was_live in rows if was_live and name in names}

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        name = check_key(key).encode()
        return bool(await self._here().fetch(key, self._sql.exists, digest(name), name, self._clock()))

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        name = check_key(key).encode()
        life, now = lifetime(ttl), self._clock()
        return bool(await self._here().fetch(key, self._sql.touch, digest(name), name, now + life, now))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        name = check_key(key).encode()
        check_value(value)
        life, now = lifetime(ttl), self._clock()
        if len(value) > self._max_value_bytes:
            return False
        session = self._here()
        added = await session.fetch(key, self._sql.add, digest(name), name, value, now + life, now)
        session.sweeper.wrote(1)
        return bool(added)

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, or the result would not fit in 64 bits.
        """
        name = check_key(key).encode()
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        life, now = lifetime(ttl), self._clock()
        if not -INT64 <= delta < INT64:
            raise BackendError("delta does not fit in 64 bits", backend="postgres", key=key)
        first, until = b"%d" % (initial + delta), now + life
        if not -INT64 <= initial + delta < INT64:
            # Only a counter that is there can be counted on. An absent one becomes a row that nobody sees.
            first, until = b"", -inf
        session = self._here()
        rows = await session.fetch(key, self._sql.incr, digest(name), name, first, until, now, delta)
        session.sweeper.wrote(1)
        if not rows:
            raise BackendError("not an integer", backend="postgres", key=key)
        if not rows[0][0]:
            raise BackendError("the result does not fit in 64 bits", backend="postgres", key=key)
        return int(rows[0][0])

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``.

        A thousand at a time, each thousand for good: a call that is cancelled has not been in vain.
        """
        name = check_key(prefix, "prefix").encode()
        limits = (*bounds(name[:64]), *bounds(name))
        session = self._here()
        while True:
            [row] = await session.fetch(prefix, self._sql.clear, *limits, _CLEARED_AT_ONCE)
            if row[0] < _CLEARED_AT_ONCE:
                return

    # -- leases and the bus --------------------------------------------------------------------------

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        name = check_key(key).encode()
        life, now, fresh = seconds(ttl, "ttl"), self._clock(), token_hex(16)
        session = self._here()
        taken = await session.fetch(
            key, self._sql.acquire_lease, digest(name), name, as_bytes(fresh), now + life, now
        )
        session.sweeper.wrote(1)
        return fresh if taken else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or if too large."""
        name = check_key(key).encode()
        check_value(value)
        life, now = lifetime(ttl), self._clock()
        held = (digest(name), name, as_bytes(token), now)
        if len(value) > self._max_value_bytes:
            await self._here().fetch(key, self._sql.refuse_fill, *held)
            return False
        return bool(await self._here().fetch(key, self._sql.fill, *held, value, now + life))

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        name = check_key(key).encode()
        await self._here().fetch(key, self._sql.release_lease, digest(name), name, as_bytes(token))

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber of every process that uses this table.

        PostgreSQL takes a lock on the whole server for each: meant for some hundred a second, not more.
        """
        check_value(message, "message")
        session = self._here()
        await session.fetch(None, self._sql.publish, await self._channel(session), parts(message))

    async def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over the messages, on a connection of its own.

        Raises:
            BackendUnavailableError: the connection is lost, or the store was closed; messages may be missed.
            BackendError: the reader fell 10,000 messages behind.
        """
        session = self._here()
        async with session.dedicated() as connection:
            inbox = Inbox()
            connection.add_termination_listener(inbox.lost)
            await connection.add_listener(await self._channel(session), inbox.hear)
            while True:
                messages = await inbox.take(self._heartbeat)
                if messages is None:
                    await connection.fetchval("SELECT 1", timeout=self._timeout)
                    continue
                for message in messages:
                    yield message

    async def _channel(self, session: Session) -> str:
        state = session.state or await session.ready()
        return channel(state.schema, self._table.name)

    # -- life ----------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Remove all rows that expired more than a minute ago, and return how many; for a nightly job."""
        return await self._here().sweeper.lap()

    async def health(self) -> BackendHealth:
        """Describe the server and the table; sizes and numbers of rows are the server's own estimates."""
        session = self._here()
        started = stopwatch()
        details = await describe(session, self._table)
        latency = (stopwatch() - started) * 1000
        return BackendHealth(healthy=True, backend_type="postgres", latency_ms=latency, details=details)

    async def open(self) -> None:
        """Connect, and make or migrate the table.

        Raises:
            BackendUnavailableError: that cannot be done; the message says why.
            BackendTimeoutError: the server does not answer.
        """
        await self._here().ready()

    async def aclose(self) -> None:
        """End all connections; the table stays. The store may be used again."""
        here = self._here()
        for session in self._sessions.everywhere():
            if session is not here and not session.loop.is_closed():
                session.loop.call_soon_threadsafe(session.terminate)
        await here.aclose()

    def drop_connection(self) -> None:
        """End the connection that has been busy for the longest time."""
        self._here().connections.drop_oldest()


class _WithoutBus(PostgresBackend):
    """What there is through PgBouncer: LISTEN needs a session, and sessions are shared."""

    # None is the language's own way to say so, and what `isinstance` looks at.
    publish = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    subscribe = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


_WithoutBus.__name__ = _WithoutBus.__qualname__ = PostgresBackend.__name__
