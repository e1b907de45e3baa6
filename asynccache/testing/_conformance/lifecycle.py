# ruff: noqa: S101  (asserts are what a test consists of)
"""Opening, closing, signs of life, and what one process tells another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsHealth,
    SupportsInvalidationBus,
    SupportsLifecycle,
)
from asynccache.testing._conformance.section import Section

__all__ = ["Bus", "Health", "Lifecycle"]


class Lifecycle(Section):
    """`SupportsLifecycle`."""

    persistent: bool | None = None
    """Whether values survive ``aclose`` and ``open``; None: either is fine."""

    @pytest.fixture
    def lifecycle(self, backend: CacheBackendProtocol) -> SupportsLifecycle:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsLifecycle):
            pytest.skip("no SupportsLifecycle")
        return backend

    async def test_open_twice(self, backend: CacheBackendProtocol, lifecycle: SupportsLifecycle) -> None:
        """Opening what is open changes nothing."""
        await backend.set(self.key("k"), b"v")
        await lifecycle.open()
        await lifecycle.open()
        assert await backend.get(self.key("k")) == b"v"

    async def test_close_twice(self, lifecycle: SupportsLifecycle) -> None:
        """Closing what is closed is fine."""
        await lifecycle.aclose()
        await lifecycle.aclose()

    async def test_reopen(self, backend: CacheBackendProtocol, lifecycle: SupportsLifecycle) -> None:
        """A closed store can be opened again and works; whether values survived is as declared."""
        for _ in range(2):
            await backend.set(self.key("k"), b"v")
            await lifecycle.aclose()
            await lifecycle.open()
            if self.persistent is not None:
                assert await backend.get(self.key("k")) == (b"v" if self.persistent else None)
            await backend.set(self.key("k"), b"again")
            assert await backend.get(self.key("k")) == b"again"

    async def test_close_under_load(
        self, backend: CacheBackendProtocol, lifecycle: SupportsLifecycle
    ) -> None:
        """Operations that are under way when the store is closed end one way or another; none hangs."""
        async with asyncio.timeout(10):
            under_way = [asyncio.ensure_future(backend.get(self.key(f"{number}"))) for number in range(50)]
            await asyncio.sleep(0)
            await lifecycle.aclose()
            await asyncio.wait(under_way)
        for task in under_way:  # whatever became of it has been seen, and asyncio need not warn
            if not task.cancelled():
                task.exception()


class Health(Section):
    """`SupportsHealth`."""

    async def test_health(self, backend: CacheBackendProtocol) -> None:
        """A store that is up says so, says what it is, and how long the answer took."""
        if not isinstance(backend, SupportsHealth):
            pytest.skip("no SupportsHealth")
        health = await backend.health()
        assert health.healthy is True
        assert health.backend_type
        assert 0 <= health.latency_ms < 10_000


class Bus(Section):
    """`SupportsInvalidationBus`."""

    async def test_every_subscriber_hears_everything_in_order(self, backend: CacheBackendProtocol) -> None:
        """Two subscribers both receive every message, whatever its bytes, in the order of publication."""
        if not isinstance(backend, SupportsInvalidationBus):
            pytest.skip("no SupportsInvalidationBus")
        mark = self.mark.encode()
        messages = [b"%s:%03d" % (mark, number) for number in range(50)] + [mark + bytes(range(256))]
        heard: tuple[list[bytes], list[bytes]] = ([], [])

        async def listen(subscription: AsyncIterator[bytes], ear: list[bytes]) -> None:
            async for message in subscription:
                if message.startswith(mark):
                    ear.append(message)
                if message == messages[-1]:
                    return

        listeners = [asyncio.create_task(listen(backend.subscribe(), ear)) for ear in heard]
        try:
            async with asyncio.timeout(10):
                while not all(heard):  # a subscription may take a moment to be in place
                    await backend.publish(mark + b"ready?")
                    await asyncio.sleep(0.01)
                for message in messages:
                    await backend.publish(message)
                await asyncio.gather(*listeners)
        finally:
            for listener in listeners:
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener
        for ear in heard:
            assert [message for message in ear if message != mark + b"ready?"] == messages

    async def test_publish_without_subscribers(self, backend: CacheBackendProtocol) -> None:
        """Publishing to nobody is fine, and harms no value."""
        if not isinstance(backend, SupportsInvalidationBus):
            pytest.skip("no SupportsInvalidationBus")
        await backend.set(self.key("k"), b"v")
        await backend.publish(b"to nobody")
        assert await backend.get(self.key("k")) == b"v"
