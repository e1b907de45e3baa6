"""asyncpg, or the message that it is not installed; and what its objects are called here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asynccache.errors import MissingDependencyError

try:
    import asyncpg
except ImportError as exc:
    raise MissingDependencyError("asyncpg", "postgres") from exc

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Record = asyncpg.Record
    Connection = asyncpg.Connection[Record] | PoolConnectionProxy[Record]
    Pool = asyncpg.Pool[Any]
else:
    Record = asyncpg.Record
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

__all__ = ["Connection", "Pool", "Record", "asyncpg"]
