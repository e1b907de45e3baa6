"""Response caching for any ASGI application: framework-free, streaming, safe by default."""

from __future__ import annotations

from asynccache.http._exchange import Exchange
from asynccache.http._marking import ASGIApp
from asynccache.http._middleware import SCOPE_KEY, CacheMiddleware
from asynccache.http._paths import Rule
from asynccache.http._replies import Reply
from asynccache.http._routes import MarkedApp, current_exchange

__all__ = [
    "SCOPE_KEY",
    "ASGIApp",
    "CacheMiddleware",
    "Exchange",
    "MarkedApp",
    "Reply",
    "Rule",
    "current_exchange",
]
