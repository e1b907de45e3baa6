# ruff: noqa: ARG001, BLE001, PLC0415, TRY301  (peers are imported where they are tried, and fail as they like)
"""The table 'memoize' of BENCHMARKS.md: `asynccache.cached` beside other memoising decorators."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

from asynccache import Cache, CacheConfig, cached, set_default_cache
from benchmarks.measure import Contestant, Figure, Options, Row, Run, Table, race

__all__ = ["table"]

CALLERS: Final = 1000

Decorate = Callable[[Any], Any]


async def plain(user_id: int, lang: str = "en") -> str:
    """The floor, and what everyone decorates."""
    return lang


def _fresh() -> Any:
    async def f(user_id: int, lang: str = "en") -> str:
        return lang

    return f


def _positional(function: Callable[..., Awaitable[Any]]) -> Run:
    async def run(times: int) -> float:
        began = perf_counter()
        for _ in range(times):
            await function(42)
        return perf_counter() - began

    return run


def _keyword(function: Callable[..., Awaitable[Any]]) -> Run:
    async def run(times: int) -> float:
        began = perf_counter()
        for _ in range(times):
            await function(user_id=42, lang="de")
        return perf_counter() - began

    return run


# -- peers --------------------------------------------------------------------------------------------


async def _async_lru() -> Decorate:
    from async_lru import alru_cache

    return alru_cache(maxsize=1024)


async def _moka() -> Decorate:
    import moka_py

    return moka_py.cached(maxsize=1024, ttl=3600)


async def _moka_wait_concurrent() -> Decorate:
    import moka_py

    return moka_py.cached(maxsize=1024, ttl=3600, wait_concurrent=True)


async def _fastapi_cachekit() -> Decorate:
    from fast_cache import FastAPICache, InMemoryBackend
    from fastapi import FastAPI

    cache = FastAPICache()
    cache.init_app(FastAPI(), InMemoryBackend())
    return cache.cached(expire=3600)


async def _fastapi_cache2() -> Decorate:
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.init(InMemoryBackend(), prefix="benchmark")
    return cache(expire=3600)


async def _aiocache() -> Decorate:
    from aiocache import cached as decorator

    return decorator(ttl=3600)


async def _cashews() -> Decorate:
    from cashews import Cache as Cashews

    cache = Cashews()
    cache.setup("mem://")
    return cache(ttl=3600)


async def _cachekit_local() -> Decorate:
    from cachekit import cache

    return cache.local(ttl=3600)


async def _cachekit() -> Decorate:
    from cachekit import cache

    return cache(ttl=3600, backend=None)


PEERS: Final[dict[str, Callable[[], Awaitable[Decorate]]]] = {
    "async_lru": _async_lru,
    "moka_py": _moka,
    "moka_py wait_concurrent": _moka_wait_concurrent,
    "fastapi-cachekit": _fastapi_cachekit,
    "fastapi-cache2": _fastapi_cache2,
    "aiocache": _aiocache,
    "cashews": _cashews,
    "cachekit.local": _cachekit_local,
    "cachekit": _cachekit,
}


async def _runs(decorate: Decorate) -> int:
    """Return how often a function runs that 1,000 callers ask for at once."""
    ran = 0

    @decorate
    async def slow(user_id: int, lang: str = "en") -> str:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0.05)
        return lang

    async with asyncio.timeout(30):
        await asyncio.gather(*(slow(7) for _ in range(CALLERS)))
    return ran


async def table(options: Options) -> Table:
    """Measure every row."""
    result = Table(
        "memoize",
        "Multiples of `await f(...)`, the same call of the plain coroutine function; less is better.",
    )
    peers: dict[str, Decorate] = {}
    functions: dict[str, Callable[..., Awaitable[Any]]] = {}
    for name, make in PEERS.items() if options.peers else ():
        try:
            peers[name] = await make()
            functions[name] = peers[name](_fresh())
            if await functions[name](42) != "en" or await functions[name](user_id=42, lang="de") != "de":
                raise ValueError("returns something else")
        except Exception as error:
            functions.pop(name, None)
            peers.pop(name, None)
            result.notes.append(f"{name} does not take part: {type(error).__name__}: {error}")

    async with Cache(CacheConfig()) as cache, Cache(CacheConfig()) as default:
        set_default_cache(default)
        try:
            explicit = cached(ttl=3600, cache=cache)
            resolved = cached(ttl=3600)
            shapes = (("f(42)", 2.5, _positional), ('f(user_id=42, lang="de")', 3.0, _keyword))
            for call, goal, shape in shapes:
                field = [Contestant(name, shape(function)) for name, function in functions.items()]
                for how, decorate, beside in (
                    ("cache=", explicit, field),
                    ("the default cache", resolved, []),
                ):
                    ours = Contestant("ours", shape(decorate(_fresh())))
                    figures, base, failed = await race(
                        Contestant("floor", shape(plain)), [ours, *beside], options
                    )
                    result.floors.append(base)
                    result.notes += [note for note in failed if note not in result.notes]
                    result.rows.append(
                        Row(f"@cached hit {call}, {how}", goal, figures.pop("ours", None), figures)
                    )
            counted = {"ours": await _runs(explicit)}
            for name, decorate in peers.items():
                try:
                    counted[name] = await _runs(decorate)
                except Exception as error:
                    result.notes.append(f"{name}, concurrent misses: {type(error).__name__}: {error}")
        finally:
            set_default_cache(None)
    runs = {name: Figure(ran, ran, ran) for name, ran in counted.items()}
    result.rows.append(Row(f"{CALLERS:,} concurrent misses", 1, runs.pop("ours"), runs, unit="runs"))
    return result
