"""The table's name, and every statement that is sent. No value is ever spliced into one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from asynccache.errors import ConfigurationError

__all__ = ["Statements", "Table"]

_LONGEST: Final = 63
"""Bytes of a name. The server would cut off the rest, and two names could become one."""


@dataclass(frozen=True, slots=True)
class Table:
    """The name of a table, with its schema or to be found on the search path."""

    name: str
    schema: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "table")
        if self.schema is not None:
            _check_name(self.schema, "schema")

    def __str__(self) -> str:
        """Return the name as SQL has it, quoted."""
        if self.schema is None:
            return _quoted(self.name)
        return f"{_quoted(self.schema)}.{_quoted(self.name)}"

    @property
    def lock(self) -> int:
        """The number of the advisory lock under which the table is made and changed."""
        # Of the name alone: with and without its schema it may be the same table.
        digest = blake2b(self.name.encode(), digest_size=8, person=b"asynccache").digest()
        return int.from_bytes(digest, "big", signed=True)


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(f"{what} must be a str, not {type(name).__name__}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} {name!r} has lone surrogates") from None
    if not 0 < size <= _LONGEST or "\0" in name:
        raise ConfigurationError(f"{what} must be 1 to {_LONGEST} bytes without NUL, not {name!r}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_VOID: Final = "token = NULL, lease_until = NULL"
_FRAGMENTS: Final = {
    "{void}": _VOID,
    "{replace}": f"key = excluded.key, value = excluded.value, expires = excluded.expires, {_VOID}",
    "{live}": "r.key = excluded.key AND r.expires > $5",
    # Useless once the value has expired and nobody holds a lease.
    "{dead}": "r.expires <= $3 AND (r.lease_until IS NULL OR r.lease_until <= $3)",
    # `encode` turns any bytes into text without an error, and digits into themselves.
    "{integer}": "encode(r.value, 'escape') ~ '^-?(0|[1-9][0-9]{0,18})$'",
    # $1 and $2 bound the first 64 bytes of a key, which are indexed; $3 and $4 bound the whole key.
    "{under_prefix}": "substring(r.key from 1 for 64) >= $1 AND substring(r.key from 1 for 64) < $2"
    " AND r.key >= $3 AND r.key < $4",
}


class Statements:
    """The statements over one table.

    Rows are locked in the order of their digests wherever a statement locks more than one, so that two
    processes never wait for each other. `digest` finds a row; that it is the key's own is asked of `key`.
    """

    def __init__(self, table: Table) -> None:
        def of(text: str) -> str:
            for name, fragment in _FRAGMENTS.items():
                text = text.replace(name, fragment)
            return text.replace("{table}", str(table))  # last: a table may have any name

        self.get: Final = of("SELECT value FROM {table} WHERE digest = $1 AND key = $2 AND expires > $3")
        self.exists: Final = of("SELECT 1 FROM {table} WHERE digest = $1 AND key = $2 AND expires > $3")
        self.get_many: Final = of("SELECT key, value FROM {table} WHERE digest = ANY($1) AND expires > $2")
        self.set: Final = of(
            "INSERT INTO {table} (digest, key, value, expires) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (digest) DO UPDATE SET {replace}"
        )
        self.set_many: Final = of(
            "INSERT INTO {table} (digest, key, value, expires)"
            " SELECT i.digest, i.key, i.value, $4::double precision"
            " FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS i (digest, key, value)"
            " ON CONFLICT (digest) DO UPDATE SET {replace}"
        )
        self.add: Final = of(
            "INSERT INTO {table} AS r (digest, key, value, expires) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (digest) DO UPDATE SET {replace} WHERE NOT ({live}) RETURNING 1"
        )
        self.incr: Final = of(
            "INSERT INTO {table} AS r (digest, key, value, expires) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (digest) DO UPDATE SET key = excluded.key,"
            " value = CASE WHEN {live}"
            " THEN decode((encode(r.value, 'escape')::bigint + $6::bigint)::text, 'escape')"
            " ELSE excluded.value END,"
            " expires = CASE WHEN {live} THEN r.expires ELSE excluded.expires END, {void}"
            " WHERE NOT ({live}) OR {integer} RETURNING value"
        )
        self.touch: Final = of(
            "UPDATE {table} SET expires = $3 WHERE digest = $1 AND key = $2 AND expires > $4 RETURNING 1"
        )
        self.delete: Final = of("DELETE FROM {table} WHERE digest = $1 AND key = $2 RETURNING expires > $3")
        self.delete_many: Final = of(
            "WITH doomed AS (SELECT digest FROM {table} WHERE digest = ANY($1) ORDER BY digest FOR UPDATE)"
            " DELETE FROM {table} AS r USING doomed WHERE r.digest = doomed.digest"
            " RETURNING r.key, r.expires > $2"
        )
        self.clear: Final = of(
            "WITH found AS MATERIALIZED (SELECT r.digest FROM {table} AS r WHERE {under_prefix} LIMIT $5),"
            " doomed AS (SELECT r.digest FROM {table} AS r JOIN found USING (digest)"
            " ORDER BY r.digest FOR UPDATE OF r),"
            " gone AS (DELETE FROM {table} AS r USING doomed WHERE r.digest = doomed.digest RETURNING 1)"
            " SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM gone)"
        )
        self.acquire_lease: Final = of(
            "INSERT INTO {table} AS r (digest, key, expires, token, lease_until)"
            " VALUES ($1, $2, '-Infinity', $3, $4)"
            " ON CONFLICT (digest) DO UPDATE"
            " SET token = excluded.token, lease_until = excluded.lease_until"
            " WHERE r.key = excluded.key AND (r.lease_until IS NULL OR r.lease_until <= $5) RETURNING 1"
        )
        self.fill: Final = of(
            "UPDATE {table} SET value = $5, expires = $6, {void}"
            " WHERE digest = $1 AND key = $2 AND token = $3 AND lease_until > $4 RETURNING 1"
        )
        self.refuse_fill: Final = of(
            "DELETE FROM {table} WHERE digest = $1 AND key = $2 AND token = $3 AND lease_until > $4"
        )
        self.release_lease: Final = of(
            "UPDATE {table} SET {void} WHERE digest = $1 AND key = $2 AND token = $3"
        )
        self.pages: Final = of(
            "SELECT pg_relation_size(to_regclass($1)) / current_setting('block_size')::bigint"
        )
        self.sweep: Final = of(
            "WITH dead AS (SELECT r.digest FROM {table} AS r WHERE r.ctid >= $1 AND r.ctid < $2"
            " AND {dead} LIMIT $4 FOR UPDATE SKIP LOCKED),"
            " gone AS (DELETE FROM {table} AS r USING dead WHERE r.digest = dead.digest RETURNING 1)"
            " SELECT count(*) FROM gone"
        )
        self.publish: Final = "SELECT pg_notify($1, m.part) FROM unnest($2::text[]) AS m (part)"
