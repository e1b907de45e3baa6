"""`Runs`: every computation that an invalidation concerns is found."""

from __future__ import annotations

import asyncio

from asynccache._engine.runs import Run, Runs, settled


def test_begin_and_end() -> None:
    """Runs are counted while they run; ending twice is harmless."""
    runs = Runs()
    first, second = runs.begin("k"), runs.begin("k", ["t"])
    assert len(runs) == 2
    runs.end(first)
    runs.end(first)
    assert len(runs) == 1
    runs.end(second)
    runs.end(Run("never begun"))
    assert len(runs) == 0


def test_voiding_a_key() -> None:
    """All runs of the key, and no other's."""
    runs = Runs()
    assert runs.void_key("k") == []
    mine, too, other = runs.begin("k"), runs.begin("k"), runs.begin("kk")
    assert runs.void_key("k") == [mine, too]
    assert (mine.voided, too.voided, other.voided) == (True, True, False)
    assert runs.void_key("absent") == []


def test_voiding_a_prefix() -> None:
    """All runs under the prefix."""
    runs = Runs()
    inside, deeper, outside = runs.begin("a::k"), runs.begin("a:b::k"), runs.begin("b::k")
    assert runs.void_prefix("a:") == [inside, deeper]
    assert not outside.voided


def test_voiding_tags() -> None:
    """All runs that carry one of the tags."""
    runs = Runs()
    one, both, none = runs.begin("1", ["t"]), runs.begin("2", ["t", "u"]), runs.begin("3")
    runs.void_tags(["u", "x"])
    assert (one.voided, both.voided, none.voided) == (False, True, False)
    runs.void_tags(iter(["t"]))
    assert one.voided


async def test_settled_waits_for_writes() -> None:
    """It waits for what is on its way to the store, and tells whether there was anything."""
    writing, idle = Run("k"), Run("k")
    assert await settled([idle]) is False
    writing.stored = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(settled([writing, idle]))
    await asyncio.sleep(0)
    assert not waiting.done()
    writing.stored.set_result(None)
    assert await waiting is True
