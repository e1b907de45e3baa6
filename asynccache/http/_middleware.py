"""`CacheMiddleware`: the cache in front of an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, Final, Self
from weakref import WeakSet

from asynccache._engine.expiry import Lifetime
from asynccache.cache import Cache
from asynccache.config import CacheConfig, HTTPConfig
from asynccache.defaults import current
from asynccache.errors import ConfigurationError
from asynccache.http import rules
from asynccache.http._attempt import Attempt
from asynccache.http._bounded import BoundedDict
from asynccache.http._coalescing import Flights
from asynccache.http._exchange import SCOPE_KEY, Exchange, Send
from asynccache.http._fronts import Fronts
from asynccache.http._keeping import switches_of
from asynccache.http._marking import ASGIApp, serve
from asynccache.http._passage import Passage
from asynccache.http._paths import Rule, Rules
from asynccache.http._reads import NOTHING, Reads
from asynccache.http._responses import Found, ResponseCache, Wanted
from asynccache.http._rfc9111.fields import Headers
from asynccache.http._rfc9111.switches import Switches
from asynccache.policy import CachePolicy, seconds

__all__ = ["SCOPE_KEY", "ASGIApp", "CacheMiddleware"]

logger = logging.getLogger("asynccache")

Receive = Callable[[], Awaitable[Any]]

_UNCACHEABLE_FOR: Final = 10.0
"""Seconds for which requests do not wait for each other after a response turned out not to be for sharing."""
_REMEMBERED: Final = 16_384

_ADVICE: Final = {
    "cookie": "set cookies=() if they do not change the response, cookies=(names,) or vary_on= if they do",
    "authorization": "set vary_on= to what distinguishes users, or public=True if all get the same",
    "vary-on": "vary_on returned None, which means that it cannot tell who is asking, or an object without a "
    "lasting identity: return an id",
    "host": "the request has no single valid Host, or a malformed target",
    "content": "the request has a body, which cannot be part of the key",
    "mode='rfc9111'": "policies of routes do nothing there: send Cache-Control",
}


class _Connection:
    """What stands in for an exchange where there is no HTTP: something that has the cache."""

    __slots__ = ("cache",)

    def __init__(self, cache: Cache) -> None:
        self.cache = cache


class CacheMiddleware:
    """Pure ASGI middleware: opens and closes the cache with the application, and serves and stores responses.

    It stores what routes with a policy answer, and what ``rules`` name; all else passes through untouched.
    Put compression outside of it. Hits of ``public`` routes and of every rule are served before anything
    further in runs: what authenticates them belongs outside, too.

    Args:
        app: The application.
        config: Settings; left out: `CacheConfig()`.
        cache: A cache to share instead; it is opened and closed all the same.
        rules: Policies by path, for an application whose routes have none; the first that matches decides,
            before a policy of the route itself.

    Raises:
        ConfigurationError: both or the wrong kind of ``config`` and ``cache``, or a rule is never reached.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: CacheConfig | None = None,
        *,
        cache: Cache | None = None,
        rules: Iterable[Rule] = (),
    ) -> None:
        if config is not None and cache is not None:
            raise ConfigurationError("give either config or cache: a cache has its config already")
        if cache is not None and not isinstance(cache, Cache):
            raise ConfigurationError(f"cache must be a Cache, not {cache!r}")
        self.app = app
        self._rules = Rules(rules)
        self._family: WeakSet[CacheMiddleware] = WeakSet((self,))
        """Itself and what `around` has made of it."""
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._serve_from(Cache(config) if cache is None else cache)

    def _serve_from(self, cache: Cache) -> None:
        self.cache = cache
        self.http: HTTPConfig = self.cache.config.http
        self.coalesce_timeout: float = seconds(self.http.coalesce_timeout, "coalesce_timeout")
        self.responses: ResponseCache = ResponseCache(self.cache)
        self.flights: Flights = Flights()
        access = self.cache.entries.access
        self.switches: Switches = switches_of(self.http)
        self.shared: bool = self.http.mode == "rfc9111"
        simple = not access.observers and (self.shared or not self.http.honour_client_directives)
        self.fronts: Fronts | None = None
        """Hits that need no thinking; None where somebody may not be passed over: clients, observers."""
        if access.local is not None and simple:
            self.fronts = Fronts(self.cache.entries, status=self.http.cache_status, shared=self.shared)
        if self.shared and self._rules:
            raise ConfigurationError("rules= are for mode='marked': in 'rfc9111' response fields decide")
        self._public: BoundedDict[str, tuple[CachePolicy, str, tuple[bytes, ...]]] = BoundedDict(_REMEMBERED)
        self._public_paths: BoundedDict[str, None] = BoundedDict(_REMEMBERED)
        """Their paths: all others need not be looked for."""
        self._uncacheable: BoundedDict[str, float] = BoundedDict(_REMEMBERED)
        self._lifetimes: dict[int, tuple[CachePolicy, Lifetime]] = {}
        self._warned: set[tuple[int, int, str]] = set()

    async def __call__(self, scope: rules.Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        kind = scope["type"]
        if SCOPE_KEY in scope:  # inside another instance, which does it all
            await self.app(scope, receive, send)
        elif kind == "http":
            if self.fronts is not None and self.fronts.public and scope["method"] == "GET":
                reply = self.fronts.reply(scope, None)
                if reply is not None:
                    start, body = reply.messages()
                    await send(start)
                    await send(body)
                    return
            if self.shared:
                await Passage(self, scope, receive, send).run()
            else:
                await self._http(scope, receive, send, Exchange(self, scope, send))
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            scope[SCOPE_KEY] = connection = _Connection(self.cache)
            token = current.set(connection)
            try:
                await self.app(scope, receive, send)
            finally:
                current.reset(token)

    async def _http(self, scope: rules.Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        if scope["path"] in self._public_paths and await self._answered(exchange, send):
            return
        scope[SCOPE_KEY] = exchange
        receive = rules.watched(scope, receive, exchange)
        ruled = self._rules.match(scope) if self._rules else None
        token = current.set(exchange)
        try:
            if ruled is None:
                await self.app(scope, receive, exchange.send)
            else:
                await serve(
                    self.app,
                    scope,
                    receive,
                    exchange.send,
                    exchange=exchange,
                    policy=ruled[0],
                    parameters=ruled[1],
                    connect=self.connection,
                )
        except BaseException as error:
            await exchange.close(error)
            raise
        else:
            if exchange.open:
                await exchange.close(None)
        finally:
            current.reset(token)
            exchange.scope = exchange.pristine  # the other refers to the exchange: a cycle

    async def _answered(self, exchange: Exchange, send: Send) -> bool:
        """Answer a request for a URL whose route is known to be public, if that is possible."""
        if exchange.refreshing or exchange.method not in ("GET", "HEAD") or exchange.asked.content:
            return False
        known = self._public.get(exchange.asked.url)
        reply = None if known is None else await exchange.early(*known)
        if reply is None:
            return False
        for message in reply.messages():
            await send(message)
        return True

    async def _lifespan(self, scope: rules.Scope, receive: Receive, send: Send) -> None:
        asked = opened = failed = False

        async def receive_and_open() -> Any:
            nonlocal asked, opened, failed
            asked = True
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.started(scope.get("app"))
                    await self.cache.open()
                except Exception as error:
                    # Of an application that only raises, servers assume that it has no lifespan, and go on.
                    failed = True
                    reason = f"{type(error).__name__}: {error}"
                    await send({"type": "lifespan.startup.failed", "message": reason})
                    raise
                opened = True
            return message

        async def close_and_send(message: Any) -> None:
            nonlocal opened
            if message["type"] != "lifespan.startup.complete":
                opened = False
                await self.aclose()
            if not failed:
                await send(message)

        token = current.set(_Connection(self.cache))
        try:
            try:
                await self.app(scope, receive_and_open, close_and_send)
            except Exception:
                if asked:
                    raise
                logger.debug("the application has no lifespan; its cache has", exc_info=True)
            if not asked:
                await _begin_and_end(receive_and_open, close_and_send)
        finally:
            current.reset(token)
            if opened:
                await self.aclose()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open the cache and close it, for frameworks whose middleware is not told of the lifespan."""
        token = current.set(_Connection(self.cache))
        try:
            await self.cache.open()
            yield
        finally:
            await self.aclose()
            current.reset(token)

    def around(self, app: ASGIApp) -> Self:
        """Return this middleware around another application, for frameworks that have one stack per route.

        All that it knows and remembers is shared.
        """
        other = copy(self)
        other.app = app
        self._family.add(other)
        return other

    def use(self, cache: Cache) -> None:
        """Serve from ``cache`` from now on, in every stack, and forget everything else: for tests.

        Neither is opened or closed. What is under way stays with the former.
        """
        self._serve_from(cache)
        mine = {name: value for name, value in vars(self).items() if name != "app"}
        for other in self._family:
            vars(other).update(mine)

    def started(self, application: Any) -> None:
        """Look at the framework's application before its first request; for integrations to override."""

    def connection(self, scope: rules.Scope) -> Any:
        """Return what ``vary_on`` of a rule's policy is called with; for integrations to override."""
        return scope

    def reads(self, scope: rules.Scope) -> Reads:
        """Return what the endpoint of a request is known to read; for integrations to override.

        Args:
            scope: The request. It has not been routed yet where a rule decides.
        """
        return NOTHING

    def repeating(self, scope: rules.Scope) -> None:
        """Prepare the scope of a request that repeats an earlier one; for integrations to override."""

    async def aclose(self) -> None:
        """Stop refreshing and close the cache."""
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.coalesce_timeout)
        await self.cache.aclose()

    # -- what exchanges ask for ---------------------------------------------------------------------

    def lifetime(self, policy: CachePolicy) -> Lifetime:
        """Return how long responses under ``policy`` live in this cache."""
        known = self._lifetimes.get(id(policy))
        if known is None:
            known = self._lifetimes[id(policy)] = (policy, Lifetime.of(policy, self.cache.default_ttl))
        return known[1]

    def remember_public(self, path: str, url: str, policy: CachePolicy, wanted: Wanted) -> None:
        """Serve hits of ``url`` before routing from now on: its route is public, as this process has seen."""
        self._public[url] = (policy, wanted.url, wanted.names)
        self._public_paths[path] = None

    def remember_front(self, scope: rules.Scope, attempt: Attempt, found: Found) -> None:
        """Answer requests like this one without thinking from now on, if the policy leaves nothing to it."""
        if self.fronts is not None and not attempt.lifetime.beta and not attempt.shared_only:
            policy = attempt.policy
            self.fronts.remember(scope, policy, found, credentials=policy.public)

    def uncacheable(self, key: str) -> bool:
        """Return whether the response under ``key`` was recently found not to be for sharing."""
        until = self._uncacheable.get(key)
        return until is not None and self.cache.entries.clock() < until

    def remember_uncacheable(self, key: str) -> None:
        """Let requests for ``key`` go ahead in parallel for a while."""
        self._uncacheable.pop(key, None)
        self._uncacheable[key] = self.cache.entries.clock() + _UNCACHEABLE_FOR

    async def invalidate(self, asked: rules.Asked, scope: rules.Scope, headers: Headers) -> None:
        """Remove what a successful unsafe request has made worthless."""
        urls = [self.responses.url_key(url) for url in rules.target_urls(asked, scope, headers)]
        if urls:
            await self.responses.remove(urls)

    def refresh(self, exchange: Exchange, key: str) -> asyncio.Task[None] | None:
        """Repeat the request of ``exchange`` in the background, unless that is being done already."""
        return self._refreshing.get(key) if exchange.refreshing else self.repeat(exchange.pristine, key)

    def repeat(self, pristine: rules.Scope, key: str) -> asyncio.Task[None]:
        """Repeat a request in the background, as the cache's own, unless that is being done already."""
        task = self._refreshing.get(key)
        if task is None:
            task = self._refreshing[key] = asyncio.get_running_loop().create_task(self._repeat(pristine, key))
            # Not at its end: one that is cancelled before its first step has none.
            task.add_done_callback(lambda _: self._refreshing.pop(key, None))
        return task

    async def _repeat(self, pristine: rules.Scope, key: str) -> None:
        scope = dict(pristine)
        scope["method"] = "GET"
        if "state" in scope:
            scope["state"] = dict(scope["state"])
        scope["headers"] = rules.without_conditions(scope["headers"])
        self.repeating(scope)
        received = False
        complete = asyncio.Event()

        async def receive() -> Any:
            nonlocal received
            if received:
                await complete.wait()  # this client stays until the end, which some streams wait for
                return {"type": "http.disconnect"}
            received = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def nowhere(message: Any) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                complete.set()

        try:
            if self.shared:
                await Passage(self, scope, receive, nowhere, refreshing=True).run()
            else:
                own = Exchange(self, scope, nowhere)
                own.refreshing = True
                await self._http(scope, receive, nowhere, own)
        except Exception:
            logger.warning("refreshing %s failed", key, exc_info=True)

    def warn_once(self, policy: CachePolicy | None, reason: str, scope: rules.Scope) -> None:
        """Say once per policy why requests bypass the cache, and what to do about it."""
        # One policy may be that of many routes; frameworks say which endpoint it is.
        warning = id(policy), id(scope.get("endpoint")), reason
        if reason in ("head", "request") or warning in self._warned:
            return
        self._warned.add(warning)
        advice = _ADVICE.get(
            reason, f"list {reason!r} in vary= if the application reads it, or drop it at the proxy"
        )
        route = scope["method"], scope["path"]
        logger.warning("%s %s is not cached under its policy: %s; %s", *route, reason, advice)


async def _begin_and_end(receive: Receive, send: Send) -> None:
    """Be the lifespan of an application that has none."""
    for answer in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{answer}.complete"})
