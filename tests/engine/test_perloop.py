from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop

from asynccache._engine.perloop import PerLoop


def test_each_loop_has_its_own_state_and_closed_loops_none() -> None:
    """The same within a loop, another in the next; what a closed loop had is dropped when a new one comes."""
    states: PerLoop[list[AbstractEventLoop]] = PerLoop(lambda loop: [loop])

    async def visit() -> list[AbstractEventLoop]:
        assert states.here() is states.here()
        assert states.here() == [asyncio.get_running_loop()]
        return states.here()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    one, two = first.run_until_complete(visit()), second.run_until_complete(visit())
    assert one is not two
    assert first.run_until_complete(visit()) is one
    assert states.everywhere() == [one, two]
    first.close()
    second.close()
    assert asyncio.run(visit()) is not one
    assert len(states.everywhere()) == 1
