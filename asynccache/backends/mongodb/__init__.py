"""`MongoDBBackend`: values in a MongoDB collection."""

from __future__ import annotations

from asynccache.backends.mongodb._backend import MongoDBBackend

__all__ = ["MongoDBBackend"]
