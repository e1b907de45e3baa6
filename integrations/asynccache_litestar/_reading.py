"""What Litestar knows that a handler reads of a request: header parameters, and the field of a token.

Its own parameters and those of all its dependencies. What is taken from a `Request` nobody can know.
"""

from __future__ import annotations

from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.routes import HTTPRoute

from asynccache.http import Reads

__all__ = ["Readings", "declared"]

_TOKEN_FIELD = "auth_header"  # noqa: S105  # the name of an option, as `JWTAuth` gives it to its middleware


class Readings:
    """What the handlers of an application read."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[HTTPRouteHandler, Reads]] = {}
        """By the identity of a handler, which is kept alive here."""

    def note(self, handler: HTTPRouteHandler, route: HTTPRoute) -> Reads:
        """Return what a handler reads, on all of its routes that are known by now."""
        reads = self.of(handler) | declared(handler, route)
        self._known[id(handler)] = handler, reads
        return reads

    def of(self, handler: Any) -> Reads:
        """Return what is known of a handler."""
        known = self._known.get(id(handler))
        return Reads() if known is None else known[1]


def declared(handler: HTTPRouteHandler, route: HTTPRoute) -> Reads:
    """Return what a handler on a route, its dependencies and its middleware declare to read.

    Args:
        handler: The handler.
        route: One of its routes: what is a parameter of the path here may be one of the header there.
    """
    fields = {
        str(parameter.field_alias)
        for registered, model in route.route_handler_map.values()
        if registered is handler
        for parameter in model.expected_header_params
    }
    tokens = {
        str(item.kwargs[_TOKEN_FIELD])
        for item in handler.resolve_middleware()
        if isinstance(item, DefineMiddleware) and _TOKEN_FIELD in item.kwargs
    }
    return Reads.of(fields, tokens)
