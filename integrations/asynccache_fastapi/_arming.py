"""Endpoints that ask for a policy of the layers around them, made so when it is known that there is one.

FastAPI settles whether it calls an endpoint in a thread when it makes a route, and an endpoint that waits for
the response to another request must not do so in one of few threads, which that other request may need.
So the route is made again, as itself, with an asynchronous endpoint.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from weakref import WeakSet

from fastapi import routing

from asynccache_starlette._endpoints import can_inherit, mark

__all__ = ["CACHED_METHODS", "arm", "contexts", "is_armed"]

CACHED_METHODS: Final = frozenset({"GET", "HEAD"})
_OPTIONS: Final = frozenset(inspect.signature(routing.APIRoute).parameters) - {"path", "endpoint"}
"""Of a route; it keeps them under the same names."""
_seen: Final[WeakSet[Any]] = WeakSet()
"""Applications."""
_asking: Final[WeakSet[Callable[..., Any]]] = WeakSet()
"""Endpoints that ask."""


def contexts(routes: Iterable[Any]) -> Iterator[Any]:
    """Return every operation of FastAPI, those of included routers as they are included."""
    for context in routing.iter_route_contexts(list(routes)):
        if isinstance(context.original_route, routing.APIRoute):
            yield context


def is_armed(application: Any, scope: Any) -> bool:
    """Return whether `arm` has seen the route of a request to an application."""
    if application not in _seen:
        return False
    endpoint = getattr(scope.get("route"), "endpoint", None)
    return endpoint is None or endpoint in _asking or not can_inherit(endpoint)


def arm(application: Any, control_in: Callable[[Sequence[Any]], object | None]) -> None:
    """Let the endpoints ask that have a control among their dependencies and no policy of their own.

    Args:
        application: The application.
        control_in: Returns the control among a route's dependencies.
    """
    _seen.add(application)
    changed = False
    for context in contexts(application.routes):
        route = context.original_route
        if route.endpoint in _asking or CACHED_METHODS.isdisjoint(route.methods):
            continue
        if control_in(context.dependencies) is not None and can_inherit(route.endpoint):
            _make_again(route, mark(route.endpoint, None))
            changed = True
    if changed:
        _look_again(application.routes)


def _make_again(route: routing.APIRoute, endpoint: Callable[..., Any]) -> None:
    _asking.add(endpoint)
    options: dict[str, Any] = {name: getattr(route, name) for name in _OPTIONS if hasattr(route, name)}
    routing.APIRoute.__init__(route, route.path, endpoint, **options)


def _look_again(routes: Iterable[Any]) -> None:
    """Let FastAPI derive included routes anew: it does so when a router's routes have changed in number."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            router.add_route("/", _nowhere)
            router.routes.pop()
            _look_again(router.routes)


def _nowhere(request: Any) -> Any:
    """Be a route for a moment, which is never served."""
    raise NotImplementedError
