"""`ChaosBackend`: any store, but slow, failing, hanging or lying."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from asynccache.errors import BackendUnavailableError, ConfigurationError
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing._forwarding import Forwarding

__all__ = ["ChaosBackend", "ChaosCount"]

T = TypeVar("T")

_REMEMBERED: Final = 64
"""Values kept to be served under another key."""


@dataclass(slots=True)
class ChaosCount:
    """What a `ChaosBackend` was asked and what it did."""

    calls: Counter[str] = field(default_factory=Counter[str])
    """Calls by operation, failed ones included."""
    errors: int = 0
    hangs: int = 0
    corruptions: int = 0


class ChaosBackend(Forwarding):
    """A store that misbehaves as told; otherwise exactly the one inside, with its capabilities and no others.

    What goes wrong is drawn from ``seed`` and the number of the call, so a run can be repeated. Faults
    of each kind can be switched on and off while it is in use::

        chaos = ChaosBackend(InMemoryBackend(), error_rate=0.1, seed=7)
        async with Cache(CacheConfig(backend=chaos)) as cache:
            chaos.fail()  # every call raises BackendUnavailableError
            chaos.hang()  # every call waits until healed, or cancelled
            chaos.heal()  # nothing goes wrong any more; what hangs goes on
            assert chaos.count.errors == ...

    - An error by rate happens before the store acts or after it, as a lost request or a lost reply
      would; after `fail` always before.
    - A corrupt reply has a bit flipped, is cut short, is empty, or is another key's value.
    - Latency is spent partly before and partly after the store acts, so a cancelled write may have
      been done.
    - `fail` ends running subscriptions with an error, as a lost connection does. ``aclose`` never fails.
    """

    def __init__(
        self,
        inner: CacheBackendProtocol,
        *,
        latency: tuple[float, float] | None = None,
        error_rate: float = 0.0,
        hang_rate: float = 0.0,
        corrupt_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Wrap ``inner``.

        Args:
            inner: The store.
            latency: Least and most seconds that each call takes longer.
            error_rate: Share of calls, 0 to 1, that raise `BackendUnavailableError`.
            hang_rate: Share of calls that wait until `heal` or cancellation.
            corrupt_rate: Share of values read that come back damaged.
            seed: Where the draws start.

        Raises:
            ConfigurationError: a rate is not between 0 and 1, or the latency is no range of seconds.
        """
        super().__init__(inner)
        rates = {"error_rate": error_rate, "hang_rate": hang_rate, "corrupt_rate": corrupt_rate}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                msg = f"{name} must be between 0 and 1, not {rate!r}"
                raise ConfigurationError(msg)
        if latency is not None and not 0 <= latency[0] <= latency[1]:
            msg = f"latency must be (least, most) seconds, not {latency!r}"
            raise ConfigurationError(msg)
        self.latency = latency
        self.error_rate: float = error_rate
        self.hang_rate: float = hang_rate
        self.corrupt_rate: float = corrupt_rate
        self.seed = seed
        self.count: ChaosCount = ChaosCount()
        self._draws = 0
        self._failing = False
        self._hanging = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._listening: set[asyncio.Future[None]] = set()
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def fail(self, on: bool = True) -> None:  # noqa: FBT001, FBT002  (a switch reads best as `fail(False)`)
        """Raise `BackendUnavailableError` from every call from now on, or stop doing so."""
        self._failing = on
        if on:
            _wake(self._listening)

    def hang(self, on: bool = True) -> None:  # noqa: FBT001, FBT002
        """Let every call from now on wait, or let those that wait go on."""
        self._hanging = on
        if not on:
            _wake(self._waiting)

    def heal(self) -> None:
        """Stop all faults, rates and latency included, and let what hangs go on."""
        self.fail(False)
        self.hang(False)
        self.latency = None
        self.error_rate = self.hang_rate = self.corrupt_rate = 0.0

    def __repr__(self) -> str:
        state = "failing" if self._failing else "hanging" if self._hanging else "up"
        return f"<ChaosBackend {state} around {self.inner!r}>"

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        draw = self._draw()
        self.count.calls[operation] += 1
        if self._hanging or draw.random() < self.hang_rate:
            self.count.hangs += 1
            await _wait(self._waiting)
        key = keys[0] if keys else None
        if self._failing:
            raise self._lost("unreachable", key)
        lost = draw.random() < self.error_rate
        reply_is_lost = draw.random() < 0.5
        delay = 0.0 if self.latency is None else draw.uniform(*self.latency)
        before = delay * draw.random()
        if delay:
            await asyncio.sleep(before)
        if lost and not reply_is_lost:
            raise self._lost("request lost", key)
        result = await call()
        if delay:
            await asyncio.sleep(delay - before)
        if lost:
            raise self._lost("reply lost", key)
        return result

    def _received(self, key: str, value: bytes) -> bytes:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _REMEMBERED:
            self._values.popitem(last=False)
        draw = self._draw()
        if draw.random() >= self.corrupt_rate:
            return value
        self.count.corruptions += 1
        return _damaged(value, [other for name, other in self._values.items() if name != key], draw)

    async def _messages(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        lost = asyncio.get_running_loop().create_future()
        self._listening.add(lost)
        try:
            while not self._failing:
                message = asyncio.ensure_future(anext(messages))
                try:
                    await asyncio.wait({message, lost}, return_when=asyncio.FIRST_COMPLETED)
                    if not message.done():
                        break
                    yield message.result()
                except StopAsyncIteration:
                    return
                finally:
                    message.cancel()
                    await asyncio.wait({message})
            raise self._lost("subscription lost", None)
        finally:
            self._listening.discard(lost)

    def _draw(self) -> Random:
        self._draws += 1
        return Random(f"{self.seed}/{self._draws}")

    def _lost(self, how: str, key: str | None) -> BackendUnavailableError:
        self.count.errors += 1
        return BackendUnavailableError(f"{how} (on purpose)", backend="chaos", key=key)


def _damaged(value: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    kind = draw.randrange(4)
    if kind == 0 and others:
        return draw.choice(others)
    if kind == 1 and value:
        return b""
    if kind == 2 and value:
        return value[: draw.randrange(len(value))]
    if not value:
        return draw.randbytes(8)
    flipped = bytearray(value)
    flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


async def _wait(waiting: set[asyncio.Future[None]]) -> None:
    future = asyncio.get_running_loop().create_future()
    waiting.add(future)
    try:
        await future
    finally:
        waiting.discard(future)


def _wake(waiting: set[asyncio.Future[None]]) -> None:
    for future in tuple(waiting):
        if not future.done() and not future.get_loop().is_closed():
            future.set_result(None)
