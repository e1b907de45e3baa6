"""What every store checks of its arguments before it does anything with them."""

from __future__ import annotations

from math import inf

from asynccache.errors import ConfigurationError
from asynccache.policy import seconds

__all__ = ["INT64", "check_count", "check_integer", "check_value", "lifetime"]

INT64 = 2**63
"""A counter is at least ``-INT64`` and less than ``INT64``, in every store."""


def check_value(value: object, name: str = "value") -> None:
    """Raise `TypeError` unless ``value`` is ``bytes``."""
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")


def check_integer(value: object, name: str) -> None:
    """Raise `TypeError` unless ``value`` is an ``int``, and no ``bool``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")


def check_count(value: object, name: str, least: int) -> None:
    """Raise `ConfigurationError` unless ``value`` is an ``int`` of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} must be an int of at least {least}, not {value!r}")


def lifetime(ttl: float | None) -> float:
    """Return ``ttl`` in seconds, infinite for None.

    Raises:
        ConfigurationError: it is not a positive, finite number (a `ValueError`).
    """
    if (type(ttl) is float or type(ttl) is int) and 0 < ttl < inf:
        return ttl
    return inf if ttl is None else seconds(ttl, "ttl")
