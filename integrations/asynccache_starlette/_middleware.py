"""`CacheMiddleware` for Starlette: the core's, plus a look at the application's routes when it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from inspect import signature, unwrap
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from asynccache import CachePolicy, ConfigurationError, http
from asynccache_starlette import _routing
from asynccache_starlette._distinctions import resolved
from asynccache_starlette._endpoints import chain, decorated_endpoints, policy_of

__all__ = ["Audited", "CacheMiddleware", "audit", "endpoints_of"]

logger = logging.getLogger("asynccache")


class CacheMiddleware(http.CacheMiddleware):
    """The cache in front of a Starlette application; see `asynccache.http.CacheMiddleware`."""

    def started(self, application: Any) -> None:
        """Report what can be seen to be wrong before the first request."""
        audit(endpoints_of(getattr(application, "routes", ())))

    def connection(self, scope: Any) -> Any:
        """Return the request, for ``vary_on`` of a rule."""
        return Request(scope)


class Audited(NamedTuple):
    """One route, as the audit sees it."""

    path: str
    endpoint: Callable[..., Any]
    parameters: set[str]
    """Of its path, mounts included."""
    inherited: CachePolicy | None = None
    """What the layers around it say."""
    within_reach: bool = True
    """It would be cached under that, being of a kind that asks."""
    dependencies: bool = False
    """The framework resolves dependencies."""
    own: CachePolicy | None = None
    """What the route says, beside whatever stands on its endpoint."""


def endpoints_of(
    routes: Iterable[BaseRoute],
    path: str = "",
    parameters: frozenset[str] = frozenset(),
    inherited: CachePolicy | None = None,
) -> Iterator[Audited]:
    """Return what the audit looks at, of every route, mounted ones included."""
    for route in routes:
        if isinstance(route, Mount):
            below = inherited
            if isinstance(route, _routing.Mount) and route.cache is not None:
                below = route.cache or None
            named = parameters | (set(route.param_convertors) - {"path"})
            if isinstance(route, _routing.Mount) and route.marked is not None:
                yield Audited(path + route.path, route.marked.app, {*named, "path"}, own=route.marked.policy)
            yield from endpoints_of(route.routes, path + route.path, frozenset(named), below)
        elif isinstance(route, Route):
            said = route.cache if isinstance(route, _routing.Route) else None
            concerned = route.methods is None or not {"GET", "HEAD"}.isdisjoint(route.methods)
            yield Audited(
                path + route.path,
                route.endpoint,
                {*parameters, *route.param_convertors},
                inherited if concerned and said is None else None,
                isinstance(route, _routing.Route),
                own=said or None,
            )


def audit(routes: Iterable[Audited]) -> None:
    """Report decorators in the wrong order, and refuse tags that name parameters a route does not have.

    Raises:
        ConfigurationError: such a tag, or a dependency where there are none.
    """
    seen = list(routes)
    used = {marked for route in seen for marked in chain(route.endpoint)}
    inside_out = {unwrap(marked) for marked in decorated_endpoints if marked not in used}
    for route in seen:
        endpoint = route.endpoint
        if route.own is not None:
            route.own.check_tags(route.parameters)
            continue
        policy = policy_of(endpoint)
        if policy is not None:
            if policy.vary_on is resolved and not route.dependencies:
                raise ConfigurationError(
                    f"{route.path}: vary_on=Depends(...) is for FastAPI; here it is a function of the request"
                )
            policy.check_tags(route.parameters | set(signature(endpoint).parameters))
            continue
        asks = route.inherited is not None and route.within_reach
        if not asks and _hashable(endpoint) and unwrap(endpoint) in inside_out:
            logger.error(
                "%s is not cached: put cache_response below the route's decorator, directly above %s",
                route.path,
                getattr(endpoint, "__qualname__", endpoint),
            )
        if route.inherited is not None:
            _audit_inherited(route, route.inherited)


def _audit_inherited(route: Audited, policy: CachePolicy) -> None:
    arguments: set[str] = set()
    if route.dependencies:
        arguments = set(signature(route.endpoint).parameters)
    policy.check_tags(route.parameters | arguments)
    if not route.within_reach:
        logger.error(
            "%s is not cached under the policy of the mount: make it a Route of asynccache_starlette",
            route.path,
        )


def _hashable(endpoint: object) -> bool:
    return type(endpoint).__hash__ is not None
