"""What happened, as frozen records: the only thing observers (metrics, tracing, logs) receive.

An observer is any callable that takes one event. It is called synchronously, after the fact, on the
event loop's thread: it must be quick and must not block. An observer that raises is logged and
never disturbs the cache. Events carry keys, never values.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Computed", "Event", "Failed", "Hit", "Invalidated", "Miss", "Refused", "Stored"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A value was found and served."""

    key: str
    age: float
    """Seconds since the value was stored."""
    stale: bool = False
    """Served past its freshness, within a stale window the policy allows."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing usable was found."""

    key: str
    reason: str = "absent"
    """``absent``, ``expired``, ``damaged``; for a response what Cache-Status says: ``uri-miss`` …"""


@dataclass(frozen=True, slots=True)
class Computed:
    """A loader ran because nothing usable was found, or to refresh what was."""

    key: str
    seconds: float
    error: str | None = None
    """The exception's class name where the loader failed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A value was written."""

    key: str
    size: int
    """Bytes of payload."""
    ttl: float | None
    """Seconds until the store may drop it; None for never."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A value was not written although nothing failed; whatever was there before is gone or newer."""

    key: str
    reason: str
    """``too_large``, ``outdated`` (invalidated while it was computed), ``unencodable``, ``store``."""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Something was removed on purpose."""

    key: str
    """The key; a tag with a leading ``#``; a namespace with a trailing ``:``."""
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A store operation failed; the application went on without it."""

    operation: str
    key: str | None
    error: BaseException


Event = Hit | Miss | Computed | Stored | Refused | Invalidated | Failed
