"""For tests of applications that use asynccache, and of backends written for it.

- `override_cache`: another cache for an application, for the length of a test.
- `count`: hits, misses and so on of one block.
- `FakeClock`: time that passes when the test says so.
- `RecordedEvents`: an observer that remembers, to assert on what the cache did.
- `ChaosBackend`: any store, but slow, failing, hanging or lying.
- `BackendConformance`, `CacheConformance`: what every store must do, as pytest classes to inherit from.

With the package installed, pytest also has the fixtures ``asynccache_cache``, ``asynccache_clock`` and
``asynccache_override`` (see `asynccache.testing.plugin`). Names are loaded when first used: only the
conformance classes need pytest and pytest-asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asynccache.testing.chaos import ChaosBackend, ChaosCount
    from asynccache.testing.clock import FakeClock
    from asynccache.testing.conformance import BackendConformance, CacheConformance
    from asynccache.testing.counting import Counted, count
    from asynccache.testing.overriding import override_cache
    from asynccache.testing.recording import RecordedEvents

__all__ = [
    "BackendConformance",
    "CacheConformance",
    "ChaosBackend",
    "ChaosCount",
    "Counted",
    "FakeClock",
    "RecordedEvents",
    "count",
    "override_cache",
]

_HOMES: Final = {
    "BackendConformance": "conformance",
    "CacheConformance": "conformance",
    "ChaosBackend": "chaos",
    "ChaosCount": "chaos",
    "Counted": "counting",
    "FakeClock": "clock",
    "RecordedEvents": "recording",
    "count": "counting",
    "override_cache": "overriding",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
