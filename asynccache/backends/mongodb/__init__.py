"""`MongoDBBackend`: values in a MongoDB collection."""

from __future__ import annotations

from asynccache.errors import MissingDependencyError

try:
    import pymongo  # noqa: F401  # pyright: ignore[reportUnusedImport] - for one explanation of its absence
except ImportError as _error:  # pragma: no cover - the tests' environment has it
    raise MissingDependencyError("pymongo", "mongodb") from _error

from asynccache.backends.mongodb._backend import MongoDBBackend

__all__ = ["MongoDBBackend"]
