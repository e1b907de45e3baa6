# ruff: noqa: PLC0415  (a process imports only what it measures)
"""What needs a fresh process: memory, pauses, imports. ``python -m benchmarks.probes WHAT WHO COUNT``."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final

__all__ = ["PAUSES", "SIZES", "ProbeError", "run"]

_LONGEST: Final = 180.0
_VALUE: Final = 64
_PAGE: Final = 4096


class ProbeError(Exception):
    """The process failed."""


def run(what: str, who: str, count: int) -> float:
    """Return what a probe in a fresh process says; raise `ProbeError` if it fails."""
    command = [sys.executable, "-m", "benchmarks.probes", what, who, str(count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        raise ProbeError(f"took more than {_LONGEST:.0f} s") from None
    if done.returncode:
        raise ProbeError((done.stderr.strip() or "failed").splitlines()[-1])
    return float(done.stdout)


# -- bytes per entry ----------------------------------------------------------------------------------

Putting = Callable[[str, Any], Any]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _sized(put: Putting, count: int, value: Callable[[int], Any]) -> float:
    """Put twice as many as there is room for; return the resident bytes of each beyond key and value."""
    size = sys.getsizeof(_key(0)) + sys.getsizeof(value(0))
    gc.collect()
    before = _resident()
    for number in range(2 * count):
        put(_key(number), value(number))
    gc.collect()
    return (_resident() - before) / count - size


def _key(number: int) -> str:
    return f"user:{number:08d}:profile"


def _bytes(number: int) -> bytes:
    return b"%064d" % number


def _text(number: int) -> str:
    return f"{number:064d}"


def _driven(method: Callable[..., Awaitable[Any]], *more: Any) -> Putting:
    """Return a plain function that drives a coroutine which never waits."""

    def put(key: str, value: Any) -> None:
        coroutine: Any = method(key, value, *more)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("it waits")

    return put


def _size_ours(count: int) -> float:
    from asynccache import InMemoryBackend

    backend = InMemoryBackend(max_bytes=2**40, max_entries=count)
    return _sized(_driven(backend.set, 3600), count, _bytes)


def _size_ours_cache(count: int) -> float:
    from asynccache import Cache, CacheConfig, InMemoryBackend

    cache = Cache(CacheConfig(backend=InMemoryBackend(max_bytes=2**40, max_entries=count)))
    return _sized(_driven(cache.set, 3600), count, _text)


def _size_dict(count: int) -> float:
    kept: dict[str, Any] = {}

    def put(key: str, value: Any) -> None:
        if len(kept) < count:
            kept[key] = value

    return _sized(put, count, _bytes)


def _size_cachebox(count: int) -> float:
    import cachebox

    cache: Any = cachebox.LRUCache(count)
    return _sized(cache.insert, count, _bytes)


def _size_cachebox_ttl(count: int) -> float:
    import cachebox

    cache: Any = cachebox.TTLCache(count, 3600)
    return _sized(cache.insert, count, _bytes)


def _size_cachetools(count: int) -> float:
    import cachetools

    return _sized(cachetools.TTLCache[str, Any](count, 3600).__setitem__, count, _bytes)


def _size_theine(count: int) -> float:
    from datetime import timedelta

    from theine import Cache

    cache: Any = Cache(count)
    hour = timedelta(hours=1)
    return _sized(lambda key, value: cache.set(key, value, hour), count, _bytes)


def _size_cachekit(count: int) -> float:
    from fast_cache import InMemoryBackend

    store = InMemoryBackend(max_size=count)
    return _sized(lambda key, value: store.set(key, value, 3600), count, _bytes)


SIZES: Final[dict[str, Callable[[int], float]]] = {
    "ours": _size_ours,
    "ours: Cache, str": _size_ours_cache,
    "dict": _size_dict,
    "cachebox LRU": _size_cachebox,
    "cachebox TTL": _size_cachebox_ttl,
    "cachetools TTL": _size_cachetools,
    "fastapi-cachekit": _size_cachekit,
    "theine": _size_theine,
}


# -- pauses -------------------------------------------------------------------------------------------

_SPREAD: Final = 4.0
"""Seconds over which the entries expire."""


async def _longest_pause(seconds: float) -> float:
    """Return the milliseconds by which a ticker of one millisecond was late at worst."""
    worst = 0.0
    end = perf_counter() + seconds
    before = perf_counter()
    while before < end:
        await asyncio.sleep(0.001)
        now = perf_counter()
        worst = max(worst, now - before - 0.001)
        before = now
    return worst * 1000


Expiring = Callable[[str, float], Awaitable[Any]]
"""Put something under a key that expires after so many seconds."""


async def _pause(put: Expiring, count: int, filling: float, left: Callable[[], int] = lambda: 0) -> float:
    """Return the longest pause while ``count`` entries expire, above that of the idle loop before.

    Where ``left`` tells how many entries are still there, until they are gone.
    """
    control = await _longest_pause(_SPREAD)
    begin = time() + filling
    for number in range(count):
        await put(_key(number), begin + random.random() * _SPREAD - time())
        if not number % 1000:
            await asyncio.sleep(0)
    if time() > begin:
        raise RuntimeError(f"filling took {time() - begin + filling:.1f} s and has {filling:.0f} s")
    await asyncio.sleep(max(0.0, begin - time() - 0.05))
    worst = await _longest_pause(_SPREAD + 3)
    while left() > count // 100:
        if time() > begin + 10 * _SPREAD:
            raise RuntimeError(f"{left()} entries are left")
        worst = max(worst, await _longest_pause(1))
    return max(0.0, worst - control)


async def _pause_ours(count: int) -> float:
    from asynccache import InMemoryBackend

    backend = InMemoryBackend(max_bytes=2**30)
    table: Any = backend._table  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return await _pause(
        lambda key, ttl: backend.set(key, b"x" * _VALUE, ttl), count, 20, lambda: table.entries
    )


async def _pause_cashews(count: int) -> float:
    from cashews import Cache

    cache = Cache()
    cache.setup(f"mem://?size={count}")
    await cache.init()
    return await _pause(lambda key, ttl: cache.set(key, b"x" * _VALUE, expire=ttl), count, 40)


async def _pause_aiocache(count: int) -> float:
    from aiocache import SimpleMemoryCache

    cache = SimpleMemoryCache(timeout=0)
    return await _pause(lambda key, ttl: cache.set(key, b"x" * _VALUE, ttl), count, 30)


PAUSES: Final[dict[str, Callable[[int], Awaitable[float]]]] = {
    "ours": _pause_ours,
    "cashews": _pause_cashews,
    "aiocache timeout=0": _pause_aiocache,
}


# -- the worst insert ---------------------------------------------------------------------------------

_RUNS: Final = 5
_MORE: Final = 20_000


def _worst(fill: Callable[[], Putting]) -> float:
    """Return the milliseconds of the worst insert: of each the least of some identical runs."""
    least = [1e9] * _MORE
    for _ in range(_RUNS):
        put = fill()
        gc.collect()
        moments = [perf_counter()]
        for number in range(_MORE):
            put(f"new:{number:08d}:profile", b"x" * _VALUE)
            moments.append(perf_counter())
        for number, (began, ended) in enumerate(pairwise(moments)):
            least[number] = min(least[number], ended - began)
    return max(least) * 1000


def _insert_ours(count: int) -> float:
    from asynccache import InMemoryBackend

    def fill() -> Putting:
        backend = InMemoryBackend(max_bytes=2**40, max_entries=count)
        put = _driven(backend.set, 3600)
        get = _driven(lambda key, _: backend.get(key))
        for number in range(count):
            put(_key(number), _bytes(number))
        for _ in range(3):
            for number in range(count):
                get(_key(number), None)
        return put

    return _worst(fill)


def _insert_cachetools(count: int) -> float:
    import cachetools

    def fill() -> Putting:
        cache = cachetools.LRUCache[str, Any](count)
        for number in range(count):
            cache[_key(number)] = _bytes(number)
        return cache.__setitem__

    return _worst(fill)


INSERTS: Final[dict[str, Callable[[int], float]]] = {
    "ours": _insert_ours,
    "cachetools LRU": _insert_cachetools,
}


# -- imports ------------------------------------------------------------------------------------------

_BEFORE: Final = "import asyncio, msgspec, msgspec.msgpack, msgspec.json, anyio, anyio.to_thread, time"


def import_ms(_: int) -> float:
    """Return the milliseconds ``import asynccache`` takes once its dependencies are imported."""
    exec(_BEFORE, {})
    began = perf_counter()
    import asynccache  # noqa: F401

    return (perf_counter() - began) * 1000


def _main() -> None:
    what, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "size":
        print(SIZES[who](count))
    elif what == "pause":
        print(asyncio.run(_awaited(PAUSES[who](count))))
    elif what == "insert":
        print(INSERTS[who](count))
    elif what == "import":
        print(import_ms(count))
    else:
        raise SystemExit(f"there is no probe {what!r}")


async def _awaited(doing: Awaitable[float]) -> float:
    return await doing


if __name__ == "__main__":
    _main()
