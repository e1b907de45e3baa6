"""One link for each event loop, closed when its loop ends if not before; a user's client has one loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop

from redis.asyncio import Redis, RedisCluster

from asynccache._engine.loopend import before_loop_ends
from asynccache._engine.perloop import PerLoop
from asynccache.backends.redis._connect import adopt, check_driver, connect
from asynccache.backends.redis._link import Link
from asynccache.backends.redis._settings import Settings
from asynccache.backends.redis._target import Target
from asynccache.errors import ConfigurationError

__all__ = ["links"]


def links(where: Target | Redis | RedisCluster, settings: Settings) -> PerLoop[Link]:
    """Return the links to ``where``.

    Raises:
        ConfigurationError: the installed driver, or the client's configuration, will not do.
    """
    check_driver(where)
    if isinstance(where, Target):
        target = where

        def make(_loop: AbstractEventLoop) -> Link:
            link = connect(target, settings)
            link.kept = before_loop_ends(link.aclose)
            return link

        return PerLoop(make)
    return PerLoop(_Adopted(where, settings))


class _Adopted:
    """Makes the link of a user's client, for the loop that uses it first."""

    def __init__(self, client: Redis | RedisCluster, settings: Settings) -> None:
        if client.get_encoder().decode_responses:
            raise ConfigurationError("RedisBackend needs a client without decode_responses: values are bytes")
        self._client = client
        self._settings = settings
        self._loop: AbstractEventLoop | None = None

    def __call__(self, loop: AbstractEventLoop) -> Link:
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError(
                "this Redis client belongs to another event loop: with a URL a store can be used from several"
            )
        self._loop = loop
        return adopt(self._client, self._settings)
