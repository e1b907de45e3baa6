"""`invalidate_route`: what is stored for a named route."""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection

from asynccache import ConfigurationError
from asynccache.http import invalidate_paths

__all__ = ["invalidate_route"]


async def invalidate_route(
    connection: HTTPConnection, name: str, /, *, base_url: str | None = None, **path_params: Any
) -> bool:
    """Remove every stored response of a route: all queries, all variants, all users.

    >>> await invalidate_route(request, "item", id=5)

    The route is named as in ``request.url_for``, mounted ones as ``mount:route``. What is removed are the
    responses to requests for the path that ``url_for`` writes, however it was escaped, under the scheme and
    host of ``connection``.

    Args:
        connection: A request (or WebSocket) of the application.
        name: The route's name; in FastAPI that of its function, if it has no other.
        base_url: Scheme and host to use instead: ``https://shop.example``.
        path_params: The path's parameters, all of them.

    Returns:
        False if the store failed; it is told again when it is back.

    Raises:
        starlette.routing.NoMatchFound: there is no such route, or it has other parameters.
        ConfigurationError: the application has no `CacheMiddleware`, or there is no valid host.
    """
    scope = connection.scope
    routes: Any = scope.get("router") or scope.get("app")
    if routes is None:
        raise ConfigurationError("invalidate_route needs a request that an application is handling")
    path = str(routes.url_path_for(name, **path_params))
    # Servers include the root path in what they send to the application; proxies may have cut it off.
    root: str = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")
    paths = {path, root + path}
    return await invalidate_paths(scope, paths, () if base_url is None else (base_url,))
