"""`Lifecycle`: how a cache is put together, opened, closed and described. The facade adds what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Final, Self

from asynccache._engine.access import Access
from asynccache._engine.bulk import BulkLoader
from asynccache._engine.clock import stopwatch, wall_clock
from asynccache._engine.coding import Coder
from asynccache._engine.composing import compose
from asynccache._engine.counting import Counting
from asynccache._engine.entry import Entry
from asynccache._engine.expiry import Lifetime
from asynccache._engine.loading import Loader
from asynccache._engine.observing import Observers
from asynccache._engine.report import CacheCapabilities, CacheStats
from asynccache._engine.runningloop import running_loop
from asynccache._engine.singleflight import SingleFlight
from asynccache._engine.store import EntryStore
from asynccache.backends import from_url
from asynccache.config import CacheConfig
from asynccache.errors import BackendError, ConfigurationError
from asynccache.keys import Namespace
from asynccache.policy import CachePolicy, seconds
from asynccache.protocols import BackendHealth, SupportsHealth, SupportsLifecycle

__all__ = ["Lifecycle"]

_CLOSING_SECONDS: Final = 5.0


class Lifecycle:
    """A cache without its operations on values."""

    def __init__(self, config: CacheConfig | None = None) -> None:
        config = CacheConfig() if config is None else config
        if not isinstance(config, CacheConfig):
            raise ConfigurationError(f"config must be a CacheConfig, not {config!r}")
        backend = config.backend
        if isinstance(backend, str):
            backend = from_url(backend, clock=None if config.clock is wall_clock else config.clock)
        access = Access(
            compose(backend, batching=config.batching, **asdict(config.guard)),
            sealer=config.sealer(),
            clock=config.clock,
            max_value_bytes=config.max_value_bytes,
            fail_open=config.fail_open,
            lease_ttl=seconds(config.lease_ttl, "lease_ttl"),
            observers=Observers(tuple(config.observers)),
        )
        self.config = config
        self._flights = SingleFlight()
        self._serializer = config.serializer()
        self._bind(EntryStore(access, Namespace(config.namespace)))

    def _bind(self, entries: EntryStore) -> None:
        self.entries = entries
        """The engine room: what decorators and HTTP work on. Applications do not need it."""
        self.coder: Coder = Coder(entries, self._serializer)
        self.loader: Loader = Loader(entries, self.coder, self._flights)
        self._bulk = BulkLoader(entries, self.coder, self._flights)
        self._counting = Counting(entries, self.coder)
        self._backend = entries.access.backend
        self._prefix = entries.namespace.value_prefix
        self._stamped = bool(entries.generations)
        self._max_bytes = entries.access.max_value_bytes
        self._clock = entries.clock
        self._tally = entries.tally
        self._observed = bool(entries.access.observers)
        self._local = entries.local
        self._alive = entries.alive
        self._seen: dict[str, Entry] = {}
        ttl = self.config.default_ttl
        self.default_ttl: float | None = None if ttl is None else seconds(ttl, "default_ttl")
        self._default_lifetime = Lifetime.plain(self.default_ttl)
        self._lifetimes: dict[object, Lifetime] = {}

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """Return a cache on the store at ``url``; see `CacheConfig.from_url`."""
        return cls(CacheConfig.from_url(url, **settings))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """Return a cache configured by environment variables; see `CacheConfig.from_env`."""
        return cls(CacheConfig.from_env(environ, **settings))

    def __repr__(self) -> str:
        return (
            f"<Cache {self.entries.namespace.prefix!r} on {type(self._backend).__name__},"
            f" {self._tally.hits} hits, {self._tally.misses} misses, {len(self._flights)} in flight>"
        )

    def namespace(self, name: str) -> Self:
        """Return a cache for the keys under ``name``: same store, same settings, own keys and tags.

        Clearing a namespace clears those inside it.
        """
        child = object.__new__(type(self))
        child.config = self.config
        child._flights = self._flights
        child._serializer = self._serializer
        child._bind(EntryStore(self.entries.access, self.entries.namespace.child(name)))
        return child

    # -- life ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to the store now instead of on first use.

        A store that is down is an event, unless ``fail_open`` is off.

        Raises:
            ConfigurationError: no asyncio event loop is running (under trio, say): what is not opened would
                fail with the first request that has to wait for another one.
        """
        running_loop()
        if isinstance(self._backend, SupportsLifecycle):
            await self.entries.access.attempt("open", "", self._backend.open(), None)

    async def aclose(self) -> None:
        """Cancel what is being computed and release the store.

        Safe to call twice; `open` makes it usable again.
        """
        await self._flights.aclose()
        await self.entries.access.chores.finish(_CLOSING_SECONDS)
        if isinstance(self._backend, SupportsLifecycle):
            await self.entries.access.attempt("aclose", "", self._backend.aclose(), None)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def health(self) -> BackendHealth:
        """Ask the store for a sign of life.

        Never raises for a store that fails: that is ``healthy=False``.
        """
        backend = self._backend
        kind = type(backend).__name__
        started = stopwatch()
        try:
            if isinstance(backend, SupportsHealth):
                return await backend.health()
            await backend.get(f"{self.entries.namespace.prefix}?health")
        except BackendError as error:
            return BackendHealth(False, kind, (stopwatch() - started) * 1000, {"error": str(error)})
        return BackendHealth(True, kind, (stopwatch() - started) * 1000)

    def stats(self) -> CacheStats:
        """Return the running totals."""
        tally = self._tally
        return CacheStats(**{name: getattr(tally, name) for name in tally.__slots__})

    @property
    def capabilities(self) -> CacheCapabilities:
        """What the store can do."""
        return self.entries.access.capabilities

    def lifetime(self, policy: CachePolicy) -> Lifetime:
        """Return how long values live under ``policy`` in this cache."""
        return Lifetime.of(policy, self.default_ttl)
