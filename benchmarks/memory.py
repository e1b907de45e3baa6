"""The table 'memory' of BENCHMARKS.md: the store in this process and the facade on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from asynccache import Cache, CacheConfig, InMemoryBackend
from benchmarks import peers, probes
from benchmarks.measure import Contestant, Figure, Options, Row, Table, each, race

__all__ = ["table"]

KEYS: Final = [f"user:{number:06d}:profile" for number in range(1000)]
ABSENT: Final = [f"absent:{number:06d}:profile" for number in range(1000)]
BYTES: Final = b"x" * 100
SMALL: Final = {
    "id": 42,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "active": True,
    "roles": ["a", "b"],
}
ENTRIES: Final = 500_000


class Frozen(msgspec.Struct, frozen=True):
    """An immutable value that is no builtin."""

    number: int = 1
    text: str = "text"


async def _load() -> Any:
    raise AssertionError("only hits are measured")


async def table(options: Options) -> Table:
    """Measure every row."""
    result = Table("memory", "Multiples of an `async def` that returns `dict.get(key)`; less is better.")
    await _operations(result, options)
    await asyncio.to_thread(_sizes, result, options)
    await asyncio.to_thread(_pauses, result, options)
    return result


async def _operations(result: Table, options: Options) -> None:
    plain = dict.fromkeys(KEYS, BYTES)

    async def bare(key: str) -> Any:
        return plain.get(key)

    floor = Contestant("floor", each(bare, KEYS))
    stores, absent = await peers.make_stores() if options.peers else ([], [])
    result.notes += absent
    for store in stores:
        for key in KEYS:
            await store.set(key, BYTES)

    backend = InMemoryBackend()
    async with Cache(CacheConfig()) as cache:
        for key in KEYS:
            await backend.set(key, BYTES, 3600)
            await cache.set("b:" + key, BYTES, 3600)
            await cache.set("s:" + key, "a string", 3600)
            await cache.set("i:" + key, 42_000, 3600)
            await cache.set("f:" + key, Frozen(), 3600)
            await cache.set("d:" + key, SMALL, 3600)

        async def frozen(key: str) -> Any:
            return await cache.get(key, type=Frozen)

        async def put(key: str) -> Any:
            return await cache.set(key, SMALL, ttl=60)

        async def load(key: str) -> Any:
            return await cache.get_or_set(key, _load)

        def keys(prefix: str) -> list[str]:
            return [prefix + key for key in KEYS]

        async def row(
            name: str,
            goal: float | None,
            ours: Callable[[str], Awaitable[Any]],
            on: list[str],
            others: list[Contestant],
        ) -> None:
            field = [Contestant("ours", each(ours, on)), *others]
            figures, base, failed = await race(floor, field, options)
            result.floors.append(base)
            result.notes += [note for note in failed if note not in result.notes]
            mine = figures.pop("ours", None)
            result.rows.append(Row(name, goal, mine, figures))

        hits = [Contestant(store.name, each(store.get, KEYS)) for store in stores]
        misses = [Contestant(store.name, each(store.get, ABSENT)) for store in stores]

        def setting(store: peers.Store) -> Contestant:
            async def put_there(key: str) -> None:
                await store.set(key, SMALL)

            return Contestant(store.name, each(put_there, keys("new:")))

        # Litestar's store takes bytes only.
        sets = [setting(store) for store in stores if store.name != "litestar"]
        await row("InMemoryBackend.get hit", 2.0, backend.get, KEYS, hits)
        await row("Cache.get hit, str", 4.5, cache.get, keys("s:"), hits)
        await row("Cache.get hit, bytes", 4.5, cache.get, keys("b:"), [])
        await row("Cache.get hit, int", 4.5, cache.get, keys("i:"), [])
        await row("Cache.get hit, frozen struct (+ a coroutine)", 4.5, frozen, keys("f:"), [])
        await row("Cache.get hit, small dict", 14, cache.get, keys("d:"), [])
        await row("Cache.get miss", 3.5, cache.get, ABSENT, misses)
        await row("Cache.set small dict, ttl (+ a coroutine)", 18, put, keys("n:"), sets)
        await row("get_or_set hit, str (+ a coroutine)", 6, load, keys("s:"), [])
        await row("get_or_set hit, small dict (+ a coroutine)", None, load, keys("d:"), [])
        await backend.aclose()
    await peers.close_stores(stores)
    result.notes.append(
        "fastapi-cache2 and fastapi-cachekit do not encode: they return the caller's own object."
    )
    if stores:
        result.notes.append(
            "'(+ a coroutine)': the call needs arguments; its wrapper, a coroutine, is part of the cost."
        )


def _sizes(result: Table, options: Options) -> None:
    count = ENTRIES // 10 if options.quick else ENTRIES
    figures = _probe(result, "size", ["ours", "ours: Cache, str"], count)
    if options.peers:
        figures |= _probe(
            result, "size", [name for name in probes.SIZES if not name.startswith("ours")], count
        )
    through = figures.pop("ours: Cache, str", None)
    name = f"bytes per entry beyond key and value, {count:,} entries, full"
    result.rows.append(Row(name, 300, figures.pop("ours", None), figures, unit="RSS"))
    if through is not None:
        result.rows.append(Row("the same through Cache.set, str", 300, through, unit="RSS"))


def _pauses(result: Table, options: Options) -> None:
    count = 100_000 if options.quick else 1_000_000
    others = (
        [name for name in probes.PAUSES if not name.startswith("ours")]
        if options.peers and not options.quick
        else []
    )
    figures = _probe(result, "pause", ["ours", *others], count)
    name = f"longest pause while {count:,} entries expire, above an idle control"
    result.rows.append(Row(name, 5, figures.pop("ours", None), figures, unit="ms"))
    worst = _probe(result, "insert", ["ours", *(["cachetools LRU"] if options.peers else [])], 100_000)
    name = "worst insert into a full cache of 100,000 whose entries were all used"
    result.rows.append(Row(name, 0.2, worst.pop("ours", None), worst, unit="ms"))
    result.notes.append(
        "Bytes, pauses and worst inserts are measured in a fresh process each; bytes are resident memory."
    )
    result.notes.append(
        "A worst insert is the largest over all inserts of the least of 5 identical runs:"
        " what the machine's other tenants cause does not repeat."
    )


def _probe(result: Table, what: str, who: list[str], count: int) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name in who:
        try:
            value = probes.run(what, name, count)
        except probes.ProbeError as error:
            result.notes.append(f"{name} does not take part in '{what}': {error}")
        else:
            found[name] = Figure(value, value, value)
    return found
