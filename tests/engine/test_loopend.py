"""`before_loop_ends`: closed with the loop, though nobody said so."""

from __future__ import annotations

import asyncio

from asynccache._engine.loopend import before_loop_ends


def test_it_is_closed_inside_the_loop_when_that_ends() -> None:
    closed: list[bool] = []
    kept: list[object] = []

    async def close() -> None:
        await asyncio.sleep(0)
        closed.append(asyncio.get_running_loop().is_running())

    async def use() -> None:
        kept.append(before_loop_ends(close))
        await asyncio.sleep(0)
        assert closed == []

    asyncio.run(use())
    assert closed == [True]
