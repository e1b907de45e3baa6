"""`SQLiteBackend`: the store in a file of this machine; needs nothing but the standard library."""

from __future__ import annotations

from asynccache.backends.sqlite._backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
