"""`CacheMiddleware` for Starlette: the core's, plus a look at the application's routes when it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from inspect import signature, unwrap
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from asynccache import http
from asynccache.http import MarkedApp
from asynccache_starlette._endpoints import marked_endpoints

__all__ = ["CacheMiddleware", "audit", "endpoints_of"]

logger = logging.getLogger("asynccache")


class CacheMiddleware(http.CacheMiddleware):
    """The cache in front of a Starlette application; see `asynccache.http.CacheMiddleware`."""

    def started(self, application: Any) -> None:
        """Report what can be seen to be wrong before the first request."""
        audit(endpoints_of(getattr(application, "routes", ())))

    def connection(self, scope: Any) -> Request:
        """Return what ``vary_on`` of a rule's policy is called with."""
        return Request(scope)


def endpoints_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, Callable[..., Any], set[str]]]:
    """Return path, endpoint and path parameters of every route, mounted ones included."""
    for route in routes:
        if isinstance(route, Mount):
            yield from endpoints_of(route.routes)
        elif isinstance(route, Route):
            yield route.path, route.endpoint, set(route.param_convertors)


def audit(endpoints: Iterable[tuple[str, Callable[..., Any], set[str]]]) -> None:
    """Report decorators in the wrong order, and refuse tags that name parameters a route does not have.

    Raises:
        ConfigurationError: such a tag.
    """
    inside_out = {unwrap(marked): marked for marked in marked_endpoints}
    for path, endpoint, parameters in endpoints:
        if isinstance(endpoint, MarkedApp):
            endpoint.policy.check_tags(parameters)
            continue
        policy = marked_endpoints.get(_function(endpoint)) if _hashable(endpoint) else None
        if policy is not None:
            policy.check_tags(parameters | set(signature(endpoint).parameters))
        elif _hashable(endpoint) and unwrap(endpoint) in inside_out and not _wraps_marked(endpoint):
            logger.error(
                "%s is not cached: put cache_response below the route's decorator, directly above %s",
                path,
                getattr(endpoint, "__qualname__", endpoint),
            )


def _function(endpoint: Any) -> Any:
    """Return the function of a method, which is where a decorator in a class body has left its mark."""
    return getattr(endpoint, "__func__", endpoint)


def _hashable(endpoint: object) -> bool:
    return type(endpoint).__hash__ is not None


def _wraps_marked(endpoint: Any) -> bool:
    """Return whether a marked endpoint is somewhere inside of ``endpoint``'s decorators."""
    while endpoint is not None:
        endpoint = _function(endpoint)
        if endpoint in marked_endpoints:
            return True
        endpoint = getattr(endpoint, "__wrapped__", None)
    return False
