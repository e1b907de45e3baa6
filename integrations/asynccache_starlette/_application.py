"""`Starlette` with ``cache=``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette import applications
from starlette.middleware import Middleware

from asynccache import Cache, CacheConfig, http
from asynccache_starlette._middleware import CacheMiddleware

__all__ = ["Starlette", "with_cache"]


class Starlette(applications.Starlette):
    """A Starlette application with a cache.

    The cache is the innermost of the application's middleware: what authenticates or compresses is outside
    of it.

    Args:
        cache: Its configuration, or a cache to share; None: no cache.
        middleware: As in Starlette.
        options: As in Starlette.
    """

    def __init__(
        self,
        *,
        cache: CacheConfig | Cache | None = None,
        middleware: Sequence[Middleware] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(middleware=with_cache(CacheMiddleware, cache, middleware), **options)


def with_cache(
    kind: type[http.CacheMiddleware],
    cache: CacheConfig | Cache | None,
    middleware: Sequence[Middleware] | None,
) -> list[Middleware]:
    """Return ``middleware`` with the cache as its innermost."""
    stack = list(middleware or ())
    if isinstance(cache, Cache):
        stack.append(Middleware(kind, cache=cache))
    elif cache is not None:
        stack.append(Middleware(kind, config=cache))
    return stack
