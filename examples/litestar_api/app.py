"""Weather stations over HTTP. Start it, on a store in memory or on any other:

uvicorn examples.litestar_api.app:app
ASYNCCACHE_URL=redis://localhost uvicorn examples.litestar_api.app:app

curl -i localhost:8000/stations/1
curl -i localhost:8000/stations/1/readings -H 'X-Api-Key: bergen' --json '{"celsius": 9.5}'
"""  # noqa: D415  (a colon introduces the commands)

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import to_thread
from litestar import Controller, Litestar, Request, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.params import FromPath, JSONBody
from litestar.stores.registry import StoreRegistry

from asynccache import Cache, CacheConfig, CachePolicy
from asynccache_litestar import CacheDep, CachePlugin, CacheStore
from examples.litestar_api.stations import Reading, Station, Stations, Summary

__all__ = ["app", "create_app"]

OBSERVERS: Final = {"bergen": 1, "lisbon": 2}
"""Keys of those who measure, and their stations. A real application keeps neither in its source."""

ONE_STATION: Final = CachePolicy(ttl=3600, public=True, tags=["station:{id}"])
StationsDep = NamedDependency[Stations]
Connection = ASGIConnection[Any, Any, Any, Any]


def observer(connection: Connection) -> int | None:
    """Return whose station a request is about, by its key; also what tells observers' responses apart."""
    return OBSERVERS.get(connection.headers.get("x-api-key", ""))


async def observers_only(connection: Connection, _: object) -> None:
    """Let those pass who have a key: a guard, which runs before every hit."""
    if observer(connection) is None:
        raise NotAuthorizedException("send an X-Api-Key")


async def own_station(request: Request[Any, Any, Any]) -> int | None:
    """Return the station of who is asking, for handlers."""
    return observer(request)


class StationController(Controller):
    """Everybody may read; the policy of the controller is that of its GET handlers, unless they say more."""

    path = "/stations"
    opt = {"cache": CachePolicy(ttl=3600, public=True, tags=["stations"])}  # noqa: RUF012  (Litestar's way)

    @get(sync_to_thread=True)
    def stations(self, stations: StationsDep) -> list[Station]:
        """Return every station."""
        return stations.all()

    @get("/{id:int}", opt={"cache": ONE_STATION}, sync_to_thread=True)
    def summary(self, id: FromPath[int], stations: StationsDep) -> Summary:
        """Return the summary of a station."""
        return found(stations.summary(id))

    @post("/{id:int}/readings", guards=[observers_only])
    async def add(
        self, id: FromPath[int], data: JSONBody[Reading], stations: StationsDep, cache: CacheDep
    ) -> Reading:
        """Keep a reading, and forget what was said about its station."""
        await to_thread.run_sync(stations.add, id, data)
        await cache.invalidate_tags(f"station:{id}")
        return data


@get(
    "/mine",
    guards=[observers_only],
    dependencies={"station": Provide(own_station)},
    opt={"cache": CachePolicy(ttl=60, vary_on=observer, tags=["station:{station}"])},
    sync_to_thread=True,
)
def mine(station: NamedDependency[int], stations: StationsDep) -> Summary:
    """Return the summary of the station whose key was sent: cached for each observer, seen by no other."""
    return found(stations.summary(station))


def found(summary: Summary | None) -> Summary:
    """Return ``summary``, or answer 404."""
    if summary is None:
        raise NotFoundException("no such station")
    return summary


def create_app(config: CacheConfig | None = None) -> Litestar:
    """Return the application; its cache is configured by ``config``, else by the environment."""
    cache = Cache(config or CacheConfig.from_env(namespace="weather"))
    stations = Stations()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        yield
        stations.close()

    return Litestar(
        [StationController, mine],
        plugins=[CachePlugin(cache)],
        lifespan=[lifespan],
        dependencies={"stations": Provide(lambda: stations, sync_to_thread=False)},
        # Rate limits are counted in the same store, in a namespace of their own.
        stores=StoreRegistry(default_factory=CacheStore(cache).with_namespace),
        middleware=[RateLimitConfig(rate_limit=("minute", 600)).middleware],
    )


app = create_app()
