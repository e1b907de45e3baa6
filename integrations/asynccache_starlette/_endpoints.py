"""`cache_response`: a policy on an endpoint.

It runs after routing, middleware and dependencies, instead of the endpoint.
"""

from __future__ import annotations

import inspect
import logging
import sys
from asyncio import coroutines
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial, wraps
from typing import Any, Final, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakKeyDictionary, WeakSet

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from asynccache import DEFAULT, Cache, CachePolicy, ConfigurationError
from asynccache.http import SCOPE_KEY, Exchange, Reply, current_exchange, inherited_policy
from asynccache.policy import Default, Seconds
from asynccache_starlette._distinctions import dependency_of, keep_resolved, resolved, with_parameter
from asynccache_starlette._overrides import overridden

__all__ = [
    "ReplayedResponse",
    "cache_response",
    "can_inherit",
    "chain",
    "decorated_endpoints",
    "get_cache",
    "mark",
    "marked_endpoints",
    "policy_of",
    "refuse_stream",
]

logger = logging.getLogger("asynccache")

P = ParamSpec("P")
R = TypeVar("R")

marked_endpoints: Final[WeakKeyDictionary[Callable[..., Any], CachePolicy]] = WeakKeyDictionary()
"""Every endpoint that has a policy."""
decorated_endpoints: Final[WeakSet[Callable[..., Any]]] = WeakSet()
"""Those on which `cache_response` stands, for the audit at start: somebody expects them to be routes."""


class ReplayedResponse(Response):
    """A stored response, sent as it is: no serialisation, no new header fields."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status
        self.body = reply.body
        self.raw_headers = reply.headers
        self.background = None


class _Decorator(Protocol):
    """``cache_response(...)``, waiting for its endpoint. What it returns is asynchronous in any case."""

    @overload
    def __call__(self, endpoint: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, endpoint: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def cache_response(endpoint: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def cache_response(endpoint: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def cache_response(
    *,
    ttl: Seconds | Default | None = DEFAULT,
    tags: Iterable[str] = (),
    policy: CachePolicy | None = None,
    **options: Any,
) -> _Decorator: ...
@overload
def cache_response(
    endpoint: Callable[..., Any], /, *, policy: CachePolicy
) -> Callable[..., Coroutine[Any, Any, Any]]: ...
def cache_response(
    endpoint: Callable[..., Any] | None = None,
    /,
    *,
    ttl: Seconds | Default | None = DEFAULT,
    tags: Iterable[str] = (),
    policy: CachePolicy | None = None,
    **options: Any,
) -> Any:
    """Cache the responses of an endpoint. Put it directly above the function, below the route's decorator.

    Dependencies, middleware and everything else that decides who may ask have run before a hit is served;
    only the endpoint and its serialisation are skipped. A synchronous endpoint still runs in a thread, a hit
    does not.

    Args:
        endpoint: The endpoint, where the decorator is used without parentheses.
        ttl: Seconds or a timedelta; None until invalidated; left out: the cache's ``default_ttl``.
        tags: Names to invalidate by; ``{path_parameter}`` or ``{argument}`` is filled in.
        policy: All of this as one object.
        options: Other fields of `asynccache.CachePolicy`: ``public``, ``stale_while_revalidate`` … In FastAPI
            ``vary_on`` may be a dependency: ``vary_on=Depends(current_user)``.

    Raises:
        ConfigurationError: an argument is wrong, or the endpoint is something else than a function.
    """
    fields = dict(options)
    if ttl is not DEFAULT:
        fields["ttl"] = ttl
    if tags:
        fields["tags"] = tags
    combined = CachePolicy.combine(policy, fields)

    def decorate(function: Callable[..., Any]) -> Any:
        marked = mark(function, combined)
        decorated_endpoints.add(marked)
        return marked

    return decorate if endpoint is None else decorate(endpoint)


def mark(
    function: Callable[..., Any], policy: CachePolicy | None, *, own: bool = True
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return ``function`` as an endpoint that asks the cache first.

    Args:
        function: The endpoint.
        policy: Its policy; None: that of the nearest layer around the route, if there is one then.
        own: The policy was given for this endpoint; else it concerns GET and HEAD only.

    Raises:
        ConfigurationError: the endpoint is something else than a function, or a stream.
    """
    name = named_function(function)
    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        plain_function(function)
    )
    dependency = None if policy is None else dependency_of(policy)
    if policy is not None and dependency is not None:
        policy = policy.but(vary_on=resolved)
    told = policy is None

    @wraps(function)
    async def endpoint(*args: Any, **kwargs: Any) -> Any:
        nonlocal told
        exchange = current_exchange()
        if dependency is not None:
            keep_resolved(kwargs, exchange)
        if exchange is None:
            if not told:
                told = True
                logger.warning("%s is not cached: the application has no CacheMiddleware", name)
            return await _call(function, asynchronous, args, kwargs)
        scope = exchange.scope
        rule = policy if own and policy is not None else in_force(exchange, policy)
        if rule is None or not _serves(scope.get("endpoint"), endpoint):
            return await _call(function, asynchronous, args, kwargs)
        exchange.part = overridden(scope.get("app"))
        reply = exchange.ready(rule) if exchange.part is None else None
        if reply is None:
            reply = await exchange.lookup(rule, {**scope.get("path_params", {}), **kwargs}, Request(scope))
        if reply is None:
            try:
                return await _call(function, asynchronous, args, kwargs)
            except Exception as error:
                reply = await exchange.rescue(error)
                if reply is None:
                    raise
                logger.warning("serving a stale response instead of an error", exc_info=True)
        return ReplayedResponse(reply)

    if not asynchronous:
        _declare_asynchronous(endpoint)
    if dependency is not None:
        endpoint.__signature__ = with_parameter(inspect.signature(function), dependency)  # type: ignore[attr-defined]
    if policy is not None:
        marked_endpoints[endpoint] = policy
    return endpoint


def _declare_asynchronous(endpoint: Any) -> None:
    """Let frameworks know a synchronous function that has become asynchronous by more than its type.

    What is wrapped around it with `functools.wraps` gets a copy of the mark. Without it FastAPI looks through
    the wrapper and the endpoint at the function inside, and would not await what the wrapper returns.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(endpoint)
    else:
        endpoint._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001


def in_force(exchange: Exchange, policy: CachePolicy | None) -> CachePolicy | None:
    """Return the policy for a request whose route says nothing itself."""
    if policy is None:
        return inherited_policy(exchange)
    return policy if exchange.method in ("GET", "HEAD") else None


def plain_function(function: Callable[..., Any]) -> Any:
    """Return what is inside of decorators and partials."""
    plain: Any = inspect.unwrap(function)
    while isinstance(plain, partial):
        plain = inspect.unwrap(plain.func)
    return plain


def named_function(function: Callable[..., Any]) -> str:
    """Return the name of an endpoint that can be marked.

    Raises:
        ConfigurationError: it cannot.
    """
    plain = plain_function(function)
    name: str = plain.__qualname__ if hasattr(plain, "__qualname__") else repr(plain)
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        raise ConfigurationError(
            f"cache_response belongs on a function, not on {function!r}; a class: Route(..., cache=)"
        )
    refuse_stream(plain)
    return name


def refuse_stream(endpoint: Callable[..., Any]) -> None:
    """Raise `ConfigurationError` if an endpoint yields its response."""
    plain = plain_function(endpoint)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ConfigurationError(f"{plain.__qualname__} is a stream (it yields): streams are never cached")


def can_inherit(function: Callable[..., Any]) -> bool:
    """Return whether an endpoint without a policy may get one from the layers around its route."""
    try:
        named_function(function)
    except ConfigurationError:
        return False
    return policy_of(function) is None


def policy_of(endpoint: Any) -> CachePolicy | None:
    """Return the policy of a marked endpoint, which may be inside of other decorators."""
    return next((marked_endpoints[inner] for inner in chain(endpoint) if inner in marked_endpoints), None)


def chain(endpoint: Any) -> Iterator[Callable[..., Any]]:
    """Return an endpoint and what is inside of its decorators and partials, from the outside."""
    while endpoint is not None:
        endpoint = getattr(endpoint, "__func__", endpoint)  # of a method: a decorator has marked its function
        if type(endpoint).__hash__ is not None:
            yield endpoint
        endpoint = endpoint.func if isinstance(endpoint, partial) else getattr(endpoint, "__wrapped__", None)


def _serves(served: Any, endpoint: Callable[..., Any]) -> bool:
    """Whether ``endpoint`` is what the route calls, perhaps inside other decorators; unknown counts as yes.

    A marked function that the endpoint of another route calls is an ordinary function there: that route's
    response must not be stored under this function's policy.
    """
    while served is not None and served is not endpoint:
        if isinstance(served, partial):
            served = served.func
        elif inspect.ismethod(served):
            served = served.__func__
        elif inspect.isfunction(served):
            served = getattr(served, "__wrapped__", None)
            if served is None:
                return False
        else:
            return True
    return True


async def _call(function: Callable[..., Any], asynchronous: bool, args: Any, kwargs: Any) -> Any:  # noqa: FBT001
    if asynchronous:
        return await function(*args, **kwargs)
    return await run_in_threadpool(function, *args, **kwargs)


def get_cache(connection: HTTPConnection) -> Cache:
    """Return the application's cache. Also a FastAPI dependency: ``Depends(get_cache)``.

    Raises:
        ConfigurationError: the application has no `CacheMiddleware`.
    """
    context = connection.scope.get(SCOPE_KEY)
    if context is None:
        raise ConfigurationError(
            "the application has no CacheMiddleware: pass cache=CacheConfig(...) or add the middleware"
        )
    cache: Cache = context.cache
    return cache
