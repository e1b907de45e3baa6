# ruff: noqa: BLE001, PLC0415, TRY301  (peers are imported where they are tried, and fail as they like)
"""The peers' in-memory stores, with their defaults. One that does not work is reported, never fatal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["Store", "make_stores"]


@dataclass(frozen=True, slots=True)
class Store:
    """A peer's store, reduced to what is measured."""

    name: str
    get: Callable[[str], Awaitable[Any]]
    set: Callable[[str, Any], Awaitable[Any]]
    """With a time to live of `TTL` seconds."""
    close: Callable[[], Awaitable[Any]] | None = None


TTL = 3600


async def _fastapi_cache2() -> Store:
    from fastapi_cache.backends.inmemory import InMemoryBackend

    store = InMemoryBackend()

    async def put(key: str, value: Any) -> None:
        await store.set(key, value, TTL)

    return Store("fastapi-cache2", store.get, put)


async def _fastapi_cachekit() -> Store:
    from fast_cache import InMemoryBackend

    store = InMemoryBackend()

    async def put(key: str, value: Any) -> None:
        await store.aset(key, value, TTL)

    return Store("fastapi-cachekit", store.aget, put)


async def _aiocache() -> Store:
    from aiocache import SimpleMemoryCache

    store = SimpleMemoryCache()

    async def put(key: str, value: Any) -> None:
        await store.set(key, value, TTL)

    return Store("aiocache", store.get, put, store.clear)


async def _aiocache_no_timeout() -> Store:
    from aiocache import SimpleMemoryCache

    store = SimpleMemoryCache(namespace="no-timeout", timeout=0)

    async def put(key: str, value: Any) -> None:
        await store.set(key, value, TTL)

    return Store("aiocache timeout=0", store.get, put, store.clear)


async def _cashews() -> Store:
    from cashews import Cache

    store = Cache()
    store.setup("mem://")
    await store.init()

    async def put(key: str, value: Any) -> None:
        await store.set(key, value, expire=TTL)

    return Store("cashews", store.get, put, store.close)


async def _litestar() -> Store:
    from litestar.stores.memory import MemoryStore

    store = MemoryStore()

    async def put(key: str, value: Any) -> None:
        await store.set(key, value, TTL)

    return Store("litestar", store.get, put)


async def make_stores() -> tuple[list[Store], list[str]]:
    """Return the stores that are there, and why the others are not."""
    found: list[Store] = []
    absent: list[str] = []
    makers = (_fastapi_cache2, _fastapi_cachekit, _aiocache_no_timeout, _aiocache, _cashews, _litestar)
    for make in makers:
        try:
            store = await make()
            await store.set("k", b"v")
            if await store.get("k") != b"v":
                raise ValueError("does not return what was set")
            found.append(store)
        except Exception as error:
            absent.append(f"{make.__name__[1:]} does not take part: {type(error).__name__}: {error}")
    return found, absent


async def close_stores(stores: list[Store]) -> None:
    """Close them all, whatever they say."""
    for store in stores:
        if store.close is not None:
            with suppress(Exception):
                await store.close()
