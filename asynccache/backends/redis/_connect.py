"""Makes the driver's clients, with timeouts for a cache, no retries, and nothing to say when they connect."""

from __future__ import annotations

from inspect import signature
from typing import Any, Final

import redis
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from asynccache.backends.redis._cluster import ClusterLink
from asynccache.backends.redis._connections import PlainConnection, SocketConnection, TLSConnection
from asynccache.backends.redis._link import Link, OwnLink, SingleLink
from asynccache.backends.redis._sentinel import master_of
from asynccache.backends.redis._settings import Settings
from asynccache.backends.redis._target import Target
from asynccache.errors import ConfigurationError

__all__ = ["adopt", "check_driver", "connect"]

_SAFE: Final = (8, 1)

_CONNECTION: Final[Any] = AbstractConnection
_QUIET: Final[dict[str, Any]] = (
    {"driver_info": None}
    if "driver_info" in signature(_CONNECTION.__init__).parameters
    else {"lib_name": None, "lib_version": None}  # before redis-py 7.2
)
"""What a cancelled call has cost, a connection, is replaced without a round trip: no name, below no HELLO."""


def check_driver(where: Target | Redis | RedisCluster, version: str = redis.__version__) -> None:
    """Raise `ConfigurationError` if this redis-py is not safe for ``where``.

    Cancelled calls cost older ones connections of a cluster for good, and 5.0 mixed up a sentinel's replies.
    """
    several = where.kind in {"sentinel", "cluster"} if isinstance(where, Target) else _is_several(where)
    if several and tuple(map(int, version.split(".")[:2])) < _SAFE:
        raise ConfigurationError(
            f"clusters and sentinels need redis-py 8.1 or newer, and this is {version}: "
            "after cancelled calls older ones have no connections left, or others' replies"
        )


def _is_several(client: Redis | RedisCluster) -> bool:
    return isinstance(client, RedisCluster) or isinstance(client.connection_pool, SentinelConnectionPool)


def connect(target: Target, settings: Settings) -> Link:
    """Return a link to ``target`` for the running loop. No I/O happens yet."""
    common: dict[str, Any] = {
        "username": target.username or settings.username,
        "password": target.password or settings.password,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.connect_timeout,
        "socket_keepalive": True,
        "protocol": 2,  # of RESP3 nothing is needed
        "retry": Retry(NoBackoff(), 0),
        **_QUIET,
    }
    slots, patience = settings.max_connections, settings.timeout
    place: dict[str, Any]
    match target.kind:
        case "cluster":
            return _cluster(target, settings, common)
        case "sentinel":
            client, sentinels = master_of(target, settings, common)

            async def close() -> None:
                await client.connection_pool.disconnect()
                await sentinels.aclose()

            return OwnLink(client, slots, patience, close)
        case "unix":
            del common["socket_keepalive"]
            place = {"connection_class": SocketConnection, "path": target.path}
        case _:
            [(host, port)] = target.hosts
            place = {"connection_class": PlainConnection, "host": host, "port": port}
            if target.tls:
                place |= {"connection_class": TLSConnection, **settings.ssl_options()}
    pool = ConnectionPool(max_connections=slots, db=target.db, **place, **common)
    return OwnLink(Redis(connection_pool=pool), slots, patience, pool.disconnect)


def _cluster(target: Target, settings: Settings, common: dict[str, Any]) -> Link:
    if target.tls:
        common |= {"ssl": True, **settings.ssl_options()}
    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in target.hosts],
        max_connections=settings.max_connections + 2,  # the layout is asked for beside the commands
        require_full_coverage=False,  # a lost part is a part of the keys, not all of them
        **common,
    )
    return ClusterLink(client, settings.max_connections, settings.timeout, owned=True)


def adopt(client: Redis | RedisCluster, settings: Settings) -> Link:
    """Return a link that uses a client of the user's, as it is configured."""
    if isinstance(client, RedisCluster):
        theirs: int = client.connection_kwargs["max_connections"]
        return ClusterLink(
            client, min(settings.max_connections, max(theirs - 2, 1)), settings.timeout, owned=False
        )
    slots = min(settings.max_connections, client.connection_pool.max_connections)
    return SingleLink(client, slots, settings.timeout)
