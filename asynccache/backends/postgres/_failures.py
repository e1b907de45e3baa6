"""What the exceptions of asyncpg mean. Pure."""

from __future__ import annotations

from typing import Final

from asynccache.backends.postgres._driver import asyncpg
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError, CacheError

__all__ = ["elsewhere", "translated"]

_UNAVAILABLE: Final = (
    "08",  # the connection broke, or was refused
    "28",  # wrong password or user
    "3D",  # no such database
    "57P",  # shutting down, starting up, dropped
    "25006",  # read only: a standby, or what has just become one
    "53300",  # too many connections
)
"""SQLSTATEs (PostgreSQL, appendix A) of a server that cannot serve us, by how they begin."""
_LATE: Final = ("57014", "55P03")  # statement_timeout, lock_timeout


def translated(error: BaseException, key: str | None = None) -> BaseException:
    """Return what is raised instead of ``error``, which becomes its cause."""
    match error:
        case CacheError():
            return error
        case asyncpg.PostgresError():
            kind = _kind(error.sqlstate or "")
        case TimeoutError():
            kind = BackendTimeoutError
        case OSError() | EOFError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            kind = BackendUnavailableError
        case ValueError() | RuntimeError():  # a host that is no name, a loop that is closed
            kind = BackendUnavailableError
        case _:
            return error
    name = type(error).__name__
    mapped = kind(f"{name}: {error}" if str(error) else name, backend="postgres", key=key)
    mapped.__cause__ = error
    return mapped


def _kind(sqlstate: str) -> type[BackendError]:
    if sqlstate.startswith(_LATE):
        return BackendTimeoutError
    if sqlstate.startswith(_UNAVAILABLE):
        return BackendUnavailableError
    return BackendError


def elsewhere(error: asyncpg.PostgresError) -> bool:
    """Return True if a new connection might lead to a server that would not have raised ``error``.

    After a failover the old primary answers, but only reads (25006): with several hosts in the URL and
    ``target_session_attrs=read-write`` a new connection finds the new one.
    """
    return error.sqlstate == "25006"
