"""Which policy a handler has: its own ``cache=`` or ``opt``, else that of the nearest layer around it."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_origin

from litestar.config.response_cache import CACHE_FOREVER
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from asynccache import CachePolicy, ConfigurationError
from asynccache.policy import CACHEABLE_STATUSES
from asynccache_litestar._settings import ResponseSettings

__all__ = ["OPTION", "policy_of"]

OPTION: Final = "cache"
"""The key in ``opt``."""
_CACHED_METHODS: Final = frozenset({"GET", "HEAD"})


def policy_of(handler: BaseRouteHandler, settings: ResponseSettings) -> CachePolicy | None:
    """Return the policy of a handler that is registered, a fresh object; None if it is not cached.

    What a layer around the handler says concerns those handlers only that can be cached.

    Raises:
        ConfigurationError: what the handler itself says is wrong, contradicts itself, or is on a handler that
            cannot be cached.
    """
    value = _said(handler)
    cacheable = isinstance(handler, HTTPRouteHandler) and not _CACHED_METHODS.isdisjoint(handler.http_methods)
    if not cacheable:
        own = value is not None and value is not False and value is not _inherited(handler)
        if own:
            raise ConfigurationError(f"{handler}: only handlers of GET and HEAD are cached; remove its cache")
        return None
    try:
        policy = _policy(value, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{handler}: {error}") from error
    if policy is not None and not _is_function(policy.vary_on):
        raise ConfigurationError(
            f"{handler}: vary_on=Depends(...) is for FastAPI; here it is a function of the request"
        )
    return policy


def _said(handler: BaseRouteHandler) -> Any:
    """Return what is said about a handler, by whoever is nearest to it; None for nothing."""
    value: Any = handler.opt.get(OPTION)  # Litestar has merged the layers'
    spelled: Any = getattr(handler, "cache", False)
    if spelled is False:
        return value
    if value is not None and value is not _inherited(handler):
        raise ConfigurationError(
            f"{handler}: it has both cache= and opt={{{OPTION!r}: ...}}; keep one of them"
        )
    return spelled


def _inherited(handler: BaseRouteHandler) -> Any:
    """Return what the layers around a handler say, the nearest one first."""
    for layer in reversed(handler.ownership_layers[:-1]):
        if layer.opt and OPTION in layer.opt:
            return layer.opt[OPTION]
    return None


def _is_function(vary_on: Any) -> bool:
    """Return whether it is no dependency of FastAPI's, nor an annotation that may name one."""
    return not hasattr(vary_on, "dependency") and get_origin(vary_on) is not Annotated


def _policy(value: Any, settings: ResponseSettings) -> CachePolicy | None:
    if isinstance(value, CachePolicy):
        return value.but()  # each handler's is its own: so each handler gets its own warnings
    more: dict[str, Any] = {}
    if settings.status_filter is not None:
        more["statuses"] = CACHEABLE_STATUSES  # the filter decides, as in Litestar
    if value is CACHE_FOREVER:
        return CachePolicy(ttl=None, **more)
    if value is True:
        return CachePolicy(ttl=settings.ttl, **more)
    return CachePolicy.of(value, **more)
