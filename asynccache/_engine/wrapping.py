"""What wrappers have in common: they are backends that offer exactly what the backend inside offers.

`isinstance(wrapper, SupportsAdd)` has to tell the truth, and it looks at the class (from Python 3.12 on
at the class only), so no ``__getattr__`` will do. A wrapper class therefore writes out every method, and
an instance moves to a subclass in which those that the inner backend lacks are None: the language's own
way of saying "not supported" (as in ``__hash__ = None``), which `isinstance` honours in every version.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import Any, Final, cast

from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsCompareAndSwap,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsMany,
    SupportsTouch,
)

__all__ = ["Wrapper", "owns_its_io"]

_OPTIONAL: Final[dict[type, tuple[str, ...]]] = {
    SupportsMany: ("get_many", "set_many", "delete_many"),
    SupportsExists: ("exists",),
    SupportsTouch: ("touch",),
    SupportsAdd: ("add",),
    SupportsIncrement: ("incr",),
    SupportsCompareAndSwap: ("get_versioned", "compare_and_swap"),
    SupportsClear: ("clear",),
    SupportsLeases: ("acquire_lease", "fill", "release_lease"),
    SupportsInvalidationBus: ("publish", "subscribe"),
    SupportsHealth: ("health",),
}
"""Each capability and its methods; not `SupportsLifecycle`, since every wrapper has a life of its own."""


class Wrapper:
    """The base of backends that wrap a backend. Subclasses write every method of every capability."""

    owns_io = True
    """Its operations run in tasks of its own: a caller that is cancelled merely leaves."""

    def __init__(self, backend: CacheBackendProtocol) -> None:
        self.backend = backend
        """The wrapped backend."""
        # Its optional methods are called only from methods that exist because they do; hence Any.
        self._inner: Any = backend
        lacking = (names for protocol, names in _OPTIONAL.items() if not isinstance(backend, protocol))
        self.__class__ = _without(cast("Any", type(self)), frozenset(chain.from_iterable(lacking)))


@cache
def _without(cls: Any, names: frozenset[str]) -> Any:
    """Return a subclass of ``cls``, by the same name, in which ``names`` are not supported."""
    present = {name: None for name in names if hasattr(cls, name)}
    if not present:
        return cls
    return type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__, **present})


def owns_its_io(backend: object) -> bool:
    """Return True if cancelling a caller of ``backend`` cannot reach a connection."""
    return getattr(backend, "owns_io", False) is True
