"""The tables of a cache file, and how a file of an older version gets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from asynccache.errors import ConfigurationError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate", "version"]

APPLICATION_ID: Final = 0x61736363  # "ascc"
"""What marks a SQLite file as a cache of ours; bytes 68 to 71 of the file."""

MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        # A new or replaced value gets the next id: their order is the order of writing, which is all that
        # eviction needs. The value stands last, so that what precedes it is read without its pages.
        """CREATE TABLE entries (
            id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, expires REAL NOT NULL, value BLOB NOT NULL
        )""",
        "CREATE INDEX entries_expiry ON entries (expires) WHERE expires < 9e999",
        """CREATE TABLE leases (
            key BLOB PRIMARY KEY, token TEXT NOT NULL, expires REAL NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX leases_expiry ON leases (expires)",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
)
"""The statements that lead from each version to the next. What was released is never changed."""


def version(connection: sqlite3.Connection) -> int:
    """Return the version of the tables; 0 if there are none."""
    [number] = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the tables to the newest version, all of the way or not at all.

    Raises:
        ConfigurationError: they are newer than that.
    """
    if version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been faster.
        for statement in _steps(version(connection), migrations):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _steps(present: int, migrations: Sequence[Sequence[str]]) -> list[str]:
    if present > len(migrations):
        raise ConfigurationError(
            f"the cache file was written by a newer asynccache (its version is {present}, the newest known "
            f"here is {len(migrations)}): update asynccache, or name another file"
        )
    return [statement for step in migrations[present:] for statement in step]
