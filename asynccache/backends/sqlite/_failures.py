"""What SQLite's errors mean. Pure."""

from __future__ import annotations

import sqlite3
from typing import Final

from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError

__all__ = ["FAILURES", "failure", "is_busy", "is_damage", "is_full", "is_lost", "is_outdated"]

FAILURES: Final = (sqlite3.Error, OSError, MemoryError, OverflowError)
"""What a call into SQLite, or to the file system, raises."""

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOST: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL})


def _code(error: BaseException) -> int | None:
    """Return the primary result code; the extended ones carry more in their upper bytes."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def is_busy(error: BaseException) -> bool:
    """Return True if somebody else held a lock for too long."""
    return _code(error) in _BUSY


def is_full(error: BaseException) -> bool:
    """Return True if there was no room, on the disk or under the cap."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_damage(error: BaseException) -> bool:
    """Return True if the file is not what it should be."""
    return _code(error) in _DAMAGED


def is_outdated(error: BaseException) -> bool:
    """Return True if the file was emptied, or replaced, under an open connection."""
    moved = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_DBMOVED
    return moved or _code(error) == sqlite3.SQLITE_ERROR  # no such table


def is_lost(error: BaseException) -> bool:
    """Return True if the connection had better be made anew."""
    return _code(error) in _LOST or isinstance(error, OSError)


def failure(error: BaseException, operation: str, key: str | None) -> BackendError:
    """Return what the caller of ``operation`` is to raise from ``error``."""
    if is_busy(error):
        kind: type[BackendError] = BackendTimeoutError
        what = "another process holds the lock on the file"
    elif is_lost(error) or is_damage(error):
        kind, what = BackendUnavailableError, str(error)
    else:  # an answer: no room, a file that may only be read, no memory
        kind, what = BackendError, str(error) or type(error).__name__
    return kind(f"{operation} failed: {what}", backend="sqlite", key=key)
