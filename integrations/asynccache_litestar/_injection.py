"""The cache as a parameter of handlers, guards and dependencies."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from litestar.handlers import HTTPRouteHandler

from asynccache import Cache, ConfigurationError

try:
    from litestar.di import NamedDependency
except ImportError:  # pragma: no cover  # before 2.23, where a dependency's name was enough
    from litestar.params import Dependency

    _mark: Any = Dependency()
else:
    _mark = get_args(NamedDependency[Cache])[1]

__all__ = ["CacheDep", "check_parameter"]

CacheDep = Annotated[Cache, _mark]
"""The type of a parameter that is the application's cache; its name is the plugin's ``dependency``."""


def check_parameter(handler: HTTPRouteHandler, name: str) -> None:
    """Refuse a parameter that has the cache's name and means something else: one of the query, perhaps.

    Raises:
        ConfigurationError: it is annotated as anything but a cache.
    """
    parameter = handler.parsed_fn_signature.parameters.get(name)
    if parameter is None or parameter.annotation is Any or parameter.is_subclass_of(Cache):
        return
    raise ConfigurationError(
        f"{handler}: {name!r} is the name of the cache, which is injected: annotate the parameter as"
        " CacheDep, rename it, or give CachePlugin another name, or None, as dependency="
    )
