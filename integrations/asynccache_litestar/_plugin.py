"""`CachePlugin`: the cache of a Litestar application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute, WebSocketRoute
from litestar.types import Middleware

from asynccache import Cache, CacheConfig, ConfigurationError
from asynccache.http import SCOPE_KEY, CacheMiddleware
from asynccache_litestar._audit import audit, check_tags
from asynccache_litestar._handlers import is_cached, make_cached
from asynccache_litestar._injection import check_parameter
from asynccache_litestar._layer import Filter, Layer
from asynccache_litestar._policies import policy_of
from asynccache_litestar._settings import KeyBuilder, ResponseSettings

__all__ = ["CachePlugin", "get_cache"]


class CachePlugin(InitPlugin, ReceiveRoutePlugin):
    """Response caching with Litestar's own words, and the cache wherever Litestar injects.

    ``cache=True``, ``cache=60`` and ``CACHE_FOREVER`` on handlers mean what they always meant;
    ``opt={"cache": CachePolicy(...)}`` says more, on handlers, controllers, routers or the application: the
    nearest wins, and ``False`` is one of its values. Guards, ``before_request`` and dependencies run before
    every hit, which replaces the handler, its DTO and its serialisation.

    Args:
        cache: The configuration, or a cache to share; left out: `CacheConfig()`. It is opened and closed with
            the application.
        dependency: The name under which handlers and dependencies get the cache; None: it is not injected.

    Raises:
        ConfigurationError: ``cache`` is something else.
    """

    def __init__(self, cache: CacheConfig | Cache | None = None, *, dependency: str | None = "cache") -> None:
        shared = cache if isinstance(cache, Cache) else Cache(cache)
        self._layer = Layer(_nowhere, cache=shared)
        self._dependency = dependency
        self._provider = Provide(self._provide, sync_to_thread=False)
        self._settings = ResponseSettings()
        self._outside: list[Middleware] = []
        self._inside: list[Middleware] = []

    @property
    def cache(self) -> Cache:
        """The application's cache."""
        return self._layer.cache

    @property
    def middleware(self) -> CacheMiddleware:
        """What serves and stores responses, for all routes: `asynccache.testing.override_cache` finds it."""
        return self._layer

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Take over response caching, and compression, which has to be outside of it.

        Raises:
            ConfigurationError: ``response_cache_config`` or ``stores`` name a store for responses.
        """
        self._settings = ResponseSettings.of(app_config.response_cache_config, app_config.stores)
        keep, compression = self._settings.status_filter, app_config.compression_config
        app_config.compression_config = None
        self._inside = [] if keep is None else [DefineMiddleware(Filter, keep=keep)]
        self._outside = []
        if compression is not None:
            self._outside.append(DefineMiddleware(compression.middleware_class, config=compression))
        managers: list[Any] = getattr(app_config, "lifespan", [])  # whose type Litestar leaves open
        managers.insert(0, self._lifespan)  # first, so that the application's own may use the cache
        if self._dependency is not None:
            app_config.dependencies.setdefault(self._dependency, self._provider)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Put the cache around a route, and the policies of its handlers into effect.

        Raises:
            ConfigurationError: a handler's ``cache=`` or ``opt`` is wrong, or its tags name what it has not.
        """
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                self._surround(handler, self._layer.around)
                self._take_over(handler, route)
        elif isinstance(route, (ASGIRoute, WebSocketRoute)):
            mounted = isinstance(route, ASGIRoute)
            self._surround(route.route_handler, self._layer.around_mounted if mounted else self._layer.around)
            policy_of(route.route_handler, self._settings)

    def _surround(self, handler: BaseRouteHandler, cache: Callable[[Any], Any]) -> None:
        """Make the cache the innermost of a handler's middleware; harmless if it is that already."""
        outer = list(handler.middleware or ())
        if cache not in outer:
            handler.middleware = [*outer, *self._outside, cache, *self._inside]

    def _take_over(self, handler: HTTPRouteHandler, route: HTTPRoute) -> None:
        reads = self._layer.readings.note(handler, route)
        if is_cached(handler):  # it has several paths, or its path another method
            return
        if handler.app.compression_config is not None:
            raise ConfigurationError(
                "put CachePlugin after the plugin that sets compression_config: compression belongs outside"
            )
        name = self._dependency
        if name is not None and handler.resolve_dependencies().get(name) is self._provider:
            check_parameter(handler, name)
        policy = policy_of(handler, self._settings)
        handler.cache = False  # so that Litestar does not add its own cache
        if policy is not None:
            check_tags(handler, policy, route.path_parameters)
            audit(handler, policy, reads)
            own: KeyBuilder | None = getattr(handler, "cache_key_builder", None)
            make_cached(handler, policy, own or self._settings.key_builder)

    def _lifespan(self, app: Litestar) -> AbstractAsyncContextManager[None]:
        return self._layer.lifespan()

    def _provide(self) -> Cache:
        return self.cache


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:  # pragma: no cover  # it is never served
    """Be what the layer is around before it is around a route."""
    raise NotImplementedError


def get_cache(connection: ASGIConnection[Any, Any, Any, Any]) -> Cache:
    """Return the application's cache: in guards, hooks, middleware, wherever there is a connection.

    Raises:
        ConfigurationError: the application has no `CachePlugin`.
    """
    scope: Any = connection.scope
    if SCOPE_KEY in scope:
        cache: Cache = scope[SCOPE_KEY].cache
        return cache
    for plugin in connection.app.plugins:
        if isinstance(plugin, CachePlugin):
            return plugin.cache
    raise ConfigurationError(
        "the application has no CachePlugin: Litestar(..., plugins=[CachePlugin(CacheConfig(...))])"
    )
