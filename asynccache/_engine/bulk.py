"""`load_many`: the missing ones of many keys, computed in one call and stored one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asynccache._engine.clock import stopwatch
from asynccache._engine.coding import Coder
from asynccache._engine.entry import MISSING, Entry
from asynccache._engine.expiry import Lifetime
from asynccache._engine.store import EntryStore
from asynccache.errors import ConfigurationError

__all__ = ["Loaded", "load_many"]


class Loaded:
    """A computed value, for several callers."""

    __slots__ = ("_coder", "_entry", "_value")

    def __init__(self, coder: Coder, entry: Entry | None, value: Any) -> None:
        self._coder = coder
        self._entry = entry
        self._value = value

    def take(self, type: Any) -> Any:
        """Return the value, as an object that no other caller holds."""
        own = MISSING if self._entry is None else self._coder.value_of(self._entry, type)
        return self._value if own is MISSING else own


async def load_many(
    store: EntryStore,
    coder: Coder,
    keys: Mapping[str, str],
    load: Callable[[list[str]], Awaitable[Mapping[str, Any]]],
    *,
    lifetime: Lifetime,
    tags: Sequence[str],
) -> dict[str, Loaded]:
    """Compute the values of ``keys`` in one call and store them, each under the rules of `Loader`.

    Args:
        store: Where to.
        coder: Makes entries.
        keys: What ``load`` calls them, and their full keys.
        load: Returns the values; what it leaves out is left out here.
        lifetime: How long they live.
        tags: Their tags.
    """
    hard = store.tag_keys(tags)
    runs = {name: store.runs.begin(full, hard) for name, full in keys.items()}
    leases = {name: await store.acquire(full) for name, full in keys.items()}
    try:
        stamps = await store.stamps(tags)
        started = stopwatch()
        values: Any = await load(list(keys))
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"load must return a mapping of keys to values, not {values!r}")
        seconds_each = (stopwatch() - started) / len(keys)
        store.tally.computed += 1
        loaded: dict[str, Loaded] = {}
        for name, full in keys.items():
            if name in values:
                value = values[name]
                entry = coder.entry_if_possible(full, value, lifetime, stamps or (), seconds_each)
                if entry is not None and stamps is not None:
                    await store.fill(entry, runs[name], leases[name])
                loaded[name] = Loaded(coder, entry, value)
        return loaded
    finally:
        for name, full in keys.items():
            store.runs.end(runs[name])
            await store.release(full, leases[name])
