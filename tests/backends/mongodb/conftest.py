"""A store that is open, with a clock to turn, and a look at what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from pymongo.asynchronous.collection import AsyncCollection

from asynccache._engine.clock import wall_clock
from asynccache.backends.mongodb import MongoDBBackend
from asynccache.testing import FakeClock
from tests.servers.mongo import MongoServer

Documents = AsyncCollection[dict[str, Any]]


@dataclass(frozen=True)
class Opened:
    """A store in a database of its own.

    Args:
        url: Where it is.
        backend: The store.
        clock: Its time.
        documents: Its collection, by a client that knows nothing of caches.
    """

    url: str
    backend: MongoDBBackend
    clock: FakeClock
    documents: Documents


@pytest_asyncio.fixture
async def opened(mongo_server: MongoServer) -> AsyncIterator[Opened]:
    """Give a store on a single server."""
    url = mongo_server.fresh_url()
    clock = FakeClock(start=float(round(wall_clock())))
    backend = MongoDBBackend(url, clock=clock, timeout=30, connect_timeout=30)
    await backend.open()
    async with mongo_server.client() as client:
        database = client[url.partition("?")[0].rpartition("/")[2]]
        yield Opened(url, backend, clock, database["cache"])
        await backend.aclose()
        await client.drop_database(database)
