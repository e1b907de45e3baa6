"""Arguments of a call as text: `encode` is injective and gives the same text in every process.

Nothing here uses ``hash()``, the order of a set, an address or a foreign ``repr``. What cannot be
written that way is refused with `Unkeyable`; guessing would hand one caller the answer to another's question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final
from uuid import UUID

__all__ = ["Unkeyable", "encode", "label"]

_DEPTH: Final = 64
_SPECIAL: Final = re.compile(r"[\x00-\x1f\x7f\\'\ud800-\udfff]")
_BUILT_IN: Final = (str, bytes, bytearray, int, float, tuple, list, set, frozenset, dict)
"""A subclass of these has a state that is not in its fields."""
_CLASS: Final = re.compile(r"[\w.<>]+\Z")
_DECIMAL_BITS: Final = 1024
"""Larger integers are written in hexadecimal: decimal conversion is quadratic and limited by Python."""


class Unkeyable(Exception):  # noqa: N818 - private; never leaves this package
    """A value that has no lasting identity; the message says which and why."""


def encode(value: object, depth: int = 0) -> str:
    """Return ``value`` as text that no other value has.

    Raises:
        Unkeyable: it has no identity beyond this process, or is nested too deeply or in itself.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return encoder(value, depth)
    return _other(value, depth)


def label(name: str) -> str:
    """Return a name as it is if it is an identifier, else quoted."""
    return name if name.isidentifier() else _quote(name)


def _quote(text: str, _: int = 0) -> str:
    # Not repr(): what that leaves readable depends on the Unicode version of the interpreter.
    if text.isalnum() or _SPECIAL.search(text) is None:
        return f"'{text}'"
    return "'" + _SPECIAL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "'"


def _class(cls: type) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    return name if _CLASS.match(name) else _quote(name)


def _integer(value: int, _: int = 0) -> str:
    return str(value) if value.bit_length() <= _DECIMAL_BITS else hex(value)


def _deeper(depth: int) -> int:
    if depth >= _DEPTH:
        raise Unkeyable(f"it is nested more than {_DEPTH} levels deep, or contains itself")
    return depth + 1


def _items(values: Iterable[object], depth: int) -> str:
    below = _deeper(depth)
    return ", ".join([encode(value, below) for value in values])


def _unordered(values: Iterable[object], depth: int) -> str:
    below = _deeper(depth)
    return ", ".join(sorted([encode(value, below) for value in values]))


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    below = _deeper(depth)
    items = sorted([f"{encode(key, below)}: {encode(item, below)}" for key, item in value.items()])
    return f"{{{', '.join(items)}}}"


def _zone(zone: tzinfo | None) -> str:
    """Return what an offset does not tell: zones differ in the offsets they will have on another day."""
    if zone is None:
        return ""
    text = str(zone)
    if " at 0x" in text:
        raise Unkeyable(f"the time zone {_class(type(zone))} has no name")
    if type(zone) is timezone:
        return f", {_quote(text)}"
    return f", {_class(type(zone))}({_quote(text)})"


def _moment(value: datetime | time) -> str:
    fold = ", fold=1" if value.fold else ""
    return f"({value.isoformat()}{fold}{_zone(value.tzinfo)})"


def _span(value: timedelta) -> str:
    return f"({value.days}, {value.seconds}, {value.microseconds})"


_ENCODERS: Final[dict[type, Callable[[Any, int], str]]] = {
    str: _quote,
    int: _integer,
    bool: lambda value, _: str(value),
    type(None): lambda _, __: "None",
    float: lambda value, _: repr(value),
    complex: lambda value, _: f"complex({value.real!r}, {value.imag!r})",
    bytes: lambda value, _: repr(value),
    bytearray: lambda value, _: f"bytearray({bytes(value)!r})",
    tuple: lambda value, depth: f"({_items(value, depth)})",
    list: lambda value, depth: f"[{_items(value, depth)}]",
    set: lambda value, depth: f"set({_unordered(value, depth)})",
    frozenset: lambda value, depth: f"frozenset({_unordered(value, depth)})",
    dict: _mapping,
    range: lambda value, _: f"range({value.start}, {value.stop}, {value.step})",
    slice: lambda value, depth: f"slice({_items((value.start, value.stop, value.step), depth)})",
    UUID: lambda value, _: f"UUID({value})",
    Decimal: lambda value, _: f"Decimal({value})",
    Fraction: lambda value, _: f"Fraction({_integer(value.numerator)}, {_integer(value.denominator)})",
    datetime: lambda value, _: f"datetime{_moment(value)}",
    time: lambda value, _: f"time{_moment(value)}",
    date: lambda value, _: f"date({value.isoformat()})",
    timedelta: lambda value, _: f"timedelta{_span(value)}",
}
_NAMED: Final[tuple[type, ...]] = (
    *(PosixPath, PurePosixPath, PureWindowsPath, WindowsPath),
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
)
"""Classes whose ``str()`` says it all."""
_ENCODERS.update(dict.fromkeys(_NAMED, lambda value, _: f"{type(value).__name__}({_quote(str(value))})"))


def _other(value: object, depth: int) -> str:
    """Encode what is not of a built-in type, by class and declared state."""
    cls = type(value)
    name = _class(cls)
    if isinstance(value, Enum):
        if isinstance(value, Flag):  # combined flags have no stable name
            return f"{name}({encode(value.value, depth + 1)})"
        return f"{name}.{label(value.name)}"
    if isinstance(value, (datetime, time)):
        return name + _moment(value)
    if isinstance(value, date):
        return f"{name}({value.isoformat()})"
    if isinstance(value, timedelta):
        return name + _span(value)
    if isinstance(value, tuple) and isinstance(getattr(cls, "_fields", None), tuple):
        return f"{name}{encode(tuple(value), depth)}"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    state = None if isinstance(value, _BUILT_IN) else _state(value)
    if state is None:
        raise Unkeyable(f"{name} has no identity that another process would recognise")
    try:
        return name + _mapping(state, depth)
    except Unkeyable as exc:
        raise Unkeyable(f"in {name}, {exc}" if depth == 0 else str(exc)) from None


def _state(value: object) -> dict[str, object] | None:
    """Return all that makes ``value`` what it is, or None if its class does not declare it.

    Declared fields, and whatever else was put on the instance: two objects that differ only there differ.
    """
    cls: type = type(value)
    names = _declared(cls)
    if names is None:
        return None
    own: dict[str, object] = getattr(value, "__dict__", {})
    state = {
        name: own[name] if name in own else getattr(value, name) for name in names if hasattr(value, name)
    }
    for name, more in own.items():
        if name not in state and not isinstance(getattr(cls, name, None), cached_property):
            state[name] = more
    for name in ("__pydantic_extra__", "__pydantic_private__"):
        if more := getattr(value, name, None):
            state[name] = more
    return state


@lru_cache(maxsize=1024)
def _declared(cls: Any) -> tuple[str, ...] | None:
    """Return the fields and slots of a dataclass, attrs class, Struct or pydantic model, else None."""
    names: Iterable[str]
    if hasattr(cls, "__dataclass_fields__"):
        names = [item.name for item in fields(cls)]
    elif (attributes := getattr(cls, "__attrs_attrs__", None)) is not None:
        names = [item.name for item in attributes]
    elif (struct := getattr(cls, "__struct_fields__", None)) is not None:
        names = struct
    elif hasattr(cls, "model_dump") and (model := getattr(cls, "__pydantic_fields__", None)) is not None:
        return tuple(model)  # its slots are pydantic's own
    else:
        return None
    slots = (slot for base in cls.__mro__ for slot in _slots(base))
    return tuple(dict.fromkeys((*names, *slots)))


def _slots(cls: type) -> Iterable[str]:
    """Yield the attributes that ``cls`` keeps in slots, under the names by which they can be read."""
    slots: str | Iterable[str] = cls.__dict__.get("__slots__", ())
    for slot in (slots,) if isinstance(slots, str) else slots:
        if not slot.startswith("__"):
            yield slot
        elif not slot.endswith("__"):  # not __dict__ and __weakref__
            yield f"_{cls.__name__.lstrip('_')}{slot}"
