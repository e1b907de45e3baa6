"""`CacheMiddleware` for FastAPI, whose included routers have to be asked for their routes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import fastapi
from fastapi import routing
from starlette.requests import Request
from starlette.routing import Mount, compile_path

from asynccache import http
from asynccache_fastapi._arming import CACHED_METHODS, arm
from asynccache_fastapi._control import check_distinct, control_in
from asynccache_fastapi._documents import policy_in_force
from asynccache_fastapi._reading import declared, reads_of
from asynccache_starlette._endpoints import can_inherit
from asynccache_starlette._middleware import Audited, audit, endpoints_of

__all__ = ["CacheMiddleware"]

logger = logging.getLogger("asynccache")


class CacheMiddleware(http.CacheMiddleware):
    """The cache in front of a FastAPI application; see `asynccache.http.CacheMiddleware`."""

    def started(self, application: Any) -> None:
        """Report what can be seen to be wrong before the first request, and prepare the routes."""
        audit(_endpoints(getattr(application, "routes", ())))
        if isinstance(application, fastapi.FastAPI):
            arm(application, control_in)

    def reads(self, scope: Any) -> http.Reads:
        """Return what the endpoint and its dependencies declare to read of the request."""
        return reads_of(scope)

    def connection(self, scope: Any) -> Any:
        """Return the request, for ``vary_on`` of a rule."""
        return Request(scope)


def _endpoints(routes: Any, path: str = "") -> Iterator[Audited]:
    known: Iterator[Any] = routing.iter_route_contexts(list(routes))  # the route's attributes are theirs
    for context in known:
        route = context.original_route
        if isinstance(route, routing.APIRoute):
            check_distinct(path + context.path, context.dependencies)
            _tell_ever_new(path + context.path, context)
            control = control_in(context.dependencies)
            asks = not CACHED_METHODS.isdisjoint(context.methods) and can_inherit(context.endpoint)
            yield Audited(
                path + context.path,
                context.endpoint,
                set(compile_path(context.path)[2]),
                control.policy if control is not None and asks else None,
                dependencies=True,
            )
        elif isinstance(route, Mount) and any(isinstance(inner, routing.APIRoute) for inner in route.routes):
            yield from _endpoints(route.routes, path + route.path)
        else:
            yield from endpoints_of([route], path)


def _tell_ever_new(path: str, context: Any) -> None:
    if policy_in_force(context) is not None:
        for name in declared(context.dependant).ever_new:
            logger.info(
                "%s: %s is a parameter, so each of its values has a response of its own; where it does not "
                "change the response, read it from request.headers instead",
                path,
                name,
            )
