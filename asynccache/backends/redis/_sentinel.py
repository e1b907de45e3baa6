"""The master that sentinels name: all of them are asked at once, and the server is asked whether it is."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelManagedConnection
from redis.exceptions import ConnectionError as RedisConnectionError, RedisError, ResponseError

from asynccache.backends.redis._connections import Checked
from asynccache.backends.redis._settings import Settings
from asynccache.backends.redis._target import Target

__all__ = ["Sentinels", "master_of"]


class Sentinels(Sentinel):
    """Sentinels, of which one that answers is enough.

    The driver asks one after the other: a silent first one would cost each attempt its whole deadline.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the service's master, as the first to answer says.

        Raises:
            MasterNotFoundError: none knows of one that is up.
        """
        mine: Any = self
        asked = [asyncio.ensure_future(sentinel.sentinel_masters()) for sentinel in self.sentinels]
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    masters: Any = await answer
                except (RedisError, OSError):
                    continue
                state = masters.get(service_name)
                if state and mine.check_master_state(state, service_name):
                    return state["ip"], state["port"]
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise MasterNotFoundError(
            f"no sentinel of {len(asked)} knows a master of {service_name!r} that is up"
        )

    async def aclose(self) -> None:
        """Close the connections to the sentinels; before redis-py 7 there was no such method."""
        for sentinel in self.sentinels:
            await sentinel.aclose()


class _MasterConnection(Checked, SentinelManagedConnection):
    """A connection to a server that says itself that it is the master: a sentinel's word may be outdated."""

    host: str
    port: int

    async def connect_to(self, address: tuple[str, int]) -> None:
        await super().connect_to(address)  # type: ignore[no-untyped-call]  # the driver's
        mine: Any = self
        try:
            await mine.send_command("ROLE")
            role = await mine.read_response()
        except ResponseError:  # not permitted: then writes will tell
            return
        if role[0] != b"master":
            await self.disconnect()
            raise RedisConnectionError(f"{self.host}:{self.port} is not the master any more, or not yet")


class _MasterSSLConnection(_MasterConnection, SSLConnection):
    """The same, encrypted."""


def master_of(target: Target, settings: Settings, common: dict[str, Any]) -> tuple[Redis, Sentinels]:
    """Return a client of the service's master, and the sentinels' clients. No I/O happens yet."""
    timeouts = {name: common[name] for name in ("socket_timeout", "socket_connect_timeout")}
    tls = settings.ssl_options() if target.tls else {}
    sentinels: Any = Sentinels(  # type: ignore[no-untyped-call]  # the driver's
        list(target.hosts),
        sentinel_kwargs={
            **timeouts,
            **({"ssl": True, **tls} if target.tls else {}),
            "username": settings.sentinel_username,
            "password": settings.sentinel_password,
            "protocol": 2,
            "retry": common["retry"],
        },
    )
    client: Redis = sentinels.master_for(
        target.service,
        connection_class=_MasterSSLConnection if target.tls else _MasterConnection,
        max_connections=settings.max_connections,
        db=target.db,
        **tls,
        **common,
    )
    return client, sentinels
