"""What concurrent tasks ask of a store in one turn of the event loop becomes one request.

Reads. While nothing is under way a read goes straight through. Otherwise it joins the batch of this turn:
the first to join creates the batch's task, which takes its first step when all tasks that are ready now
have had theirs. A read never joins a request that was already sent: its answer may be older than a write
that was acknowledged since.

Writes. Sets of one turn and one ttl become one ``set_many``; of two sets of one key the last wins. Deletes
of one turn become one ``delete_many``; of two deletes of one key the first is told what was there. Writes
of one key never overlap: whoever comes while one is under way waits for it. So a set whose caller gave
up can never land after, and undo, a later one.

All I/O runs in tasks of this module. A caller waits on a future of its own, so its cancellation reaches no
connection: the operation ends as it would have, and nobody hears of it. A failed batch fails for each of
its callers and is not retried.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from asynccache._engine.perloop import PerLoop
from asynccache._engine.raising import fail
from asynccache._engine.turns import Delete, Lane, Queued, Reads, Set, Write
from asynccache._engine.wrapping import Wrapper, owns_its_io
from asynccache.errors import ConfigurationError
from asynccache.protocols import BackendHealth, CacheBackendProtocol, SupportsLifecycle, SupportsMany

__all__ = ["Batched"]

T = TypeVar("T")
Q = TypeVar("Q", bound=Queued)
Keys = set[str]
_CLOSING_SECONDS: Final = 5.0


class Batched(Wrapper):
    """A backend that turns what concurrent tasks ask of another one into its bulk operations.

    Args:
        backend: The store; it has to offer `SupportsMany`. Every other capability is passed on.
        max_batch: The most keys in one request.
    """

    def __init__(self, backend: CacheBackendProtocol, *, max_batch: int = 512) -> None:
        if not isinstance(backend, SupportsMany):
            raise ConfigurationError(f"{type(backend).__name__} has no bulk operations to batch into")
        super().__init__(backend)
        self._max_batch = max_batch
        self._direct = owns_its_io(backend)
        self._get = self._inner.get
        self._lane = PerLoop(Lane).here

    def __repr__(self) -> str:
        return f"<Batched {self.backend!r}>"

    # -- reads ------------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return what the store has under ``key``."""
        lane = self._lane()
        if self._direct and lane.under_way == 0 and lane.reads is None:
            lane.under_way += 1
            try:
                return await self._get(key)  # type: ignore[no-any-return]
            finally:
                lane.under_way -= 1
        found = await self._join(lane, (key,))
        return found.get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the store has of ``keys``, asked for together with what other tasks want now."""
        lane = self._lane()
        if len(keys) <= self._max_batch:
            if not keys:
                return {}
            if self._direct and lane.under_way == 0 and lane.reads is None:
                lane.under_way += 1
                try:
                    return await self._inner.get_many(keys)  # type: ignore[no-any-return]
                finally:
                    lane.under_way -= 1
            found = await self._join(lane, keys)
            return {key: found[key] for key in keys if key in found}
        parts = [self._join(lane, part) for part in _parts(keys, self._max_batch)]
        merged: dict[str, bytes] = {}
        for answer in await asyncio.gather(*parts):
            merged.update(answer)
        return {key: merged[key] for key in keys if key in merged}

    def _join(self, lane: Lane, keys: Sequence[str]) -> Future[dict[str, bytes]]:
        """Add ``keys`` to what is asked next; the answer may hold more than them."""
        reads = lane.reads
        if reads is None or len(reads.keys) + len(keys) > self._max_batch:
            reads = lane.reads = Reads()
            lane.own(self._read(lane, reads), partial(self._lost_reads, lane, reads))
        for key in keys:
            reads.keys[key] = None
        caller: Future[dict[str, bytes]] = lane.loop.create_future()
        reads.callers.append(caller)
        return caller

    async def _read(self, lane: Lane, reads: Reads) -> None:
        if lane.reads is reads:
            lane.reads = None
        lane.under_way += 1
        try:
            if len(reads.keys) == 1:
                [key] = reads.keys
                value = await self._get(key)
                found = {} if value is None else {key: value}
            else:
                found = await self._inner.get_many(list(reads.keys))
        except GeneratorExit:  # the loop is gone, and with it everyone who could wait
            raise
        except BaseException as error:  # noqa: BLE001 - the callers raise it
            fail(reads.callers, error)
            _reraise_ends(error)
        else:
            for caller in reads.callers:
                if not caller.done():
                    caller.set_result(found)
        finally:
            lane.under_way -= 1

    def _lost_reads(self, lane: Lane, reads: Reads) -> None:
        if lane.reads is reads:
            lane.reads = None
        fail(reads.callers, CancelledError())

    async def exists(self, key: str) -> bool:
        """Return True if the store has ``key``."""
        return await self._owned(lambda: self._inner.exists(key))

    # -- sets and deletes -------------------------------------------------------------------------------

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, together with what other tasks store now; False if the store refuses it."""
        lane = self._lane()
        write = await self._queued(lane, key, Set)
        write.value = value
        write.ttl = ttl
        caller: Future[bool] = lane.loop.create_future()
        write.callers.append(caller)
        return await caller

    async def delete(self, key: str) -> bool:
        """Remove ``key``, together with what other tasks remove now; True if something was there."""
        lane = self._lane()
        write = await self._queued(lane, key, Delete)
        caller: Future[bool] = lane.loop.create_future()
        write.callers.append(caller)
        return await caller

    async def _queued(self, lane: Lane, key: str, kind: type[Q]) -> Q:
        """Return the write of that kind of ``key`` to be sent next, after those that came before it."""
        write = lane.writes.get(key)
        while write is not None:
            if isinstance(write, kind) and not write.sent:
                return write
            await lane.after(write)
            write = lane.writes.get(key)
        queued = lane.writes[key] = kind(key)
        if not lane.queue:
            lane.queue = []
            lane.own(self._flush(lane, lane.queue), partial(self._lost, lane, lane.queue))
        lane.queue.append(queued)
        return queued

    async def _flush(self, lane: Lane, queue: Sequence[Queued]) -> None:
        """Send the writes of this turn, those of one sort together."""
        lane.queue = []
        sorts: dict[object, list[Queued]] = {}
        for write in queue:
            write.sent = True
            sorts.setdefault(write.sort, []).append(write)
        batches = [part for group in sorts.values() for part in _parts(group, self._max_batch)]
        for batch in batches[1:]:
            lane.own(self._write(lane, batch), partial(self._lost, lane, batch))
        await self._write(lane, batches[0])

    async def _write(self, lane: Lane, batch: Sequence[Queued]) -> None:
        lane.under_way += 1
        try:
            named = await self._send(batch)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - the callers raise it
            for write in batch:
                lane.end(write, (write.key,))
            fail([caller for write in batch for caller in write.callers], error)
            _reraise_ends(error)
        else:
            for write in batch:
                lane.end(write, (write.key,))
                write.answer(named)
        finally:
            lane.under_way -= 1

    async def _send(self, batch: Sequence[Queued]) -> Keys:
        """Do all of ``batch``, which is of one sort; return the keys that the store named."""
        first = batch[0]
        if isinstance(first, Set):
            if len(batch) == 1:
                stored = await self._inner.set(first.key, first.value, first.ttl)
                return {first.key} if stored is False else set()
            items = {write.key: write.value for write in batch if isinstance(write, Set)}
            return await self._inner.set_many(items, first.ttl)  # type: ignore[no-any-return]
        if len(batch) == 1:
            return {first.key} if await self._inner.delete(first.key) else set()
        return await self._inner.delete_many([write.key for write in batch])  # type: ignore[no-any-return]

    def _lost(self, lane: Lane, writes: Sequence[Queued]) -> None:
        if lane.queue is writes:
            lane.queue = []
        for write in writes:
            fail(write.callers, CancelledError())
            lane.end(write, (write.key,))

    # -- other writes -----------------------------------------------------------------------------------

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        """Store all of ``items`` with one ttl; return the keys the store refused."""
        refused: Keys = set()
        items = dict(items)  # the caller's may change before it is sent

        async def write() -> Keys:
            for part in _parts(list(items), self._max_batch):
                refused.update(await self._inner.set_many({key: items[key] for key in part}, ttl))
            return refused

        return await self._exclusive(items, write) if items else refused

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        """Remove ``keys``; return those that were there."""
        distinct = list(dict.fromkeys(keys))
        removed: Keys = set()

        async def remove() -> Keys:
            for part in _parts(distinct, self._max_batch):
                removed.update(await self._inner.delete_many(part))
            return removed

        return await self._exclusive(distinct, remove) if distinct else removed

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with ``prefix``, also what is being written to one right now."""
        lane = self._lane()
        for write in [write for key, write in lane.writes.items() if key.startswith(prefix)]:
            await lane.after(write)
        await self._owned(lambda: self._inner.clear(prefix))

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key``; False if it is not there."""
        return await self._exclusive((key,), lambda: self._inner.touch(key, ttl))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        return await self._exclusive((key,), lambda: self._inner.add(key, value, ttl))

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` to a counter and return the new value."""
        return await self._exclusive((key,), lambda: self._inner.incr(key, delta, initial=initial, ttl=ttl))

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what the store has under ``key``, and its version."""
        return await self._owned(lambda: self._inner.get_versioned(key))

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        """Store ``value`` only if what is there has ``version``."""
        return await self._exclusive((key,), lambda: self._inner.compare_and_swap(key, value, ttl, version))

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a token if nobody holds a lease on ``key``."""
        return await self._exclusive((key,), lambda: self._inner.acquire_lease(key, ttl))

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` if ``token`` still holds the lease on ``key``."""
        return await self._exclusive((key,), lambda: self._inner.fill(key, value, ttl, token))

    async def release_lease(self, key: str, token: str) -> None:
        """End a lease."""
        await self._exclusive((key,), lambda: self._inner.release_lease(key, token))

    async def _exclusive(self, keys: Iterable[str], call: Callable[[], Awaitable[T]]) -> T:
        """Do ``call`` while nobody else writes any of ``keys``."""
        lane = self._lane()
        while (busy := next((lane.writes[key] for key in keys if key in lane.writes), None)) is not None:
            await lane.after(busy)
        write = Write()
        for key in keys:
            lane.writes[key] = write
        return await self._owned(call, lambda: lane.end(write, keys))

    # -- the rest ---------------------------------------------------------------------------------------

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber."""
        await self._owned(lambda: self._inner.publish(message))

    def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over messages."""
        return self._inner.subscribe()  # type: ignore[no-any-return]

    async def health(self) -> BackendHealth:
        """Ask the store for a sign of life."""
        return await self._owned(self._inner.health)

    async def open(self) -> None:
        """Open the store."""
        if isinstance(self.backend, SupportsLifecycle):
            await self.backend.open()

    async def aclose(self) -> None:
        """Let what is under way end, within seconds; then close the store."""
        lane = self._lane()
        if lane.tasks:
            await asyncio.wait(lane.tasks, timeout=_CLOSING_SECONDS)
        if isinstance(self.backend, SupportsLifecycle):
            await self.backend.aclose()

    async def _owned(self, call: Callable[[], Awaitable[T]], ended: Callable[[], None] = lambda: None) -> T:
        """Return the result of ``call``, run in a task of ours; then, come what may, do ``ended``."""
        lane = self._lane()
        caller: Future[T] = lane.loop.create_future()

        async def carry() -> None:
            try:
                result = await call()
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - the callers raise it
                ended()
                fail((caller,), error)
                _reraise_ends(error)
            else:
                ended()
                if not caller.done():
                    caller.set_result(result)

        def lost() -> None:
            fail((caller,), CancelledError())
            ended()

        lane.own(carry(), lost)
        return await caller


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _reraise_ends(error: BaseException) -> None:
    """Raise again what is meant for the task or the loop rather than for those who wait."""
    if isinstance(error, CancelledError | KeyboardInterrupt | SystemExit):
        raise error
