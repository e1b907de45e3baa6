"""Makes the table, and brings an older one up to date: once, however many processes start together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asynccache.backends.postgres._table import Table
from asynccache.errors import BackendUnavailableError

if TYPE_CHECKING:
    from asynccache.backends.postgres._driver import Connection

__all__ = ["STEPS", "State", "ensure"]

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # No index on `expires`: with one no update would be HOT, and each would write to every index. Half
        # of a page stays free, so that an update finds room for the new version beside the old one.
        """CREATE {unlogged} TABLE {table} (
            expires double precision NOT NULL,
            lease_until double precision,
            digest bytea NOT NULL PRIMARY KEY,
            token bytea,
            key bytea NOT NULL,
            value bytea
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)""",
        # Whoever wants compression has it before encryption, in the cache; here it would cost every reader.
        "ALTER TABLE {table} ALTER COLUMN value SET STORAGE EXTERNAL",
        # For clear: an index row must fit in a third of a page, and keys have any length.
        "CREATE INDEX ON {table} (substring(key from 1 for 64))",
    ),
)
"""``STEPS[n]`` leads from layout n to layout n + 1. Only ever add to the end."""

_COMMENT: Final = "asynccache cache store, layout {}"
_COMMENTED: Final = re.compile(_COMMENT.format(r"(\d{1,9})"))

_LOOK: Final = (
    "SELECT n.nspname, c.relname, c.relkind, c.relpersistence, obj_description(c.oid, 'pg_class')"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)"
)
_LOOK_FOR_SCHEMA: Final = "SELECT nspname FROM pg_namespace WHERE oid = to_regnamespace($1)"


@dataclass(frozen=True, slots=True)
class State:
    """What is there under the table's name."""

    layout: int
    """0: nothing."""
    unlogged: bool
    schema: str
    """Empty if there is none yet."""

    def fits(self, layout: int, *, unlogged: bool) -> bool:
        """Return True if there is nothing to be done."""
        return self.layout == layout and self.unlogged == unlogged


async def ensure(
    connection: Connection,
    table: Table,
    *,
    unlogged: bool,
    timeout: float,
    steps: Sequence[Sequence[str]] = STEPS,
) -> State:
    """Make ``table`` what it must be, and return what it is then.

    Where nothing is to be done it needs no privilege beyond reading the catalogue, and takes no lock.

    Args:
        connection: Outside of a transaction.
        table: Its name.
        unlogged: Whether it is to be UNLOGGED; an existing table is changed, which rewrites it.
        timeout: Seconds for each statement, waiting for another process included.
        steps: Every layout's way from the one before.

    Raises:
        BackendUnavailableError: the name is taken by something else, or by a later version of asynccache.
    """
    found = await _look(connection, table, len(steps))
    if found.fits(len(steps), unlogged=unlogged):
        return found
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(f"SET LOCAL statement_timeout = {round(timeout * 1000)}", timeout=timeout)
        # Held until the transaction ends, whatever becomes of us; PgBouncer keeps the session together
        # for exactly as long.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", table.lock, timeout=timeout)
        found = await _look(connection, table, len(steps))
        if not found.schema and table.schema is not None:
            # Not "if not exists": that asks for the privilege even where it exists.
            await connection.execute(f"CREATE SCHEMA {Table(table.schema)}", timeout=timeout)
        for statement in _changes(found, table, unlogged=unlogged, steps=steps):
            await connection.execute(statement, timeout=timeout)
        return await _look(connection, table, len(steps))


async def _look(connection: Connection, table: Table, layout: int) -> State:
    rows = await connection.fetch(_LOOK, str(table))
    if not rows:
        schema = table.schema and await connection.fetchval(_LOOK_FOR_SCHEMA, str(Table(table.schema)))
        return State(0, unlogged=False, schema=schema or "")
    schema, name, kind, persistence, comment = rows[0]
    match = _COMMENTED.fullmatch(comment or "")
    if kind != b"r" or match is None:
        raise BackendUnavailableError(
            f"{schema}.{name} is there and not a table of asynccache: choose another name with table=",
            backend="postgres",
        )
    if int(match[1]) > layout:
        raise BackendUnavailableError(
            f"{schema}.{name} was made by a later version of asynccache (layout {match[1]}, this one knows"
            f" {layout}): upgrade, or choose another name with table=",
            backend="postgres",
        )
    return State(int(match[1]), unlogged=persistence == b"u", schema=schema)


def _changes(found: State, table: Table, *, unlogged: bool, steps: Sequence[Sequence[str]]) -> list[str]:
    """Return the statements that lead from ``found`` to what is wanted."""
    changes: list[str] = []
    for step in steps[found.layout :]:
        for statement in step:
            filled = statement.replace("{unlogged}", "UNLOGGED" if unlogged else "")
            changes.append(filled.replace("{table}", str(table)))
    if found.layout and found.unlogged != unlogged:
        changes.append(f"ALTER TABLE {table} SET {'UNLOGGED' if unlogged else 'LOGGED'}")
    if found.layout != len(steps):
        changes.append(f"COMMENT ON TABLE {table} IS '{_COMMENT.format(len(steps))}'")
    return changes
