# ruff: noqa: PLC0415  (a store's driver is imported where the store is measured)
"""The table 'stores' of BENCHMARKS.md: a cache on each store beside the bare driver, on one server."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from asynccache import Cache, CacheConfig, GuardConfig
from benchmarks import servers
from benchmarks.measure import Figure, Options, Row, Table
from tests.servers.process import find_program

__all__ = ["table"]

WIDTHS: Final = (1, 16, 128)
VALUE: Final = random.Random(0).randbytes(1024)
KEYS: Final = [f"user:{number:06d}:profile" for number in range(1000)]

Get = Callable[[str], Awaitable[Any]]
Set = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Reference:
    """The bare driver, with its own pool and defaults."""

    get: Get
    set: Set


@dataclass(frozen=True, slots=True)
class Store:
    """A store, its goals by width, and how to have it measured."""

    name: str
    program: str | None
    goals: tuple[float, float, float]
    set_goals: tuple[float | None, float | None, float | None]
    open: Callable[[], AbstractAsyncContextManager[tuple[str, Reference]]]
    """Gives the URL for the cache and the bare driver, both on one server that ends with the block."""


@asynccontextmanager
async def _redis() -> AsyncGenerator[tuple[str, Reference], None]:
    from redis.asyncio import Redis

    with servers.redis() as url:
        client = Redis.from_url(url, max_connections=256)

        async def put(key: str) -> None:
            await client.set(f"bare:{key}", VALUE, ex=3600)

        yield url, Reference(lambda key: client.get(f"bare:{key}"), put)
        await client.aclose()


@asynccontextmanager
async def _memcached() -> AsyncGenerator[tuple[str, Reference], None]:
    from aiomcache import Client

    with servers.memcached() as url:
        host, _, port = url.removeprefix("memcached://").partition(":")
        client = Client(host, int(port), pool_size=16)

        async def put(key: str) -> None:
            await client.set(b"bare:" + key.encode(), VALUE, exptime=3600)

        yield url, Reference(lambda key: client.get(b"bare:" + key.encode()), put)
        await client.close()


@asynccontextmanager
async def _postgres() -> AsyncGenerator[tuple[str, Reference], None]:
    import asyncpg

    with servers.postgres() as url:
        pool = await asyncpg.create_pool(url, min_size=10, max_size=10)
        await pool.execute("CREATE UNLOGGED TABLE bare (key text PRIMARY KEY, value bytea)")
        insert = "INSERT INTO bare VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

        async def put(key: str) -> None:
            await pool.execute(insert, key, VALUE)

        yield (
            url,
            Reference(lambda key: pool.fetchval("SELECT value FROM bare WHERE key = $1", key), put),
        )
        await pool.close()


@asynccontextmanager
async def _mongo() -> AsyncGenerator[tuple[str, Reference], None]:
    from pymongo import AsyncMongoClient

    with servers.mongod() as url:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url)
        collection = client["bare"]["bare"]

        async def put(key: str) -> None:
            await collection.replace_one({"_id": key}, {"_id": key, "v": VALUE}, upsert=True)

        yield url, Reference(lambda key: collection.find_one({"_id": key}), put)
        await client.close()


@asynccontextmanager
async def _sqlite() -> AsyncGenerator[tuple[str, Reference], None]:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        connection = sqlite3.connect(Path(folder) / "bare.db", check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE bare (key TEXT PRIMARY KEY, value BLOB)")

        def read(key: str) -> Any:
            return connection.execute("SELECT value FROM bare WHERE key = ?", (key,)).fetchone()

        def write(key: str) -> None:
            connection.execute("INSERT OR REPLACE INTO bare VALUES (?, ?)", (key, VALUE))

        async def put(key: str) -> None:
            await loop.run_in_executor(thread, write, key)

        yield (
            f"sqlite:///{folder}/ours.db",
            Reference(lambda key: loop.run_in_executor(thread, read, key), put),
        )
        connection.close()


STORES: Final = (
    Store("SQLite", None, (0.8, 4, 8), (None, None, None), _sqlite),
    Store("Redis", "redis-server", (0.95, 3, 8.5), (None, None, None), _redis),
    Store("Memcached", "memcached", (0.9, 1.5, 4), (None, None, None), _memcached),
    Store("PostgreSQL", "postgres", (1.6, 4, 9), (1.3, 3, 8), _postgres),
    Store("MongoDB", "mongod", (0.85, 5, 14), (None, None, None), _mongo),
)


async def table(options: Options) -> Table:
    """Measure every store that this machine has."""
    result = Table(
        "stores",
        "Rates as multiples of the bare driver's with its own pool, on the same server; more is better.",
    )
    for store in STORES:
        if store.program is not None and find_program(store.program) is None:
            result.notes.append(f"{store.name} does not take part: {store.program} is not installed")
            continue
        async with store.open() as (url, bare):
            await _measure(store, url, bare, result, options)
    result.notes.append("Values of 1 KiB on the loopback interface; server and client share the machine.")
    return result


async def _measure(store: Store, url: str, bare: Reference, result: Table, options: Options) -> None:
    # A deadline that a machine with two cores for everything does not reach: no contestant may fail here.
    async with Cache(CacheConfig(backend=url, guard=GuardConfig(timeout=10.0))) as cache:

        async def put(key: str) -> None:
            await cache.set(key, VALUE, 3600)

        for key in KEYS:
            await put(key)
            await bare.set(key)
        for width, goal in zip(WIDTHS, store.goals, strict=True):
            figure, note = await _race(cache.get, bare.get, width, options)
            name = f"{store.name} get, {_tasks(width)}"
            result.rows.append(Row(name, goal, figure, more_is_better=True, note=note))
        for width, goal in zip(WIDTHS, store.set_goals, strict=True):
            figure, note = await _race(put, bare.set, width, options)
            name = f"{store.name} set, {_tasks(width)}"
            result.rows.append(Row(name, goal, figure, more_is_better=True, note=note))
        assert cache.stats().failed == 0, "a failed operation is fast: the figures would lie"


def _tasks(width: int) -> str:
    return "1 task" if width == 1 else f"{width} tasks"


async def _race(ours: Get, bare: Get, width: int, options: Options) -> tuple[Figure, str]:
    """Return our rate as a multiple of the bare driver's, and both for the footnote."""
    rounds, seconds = (5, 0.1) if options.quick else (15, 0.25)
    mine: list[float] = []
    theirs: list[float] = []
    for get in (ours, bare):
        await _rate(get, width, seconds)
    for _ in range(rounds):
        for get, rates in random.sample([(ours, mine), (bare, theirs)], 2):
            rates.append(await _rate(get, width, seconds))
    figure = Figure.of([a / b for a, b in zip(mine, theirs, strict=True)])
    return figure, f"{sum(mine) / rounds:,.0f}/s against {sum(theirs) / rounds:,.0f}/s"


async def _rate(operation: Get, width: int, seconds: float) -> float:
    """Return operations per second with ``width`` tasks, each of which awaits one after the other."""
    done = 0
    end = perf_counter() + seconds

    async def work(start: int) -> None:
        nonlocal done
        keys = cycle(KEYS[start:] + KEYS[:start])
        while perf_counter() < end:
            await operation(next(keys))
            done += 1

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(width):
            group.create_task(work(number * 7 % len(KEYS)))
    return done / (perf_counter() - began)
