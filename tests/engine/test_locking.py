from __future__ import annotations

import asyncio

import pytest

from asynccache._engine.locking import KeyLocks
from tests.engine.engine_doubles import ticks


async def test_tasks_take_turns_per_key() -> None:
    """Whoever comes while a key is held waits, in order; other keys are not affected, and nothing is kept."""
    locks = KeyLocks()
    seen: list[str] = []

    async def visit(key: str, name: str) -> None:
        async with locks.hold(key):
            seen.append(name)
            await ticks(3)
            seen.append(name)

    await asyncio.gather(visit("k", "a"), visit("k", "b"), visit("other", "c"), visit("k", "d"))
    assert [name for name in seen if name != "c"] == ["a", "a", "b", "b", "d", "d"]
    assert seen.index("c") < seen.index("b")
    assert len(locks) == 0


async def test_who_leaves_passes_the_turn_on() -> None:
    """A holder that fails and a waiter that is cancelled keep nobody waiting."""
    locks = KeyLocks()
    with pytest.raises(ValueError, match="oops"):
        async with locks.hold("k"):
            raise ValueError("oops")

    async def wait() -> None:
        async with locks.hold("k"):
            pass

    async with locks.hold("k"):
        waiters = [asyncio.create_task(wait()) for _ in range(2)]
        await ticks()
        waiters[0].cancel()
        await ticks()
        assert len(locks) == 1
    await asyncio.wait_for(waiters[1], 1)
    assert waiters[0].cancelled()
    assert len(locks) == 0


def test_each_event_loop_has_locks_of_its_own() -> None:
    """A lock that was fought for in one loop can be fought for in the next."""
    locks = KeyLocks()

    async def visit() -> None:
        async with locks.hold("k"):
            await ticks()

    async def scene() -> None:
        await asyncio.gather(visit(), visit(), visit())

    for _ in range(3):
        asyncio.run(scene())
    assert len(locks) == 0
