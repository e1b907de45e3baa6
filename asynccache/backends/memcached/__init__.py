"""`MemcachedBackend`: one memcached server or several."""

from __future__ import annotations

from asynccache.backends.memcached._backend import MemcachedBackend

__all__ = ["MemcachedBackend"]
