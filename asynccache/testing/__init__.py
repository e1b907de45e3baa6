"""For tests of applications that use asynccache, and of backends written for it.

- `FakeClock`: time that passes when the test says so.
- `RecordedEvents`: an observer that remembers, to assert on what the cache did.
- `ChaosBackend`: any store, but slow, failing, hanging or lying.
- `BackendConformance`, `CacheConformance`: what every store must do, as pytest classes to inherit from.

With the package installed, pytest also has the fixtures ``asynccache_cache`` and ``asynccache_clock``
(see `asynccache.testing.plugin`). Names are loaded when first used: only the conformance classes need
pytest and pytest-asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asynccache.testing.chaos import ChaosBackend, ChaosCount
    from asynccache.testing.clock import FakeClock
    from asynccache.testing.conformance import BackendConformance, CacheConformance
    from asynccache.testing.recording import RecordedEvents

__all__ = [
    "BackendConformance",
    "CacheConformance",
    "ChaosBackend",
    "ChaosCount",
    "FakeClock",
    "RecordedEvents",
]

_HOMES: Final = {
    "BackendConformance": "conformance",
    "CacheConformance": "conformance",
    "ChaosBackend": "chaos",
    "ChaosCount": "chaos",
    "FakeClock": "clock",
    "RecordedEvents": "recording",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
