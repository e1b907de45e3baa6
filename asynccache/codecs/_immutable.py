"""Which decoded values may be handed out again and again."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["is_immutable"]

_ATOMS: Final = frozenset(
    {str, bytes, int, float, complex, bool, type(None), UUID, Decimal, Fraction, date, timedelta},
)
_MOMENTS: Final = frozenset({datetime, time})
_ZONES: Final = frozenset({type(None), timezone, ZoneInfo})
_LOOKED_AT: Final = 1000
"""Parts of a value; looking at more would cost more than decoding it again."""


def is_immutable(value: object) -> bool:
    """Return True if ``value`` and all it consists of cannot change, so that callers may share one object.

    That is: exact built-in scalars, UUID, Decimal, dates, Enum members, and tuples, frozensets, frozen
    Structs and frozen dataclasses of such. The actual values are looked at, not the annotations. A value of
    more than 1000 parts counts as mutable.
    """
    if type(value) in _ATOMS:
        return True
    pending: list[object] = [value]
    for _ in range(_LOOKED_AT):
        if not pending:
            return True
        item = pending.pop()
        if type(item) in _ATOMS:
            continue
        parts = _parts(item)
        if parts is None or len(parts) > _LOOKED_AT:
            return False
        pending += parts
    return not pending


def _parts(value: Any) -> list[object] | tuple[object, ...] | frozenset[object] | None:
    """Return what an immutable object consists of; None for any other."""
    cls: Any = value.__class__
    if cls is tuple or cls is frozenset:
        parts: tuple[object, ...] | frozenset[object] = value
        return parts
    if cls in _MOMENTS:
        return () if type(value.tzinfo) in _ZONES else None
    if isinstance(value, Enum):
        return ()
    if isinstance(value, msgspec.Struct):
        # A Struct with a __dict__ takes attributes whether it is frozen or not.
        return (
            None
            if not cls.__struct_config__.frozen or hasattr(value, "__dict__")
            else msgspec.structs.astuple(value)
        )
    if "__dataclass_params__" in cls.__dict__ and cls.__dataclass_params__.frozen:
        return _dataclass_parts(value)
    if isinstance(value, tuple) and cls.__bases__ == (tuple,) and hasattr(cls, "_fields"):
        named: tuple[object, ...] = tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return named
    return None


def _dataclass_parts(value: Any) -> list[object] | None:
    fields = [getattr(value, item.name, None) for item in dataclasses.fields(value)]
    return [*fields, *getattr(value, "__dict__", {}).values()]
