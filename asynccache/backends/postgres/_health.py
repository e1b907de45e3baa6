"""What the server says of itself and of the table."""

from __future__ import annotations

from typing import Any, Final

from asynccache.backends.postgres._session import Session
from asynccache.backends.postgres._table import Table

__all__ = ["describe"]

_ASK: Final = (
    "SELECT current_setting('server_version'), pg_is_in_recovery(), c.relpersistence,"
    " pg_total_relation_size(c.oid), s.n_live_tup, s.n_dead_tup, s.n_tup_upd, s.n_tup_hot_upd,"
    " s.last_autovacuum"
    " FROM pg_class AS c LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid WHERE c.oid = to_regclass($1)"
)


async def describe(session: Session, table: Table) -> dict[str, Any]:
    """Return the details of a health report."""
    rows = await session.fetch(None, _ASK, str(table))
    connections = session.connections
    details: dict[str, Any] = {
        "table": str(table),
        "connections": len(connections),
        "idle_connections": connections.idle,
        "eviction_policy": "none",
    }
    for version, standby, persistence, size, live, dead, updates, hot, vacuumed in rows:
        details |= {
            "server_version": version,
            "role": "standby" if standby else "primary",
            "persistence": "unlogged" if persistence == b"u" else "logged",
            "bytes": size,
            "entries": live,
            "dead_rows": dead,
            "updates": updates,
            "hot_updates": hot,
            "last_autovacuum": None if vacuumed is None else vacuumed.timestamp(),
        }
    return details
