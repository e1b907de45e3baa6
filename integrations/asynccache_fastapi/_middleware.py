"""`CacheMiddleware` for FastAPI, whose included routers have to be asked for their routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import Request, routing
from starlette.routing import compile_path

from asynccache import http
from asynccache_starlette._middleware import audit, endpoints_of

__all__ = ["CacheMiddleware"]


class CacheMiddleware(http.CacheMiddleware):
    """The cache in front of a FastAPI application; see `asynccache.http.CacheMiddleware`."""

    def started(self, application: Any) -> None:
        """Report what can be seen to be wrong before the first request."""
        audit(_endpoints(getattr(application, "routes", ())))

    def connection(self, scope: Any) -> Request:
        """Return what ``vary_on`` of a rule's policy is called with."""
        return Request(scope)


def _endpoints(routes: Any) -> Iterator[tuple[str, Callable[..., Any], set[str]]]:
    contexts = getattr(routing, "iter_route_contexts", None)
    if contexts is None:  # FastAPI before 0.137: included routes are copied into the application's own
        yield from endpoints_of(routes)
        return
    for context in contexts(routes):
        endpoint = getattr(context, "endpoint", None)
        if callable(endpoint):
            yield context.path, endpoint, set(compile_path(context.path)[2])
