"""docs/backends.md says what the stores can do: the same as the stores themselves."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from asynccache import Cache, CacheConfig
from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsCompareAndSwap,
    SupportsInvalidationBus,
    SupportsTouch,
)

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
URLS = {
    "memory": "memory://",
    "SQLite": "sqlite:///cache.db",
    "Redis": "redis://localhost",
    "Memcached": "memcached://localhost",
    "PostgreSQL": "postgresql://localhost/app",
    "MongoDB": "mongodb://localhost/app",
}
ROWS: dict[str, Callable[[Cache, CacheBackendProtocol], bool]] = {
    "many keys in one round trip": lambda cache, _: cache.capabilities.many,
    "atomic `add`": lambda cache, _: cache.capabilities.add,
    "atomic `incr`": lambda cache, _: cache.capabilities.increment,
    "`touch`": lambda _, store: isinstance(store, SupportsTouch),
    "leases: one computation across processes": lambda cache, _: cache.capabilities.leases,
    "clearing removes, not only hides": lambda cache, _: cache.capabilities.clear,
    "compare and swap": lambda _, store: isinstance(store, SupportsCompareAndSwap),
    "bus between processes": lambda _, store: isinstance(store, SupportsInvalidationBus),
}
pytestmark = pytest.mark.docs


def cells(row: str) -> list[str]:
    """Return the cells of the row of a table that begins with ``row``."""
    found = re.search(rf"^\| {re.escape(row)} \|(.*)\|$", PAGE, re.MULTILINE)
    assert found, f"docs/backends.md has no row {row!r}"
    return [cell.strip() for cell in found[1].split("|")]


@pytest.mark.parametrize("row", ROWS)
def test_capabilities_are_as_the_page_says(row: str) -> None:
    assert cells("capability") == list(URLS)
    for cell, (name, url) in zip(cells(row), URLS.items(), strict=True):
        cache = Cache(CacheConfig(backend=url))
        able = ROWS[row](cache, cache.entries.access.backend)
        assert cell == ("yes" if able else "no") or (cell.startswith("with ") and not able), name


def test_a_replica_set_has_a_bus() -> None:
    cache = Cache(CacheConfig(backend="mongodb://localhost/app?replicaSet=rs0"))

    assert cache.capabilities.bus
