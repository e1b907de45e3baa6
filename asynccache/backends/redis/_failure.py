"""What the driver's exceptions are to a caller of ours. Pure."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    ClusterError,
    ConnectionError as RedisConnectionError,
    InvalidResponse,
    MasterDownError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)

from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError

__all__ = ["DRIVER_ERRORS", "LOST", "failure", "mapped"]

DRIVER_ERRORS: Final = (RedisError, RedisClusterException, OSError, EOFError, TimeoutError, RuntimeError)
"""What leaves the driver. RuntimeError: its event loop, or uvloop's transport, is closed."""

LOST: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    InvalidResponse,
    ClusterError,
    RedisClusterException,
    OSError,
    EOFError,
)
"""Those after which nobody knows whether the server is still where it was."""

_NOWHERE: Final = (
    *LOST,
    MasterDownError,
    ReadOnlyError,  # a replica, the master until a moment ago
    RuntimeError,
)


def failure(exc: BaseException, doing: str, key: str | None = None) -> BackendError:
    """Return what is raised instead of ``exc``.

    An answer ("not an integer", "out of memory", "no permission") is a plain `BackendError`.
    """
    if isinstance(exc, BackendError):
        return exc
    kind: type[BackendError]
    match exc:
        case RedisTimeoutError() | TimeoutError():
            kind, what = BackendTimeoutError, "no answer in time"
        case AuthenticationError():
            kind, what = BackendUnavailableError, "the user or the password is wrong, or missing"
        case ResponseError() if str(exc).startswith(("NOAUTH", "WRONGPASS")):
            kind, what = BackendUnavailableError, "the user or the password is wrong, or missing"
        case RedisConnectionError() if isinstance(exc.__cause__, TimeoutError):
            kind, what = BackendTimeoutError, "no answer in time"
        case _ if isinstance(exc, _NOWHERE):
            kind, what = BackendUnavailableError, "no connection"
        case _:
            kind, what = BackendError, "refused"
    return kind(f"{doing}: {what} ({type(exc).__name__}: {exc})", backend="redis", key=key)


@contextmanager
def mapped(doing: str, key: str | None = None) -> Generator[None]:
    """Raise `failure` instead of what the driver raises in the ``with`` block."""
    try:
        yield
    except DRIVER_ERRORS as exc:
        raise failure(exc, doing, key) from exc
