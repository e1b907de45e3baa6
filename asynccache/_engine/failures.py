"""What the exceptions of a backend mean: what its caller is to raise, and what they say of the store. Pure.

- `OSError`, `EOFError` and `TimeoutError` become `BackendUnavailableError` or `BackendTimeoutError`, any
  other exception becomes `BackendError`, each with its cause: the store is in trouble. So it is where the
  backend raises one of the first two itself.
- A plain `BackendError` raised by the backend is an answer ("not an integer", "out of memory"): it lives.
- `TypeError`, `NameError`, `AssertionError`, `ImportError` and `NotImplementedError` are bugs, and other
  `CacheError`s mistakes of the caller: raised as they are, since nobody would ever find them if they looked
  like a store that failed. They say nothing of the store.
"""

from __future__ import annotations

from asyncio import CancelledError
from enum import Enum
from typing import Final

from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError, CacheError

__all__ = ["CircuitOpenError", "NoSlotError", "Sign", "interpret"]

_BUGS: Final = (TypeError, NameError, AssertionError, ImportError, NotImplementedError)


class CircuitOpenError(BackendUnavailableError):
    """The store failed too often; it was not asked."""


class NoSlotError(BackendTimeoutError):
    """Too many operations were under way for all of the deadline; the store was not asked."""


class Sign(Enum):
    """What a failure says of the store."""

    TROUBLE = "trouble"
    LIFE = "life"
    NOTHING = "nothing"


def interpret(
    error: BaseException, operation: str, key: str | None, backend: str
) -> tuple[BaseException, Sign]:
    """Return what the caller of ``operation`` raises instead of ``error``, and what it says of the store."""
    match error:
        case BackendUnavailableError() | BackendTimeoutError():
            return error, Sign.TROUBLE
        case BackendError():
            return error, Sign.LIFE
        case CacheError():
            return error, Sign.NOTHING
        case TimeoutError():
            kind: type[BackendError] = BackendTimeoutError
        case OSError() | EOFError() | CancelledError():  # cancelled, that is, inside the driver
            kind = BackendUnavailableError
        case Exception() if not isinstance(error, _BUGS):
            kind = BackendError
        case _:
            return error, Sign.NOTHING
    mapped = kind(f"{operation} failed: {type(error).__name__}: {error}", backend=backend, key=key)
    mapped.__cause__ = error
    return mapped, Sign.TROUBLE
