"""Stand-ins for the engine's tests: the smallest store, and a clock that is turned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

Keys = set[str]


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class DictBackend:
    """A store in a dict, with the bulk operations; ``calls`` tells what it was asked, in order."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.calls: list[tuple[object, ...]] = []

    async def visit(self, *call: object) -> None:
        """Take note of a call; the place where subclasses wait or fail."""
        self.calls.append(call)
        await asyncio.sleep(0)

    async def get(self, key: str) -> bytes | None:
        await self.visit("get", key)
        return self.data.get(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        await self.visit("set", key, value, ttl)
        self.data[key] = value
        return True

    async def delete(self, key: str) -> bool:
        await self.visit("delete", key)
        return self.data.pop(key, None) is not None

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        await self.visit("get_many", *keys)
        return {key: self.data[key] for key in keys if key in self.data}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        await self.visit("set_many", *items, ttl)
        self.data.update(items)
        return set()

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        await self.visit("delete_many", *keys)
        return {key for key in keys if self.data.pop(key, None) is not None}


async def ticks(count: int = 5) -> None:
    """Let everything that is ready run ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
