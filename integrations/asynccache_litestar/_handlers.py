"""A cached handler: guards, hooks and dependencies run for every request, the function only for a miss."""

from __future__ import annotations

from copy import copy
from functools import cache, wraps
from typing import Any, cast

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Empty
from litestar.utils.helpers import unwrap_partial  # pyright: ignore[reportUnknownVariableType]  # of Litestar's

from asynccache import CachePolicy
from asynccache.http import Reply, current_exchange
from asynccache_litestar._settings import KeyBuilder

__all__ = ["is_cached", "make_cached"]


class _Replay:
    """A stored response as the ASGI application that Litestar takes a response to be."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it as it is."""
        for message in self._reply.messages():
            await send(message)


class _Replaying:
    """Mixed into the class of a cached handler, which else would serialise what it gets once more."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        """Keep silent: `get` and its like warn whoever subclasses them."""

    async def to_response(self, app: Any, data: Any, request: Any) -> Any:
        """Return the response to send for what the function has returned."""
        if isinstance(data, _Replay):
            return data  # stored behind DTO, serialisation, after_request, response_headers and so on
        above: Any = super()  # the handler's own class
        return await above.to_response(app=app, data=data, request=request)


@cache
def _replaying(kind: type[HTTPRouteHandler]) -> type[HTTPRouteHandler]:
    return cast("type[HTTPRouteHandler]", type(kind.__name__, (_Replaying, kind), {"__slots__": ()}))


def is_cached(handler: BaseRouteHandler) -> bool:
    """Return whether `make_cached` has seen a handler: Litestar shows those of several paths repeatedly."""
    return isinstance(handler, _Replaying)


def make_cached(handler: HTTPRouteHandler, policy: CachePolicy, key_builder: KeyBuilder | None) -> None:
    """Let a registered handler ask the cache before its function.

    Args:
        handler: The handler. Litestar makes one of its own for each application.
        policy: Its policy.
        key_builder: Adds to its keys.
    """
    registered: Any = handler  # Litestar leaves some of its types open
    function = registered.fn
    asynchronous = not handler.has_sync_callable
    connect = registered.resolve_request_class()
    needs_request = policy.vary_on is not None or key_builder is not None

    @wraps(_named(function), updated=())
    async def endpoint(**arguments: Any) -> Any:
        exchange = current_exchange()
        if exchange is None:
            return await function(**arguments) if asynchronous else function(**arguments)
        reply = exchange.ready(policy)
        if reply is None:
            scope: Any = exchange.scope
            request = connect(scope) if needs_request else None
            if key_builder is not None:
                exchange.part = key_builder(request)  # type: ignore[arg-type]  # needs_request
            reply = await exchange.lookup(policy, {**scope["path_params"], **arguments}, request)
        if reply is not None:
            return _Replay(reply)
        session = copy(exchange.scope.get("session", Empty))
        result = await function(**arguments) if asynchronous else function(**arguments)
        if exchange.scope.get("session", Empty) != session:
            await exchange.refuse("session")  # its cookie is added further out, where we do not see it
        return result

    BaseRouteHandler.__call__(handler, endpoint)  # not its own, which has opinions on sync_to_thread
    handler.has_sync_callable = False
    handler.__class__ = _replaying(type(handler))  # type: ignore[arg-type]  # classes are hashable


def _named(function: Any) -> Any:
    """Return what has the name by which Litestar knows a handler: it stays the same."""
    plain = unwrap_partial(function)
    return plain if hasattr(plain, "__qualname__") else plain.__class__
