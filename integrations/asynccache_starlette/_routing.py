"""`Route` with ``cache=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from starlette import routing
from starlette.requests import Request

from asynccache import CachePolicy
from asynccache.http import MarkedApp
from asynccache_starlette._endpoints import cache_response

__all__ = ["Route"]


class Route(routing.Route):
    """A Starlette route whose responses may be cached.

    Args:
        path: As in Starlette.
        endpoint: As in Starlette: a function or an ASGI application such as an ``HTTPEndpoint`` class.
        cache: True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; False and None: not
            cached.
        options: As in Starlette. The route's own middleware runs before every hit.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        cache: CachePolicy | float | timedelta | bool | None = None,
        **options: Any,
    ) -> None:
        policy = CachePolicy.of(cache)
        if policy is not None:
            plain: Any = endpoint
            while isinstance(plain, partial):
                plain = plain.func
            if inspect.isfunction(plain) or inspect.ismethod(plain):
                endpoint = cache_response(endpoint, policy=policy)
            else:
                options.setdefault("name", routing.get_name(endpoint))
                endpoint = MarkedApp(endpoint, policy, Request)
        super().__init__(path, endpoint, **options)
