"""`PostgresBackend`: the store in a table of a PostgreSQL server."""

from asynccache.backends.postgres._backend import PostgresBackend

__all__ = ["PostgresBackend"]
