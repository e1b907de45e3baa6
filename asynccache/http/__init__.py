"""Response caching for any ASGI application: framework-free, streaming, safe by default."""

from __future__ import annotations

from asynccache.http._context import CacheContext
from asynccache.http._exchange import Exchange
from asynccache.http._marking import ASGIApp
from asynccache.http._middleware import SCOPE_KEY, CacheMiddleware
from asynccache.http._paths import Rule
from asynccache.http._purging import purge
from asynccache.http._reads import Reads
from asynccache.http._replies import Reply
from asynccache.http._routes import MarkedApp, current_exchange
from asynccache.http._steering import InheritingApp, cache_context, inherited_policy, invalidate_paths

__all__ = [
    "SCOPE_KEY",
    "ASGIApp",
    "CacheContext",
    "CacheMiddleware",
    "Exchange",
    "InheritingApp",
    "MarkedApp",
    "Reads",
    "Reply",
    "Rule",
    "cache_context",
    "current_exchange",
    "inherited_policy",
    "invalidate_paths",
    "purge",
]
