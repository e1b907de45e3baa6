"""`CacheControl`: a policy as a dependency, for all routes that have the dependency."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from fastapi import Depends, params
from fastapi.requests import HTTPConnection

from asynccache import DEFAULT, CachePolicy, ConfigurationError
from asynccache.http import SCOPE_KEY, Exchange
from asynccache.policy import Default, Seconds
from asynccache_fastapi._arming import arm, is_armed
from asynccache_starlette import _distinctions

__all__ = ["CacheControl", "CacheOption", "Control", "check_distinct", "control_in", "controlling"]

CacheOption = CachePolicy | float | timedelta | bool | None
"""What ``cache=`` takes: True, seconds, a timedelta, a policy; False: not cached; None: nothing is said."""


class Control:
    """The dependency: it says which policy is in force for the request, until a nearer one says otherwise.

    FastAPI runs the dependencies of an application before those of a router, and those of a router before
    those of a route. So the last one that runs is the nearest.
    """

    def __init__(self, policy: CachePolicy | None) -> None:
        dependency = None if policy is None else _distinctions.dependency_of(policy)
        connection = inspect.Parameter(
            "connection", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection
        )
        # What FastAPI is to pass: it looks at this instead of at `__call__`.
        self.__signature__ = inspect.Signature([connection])
        if policy is not None and dependency is not None:
            policy = policy.but(vary_on=_distinctions.resolved)
            self.__signature__ = _distinctions.with_parameter(self.__signature__, dependency)
        self.policy = policy

    async def __call__(self, connection: HTTPConnection, **resolved: Any) -> None:
        """Say it."""
        exchange = connection.scope.get(SCOPE_KEY)
        if not isinstance(exchange, Exchange):
            return  # a WebSocket, or an application without a cache
        _distinctions.keep_resolved(resolved, exchange)
        exchange.inherited = self.policy
        if self.policy is not None and not is_armed(connection.app, connection.scope):
            arm(connection.app, control_in)


def controlling(policy: CachePolicy | None) -> params.Depends:
    """Return the dependency that puts ``policy`` in force; None switches off what is further away."""
    control: params.Depends = Depends(Control(policy))
    return control


def check_distinct(path: str, dependencies: Sequence[params.Depends]) -> None:
    """Raise `ConfigurationError` if one control stands on several layers of a route: FastAPI runs it once."""
    controls = [depends.dependency for depends in dependencies if isinstance(depends.dependency, Control)]
    if len(set(controls)) < len(controls):
        raise ConfigurationError(
            f"{path}: one CacheControl(...) is among its dependencies twice, and FastAPI runs it once, where "
            "it is furthest away; write one for each place"
        )


def control_in(dependencies: Sequence[params.Depends]) -> Control | None:
    """Return the nearest control among a route's dependencies, those of the layers around it included."""
    for depends in reversed(dependencies):
        if isinstance(depends.dependency, Control):
            return depends.dependency
    return None


def CacheControl(  # noqa: N802  (named like FastAPI's own `Depends`, which it makes)
    cache: CachePolicy | float | timedelta | bool = True,  # noqa: FBT001, FBT002  (as a route's)
    /,
    *,
    ttl: Seconds | Default | None = DEFAULT,
    tags: Iterable[str] = (),
    **options: Any,
) -> params.Depends:
    """Return a dependency that caches the routes it is declared on, for ``dependencies=[...]``.

    >>> router = APIRouter(dependencies=[CacheControl(ttl=60, tags=["catalogue"])])

    On an application, a router, ``include_router`` or a route; the nearest one decides. It concerns GET and
    HEAD of functions that return their response. Whatever else the route depends on has run before a hit.

    Args:
        cache: A policy, seconds or a timedelta; False: not cached, whatever is further away.
        ttl: Seconds or a timedelta; None until invalidated; left out: the cache's ``default_ttl``.
        tags: Names to invalidate by; ``{path_parameter}`` or ``{argument}`` is filled in.
        options: Other fields of `asynccache.CachePolicy`. A ``vary_on=Depends(...)`` is a dependency of all
            these routes, whatever their method.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    fields = dict(options)
    if ttl is not DEFAULT:
        fields["ttl"] = ttl
    if tags:
        fields["tags"] = tags
    policy = CachePolicy.of(cache)
    if policy is not None:
        return controlling(CachePolicy.combine(policy, fields))
    if cache is not False or fields:
        raise ConfigurationError(
            f"CacheControl({cache!r}) with {fields}: False stands alone, and None says nothing"
        )
    return controlling(None)
