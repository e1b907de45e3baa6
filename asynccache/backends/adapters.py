"""`SyncBackendAdapter`: a store whose methods block, made one that does not.

Each call runs in one of anyio's worker threads, within a limit of the adapter's own, and in a task that the
adapter owns: a caller that is cancelled leaves at once, the thread ends as it would have, and its place is
taken until it has. Writes of one key never overlap, so a set whose caller gave up cannot land after, and
undo, a later one; and what has not begun when its caller leaves is left out.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
from asyncio import AbstractEventLoop, CancelledError, Future
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, TypeVar, cast

from anyio import CapacityLimiter, to_thread

from asynccache._engine.arguments import check_count, check_value
from asynccache._engine.clock import stopwatch
from asynccache._engine.failures import interpret
from asynccache._engine.perloop import PerLoop
from asynccache._engine.raising import fail
from asynccache._engine.turns import Lane, Write
from asynccache._engine.wrapping import Wrapper
from asynccache.errors import ConfigurationError
from asynccache.protocols import BackendHealth

__all__ = ["SyncBackendAdapter"]

T = TypeVar("T")

_REQUIRED: Final = ("get", "set", "delete")
_OPTIONAL: Final = (
    "get_many",
    "set_many",
    "delete_many",
    "exists",
    "touch",
    "add",
    "incr",
    "get_versioned",
    "compare_and_swap",
    "clear",
    "acquire_lease",
    "fill",
    "release_lease",
    "health",
    "health_check",
    "open",
    "aclose",
    "close",
)
_CLOSING_SECONDS: Final = 5.0


class _Here(NamedTuple):
    """What belongs to one event loop."""

    lane: Lane
    limiter: CapacityLimiter


class SyncBackendAdapter(Wrapper):
    """A backend around an object whose methods are ordinary functions.

    It needs ``get(key)``, ``set(key, value, ttl)`` and ``delete(key)``, which mean what they mean in
    `asynccache.CacheBackendProtocol`. It may have ``exists(key)``, ``health_check()`` (a bool, a bool and a
    dict of details, or a `asynccache.BackendHealth`), ``open()``, ``close()``, and the methods of the
    ``Supports…`` protocols under the same names, all but the invalidation bus: what it has, the adapter has.
    They are called in several threads at once.

    Args:
        backend: The object.
        threads: The most calls at one time, for each event loop; others wait. 1 for an object that is not
            thread-safe.

    Raises:
        ConfigurationError: a method is missing, or is a coroutine function: such a backend needs no adapter.
    """

    def __init__(self, backend: Any, *, threads: int = 16) -> None:
        check_count(threads, "threads", 1)
        methods = _methods(backend)
        self._open = methods.pop("open", None)
        closers = (methods.pop("aclose", None), methods.pop("close", None))
        self._close = next(filter(None, closers), None)
        check = methods.pop("health_check", None)
        if check is not None:
            methods.setdefault("health", check)
        super().__init__(SimpleNamespace(**methods))  # pyright: ignore[reportArgumentType] - its methods do not wait; this class is about that
        self.backend = backend
        self._name = type(backend).__name__
        self._threads = threads
        self._here = PerLoop(self._new_loop).here

    def _new_loop(self, loop: AbstractEventLoop) -> _Here:
        return _Here(Lane(loop), CapacityLimiter(self._threads))

    def __repr__(self) -> str:
        return f"<SyncBackendAdapter {self.backend!r}>"

    # -- reading ---------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None."""
        value = await self._run("get", key, self._inner.get, key)
        if value is not None:
            check_value(value, f"what {self._name}.get returns")
        return value  # type: ignore[no-any-return]

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``."""
        found: Mapping[str, bytes] = await self._run("get_many", None, self._inner.get_many, keys)
        for value in found.values():
            check_value(value, f"what {self._name}.get_many returns")
        return dict(found)

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there."""
        return bool(await self._run("exists", key, self._inner.exists, key))

    # -- writing ---------------------------------------------------------------------------------------

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``; False if the store refuses it."""
        check_value(value)
        return await self._write("set", (key,), self._inner.set, key, value, ttl) is not False

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused."""
        items = dict(items)  # the caller's may change while it waits for its turn
        for value in items.values():
            check_value(value)
        refused = await self._write("set_many", items, self._inner.set_many, items, ttl)
        return {*(refused or ())}

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        return bool(await self._write("delete", (key,), self._inner.delete, key))

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there."""
        keys = list(dict.fromkeys(keys))
        return {*await self._write("delete_many", keys, self._inner.delete_many, keys)}

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key``; False if it is not there."""
        return bool(await self._write("touch", (key,), self._inner.touch, key, ttl))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        check_value(value)
        return bool(await self._write("add", (key,), self._inner.add, key, value, ttl))

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` to a counter and return the new value."""
        incr = partial(self._inner.incr, initial=initial, ttl=ttl)
        return int(await self._write("incr", (key,), incr, key, delta))

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what is under ``key`` and its version."""
        found: tuple[bytes, str] | None = await self._run(
            "get_versioned", key, self._inner.get_versioned, key
        )
        if found is not None:
            check_value(found[0], f"what {self._name}.get_versioned returns")
        return found

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        """Store ``value`` if what is under ``key`` still is ``version``."""
        check_value(value)
        swap = self._inner.compare_and_swap
        return bool(await self._write("compare_and_swap", (key,), swap, key, value, ttl, version))

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with ``prefix``, also what is being written to one right now."""
        lane = self._here().lane
        for write in [write for key, write in lane.writes.items() if key.startswith(prefix)]:
            await lane.after(write)
        await self._run("clear", prefix, self._inner.clear, prefix)

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a token if nobody holds a lease on ``key``."""
        token: str | None = await self._write("acquire_lease", (key,), self._inner.acquire_lease, key, ttl)
        return token

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` if ``token`` still holds the lease on ``key``."""
        check_value(value)
        return bool(await self._write("fill", (key,), self._inner.fill, key, value, ttl, token))

    async def release_lease(self, key: str, token: str) -> None:
        """End a lease."""
        await self._write("release_lease", (key,), self._inner.release_lease, key, token)

    # -- life ------------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Ask the store for a sign of life."""
        started = stopwatch()
        answer: Any = await self._run("health", None, self._inner.health)
        if isinstance(answer, BackendHealth):
            return answer
        told: object = {}
        healthy: object = answer
        if isinstance(answer, tuple) and len(cast("tuple[object, ...]", answer)) == 2:
            healthy, told = cast("tuple[object, object]", answer)
        if not isinstance(healthy, bool) or not isinstance(told, dict):
            raise TypeError(f"{self._name}'s health must be a bool or a BackendHealth, not {answer!r}")
        details = dict(cast("dict[str, Any]", told))
        kind = str(details.pop("backend_type", self._name))
        latency = float(details.pop("latency_ms", (stopwatch() - started) * 1000))
        return BackendHealth(healthy, kind, latency, details)

    async def open(self) -> None:
        """Open the store, if it has ``open``."""
        if self._open is not None:
            await self._run("open", None, self._open)

    async def aclose(self) -> None:
        """Let what is under way end, within seconds; then close the store, if it has ``close``."""
        lane = self._here().lane
        if lane.tasks:
            await asyncio.wait(lane.tasks, timeout=_CLOSING_SECONDS)
        if self._close is not None:
            await self._run("aclose", None, self._close)

    # -- threads ---------------------------------------------------------------------------------------

    async def _write(
        self, operation: str, keys: Collection[str], call: Callable[..., Any], *args: Any
    ) -> Any:
        """Do ``call`` while nobody else writes any of ``keys``."""
        lane = self._here().lane
        while (busy := next((lane.writes[key] for key in keys if key in lane.writes), None)) is not None:
            await lane.after(busy)
        write = Write()
        for key in keys:
            lane.writes[key] = write
        only = next(iter(keys)) if len(keys) == 1 else None
        return await self._run(operation, only, call, *args, ended=partial(lane.end, write, keys))

    def _run(
        self,
        operation: str,
        key: str | None,
        call: Callable[..., T],
        *args: Any,
        ended: Callable[[], object] = lambda: None,
    ) -> Future[T]:
        """Have ``call`` done in a thread, by a task of ours; then, come what may, do ``ended``."""
        lane, limiter = self._here()
        caller: Future[T] = lane.loop.create_future()

        def work() -> Any:
            # In the thread, at the last moment; a future may be asked from anywhere.
            return None if caller.done() else _called(call, args)

        async def carry() -> None:
            try:
                result = await to_thread.run_sync(work, limiter=limiter)
            except (CancelledError, GeneratorExit):  # the loop ends
                raise
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                ended()
                fail((caller,), interpret(error, operation, key, self._name)[0])
            else:
                ended()
                if not caller.done():
                    caller.set_result(result)

        def lost() -> None:
            fail((caller,), CancelledError())
            ended()

        lane.own(carry(), lost)
        return caller


def _methods(backend: Any) -> dict[str, Callable[..., Any]]:
    """Return the methods of ``backend`` that mean something here."""
    name = type(backend).__name__
    methods: dict[str, Callable[..., Any]] = {}
    for method in (*_REQUIRED, *_OPTIONAL):
        function = getattr(backend, method, None)
        if not callable(function):
            if method in _REQUIRED:
                raise ConfigurationError(f"{name} needs a method {method}")
            continue
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"{name}.{method} is a coroutine function: a backend that is asynchronous needs no adapter"
            )
        methods[method] = function
    return methods


def _called(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    result = call(*args)
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise ConfigurationError(
            f"{call!r} returns an awaitable: a backend that is asynchronous needs no adapter"
        )
    return result
