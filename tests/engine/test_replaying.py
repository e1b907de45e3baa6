from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynccache._engine.owed import Owed
from asynccache._engine.replaying import Replay
from asynccache.errors import BackendUnavailableError
from tests.engine.engine_doubles import ticks


class Remote:
    """Removes what it is told, or fails."""

    def __init__(self) -> None:
        self.removed: list[list[str] | str] = []
        self.down = False

    async def remove(self, keys: Sequence[str]) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise BackendUnavailableError("down")
        self.removed.append(list(keys))

    async def clear(self, prefix: str) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise BackendUnavailableError("down")
        self.removed.append(prefix)


def replay(owed: Owed, remote: Remote, *, hopeless: bool = False, seconds: float = 60.0) -> Replay:
    return Replay(
        asyncio.get_running_loop(),
        owed,
        remote.remove,
        remote.clear,
        bulk=True,
        hopeless=lambda: hopeless,
        retry_seconds=seconds,
    )


async def test_everything_owed_is_removed_once() -> None:
    """Prefixes first, then keys in bulk; asking twice does not begin twice."""
    owed, remote = Owed(), Remote()
    for number in range(1_000):
        owed.add(f"k{number}")
    owed.add_prefix("p:")
    paying = replay(owed, remote)
    paying.now()
    paying.now()
    await ticks(20)
    assert not owed.pending
    assert remote.removed[0] == "p:"
    assert [len(part) for part in remote.removed[1:]] == [512, 488]


async def test_a_debt_made_meanwhile_stays() -> None:
    """A removal that fails while the replay of the same key is under way is replayed again."""
    owed, remote = Owed(), Remote()
    owed.add("k")
    paying = replay(owed, remote)
    paying.now()
    await asyncio.sleep(0)
    owed.add("k")
    await ticks()
    assert remote.removed == [["k"]]
    assert owed.keys() == ["k"]
    paying.stop()


async def test_it_tries_again_later() -> None:
    """A store that is not back, or would not even be asked, is tried after a while."""
    owed, remote = Owed(), Remote()
    owed.add("k")
    remote.down = True
    paying = replay(owed, remote, seconds=0.005)
    paying.now()
    await ticks()
    remote.down = False
    while owed.pending:  # noqa: ASYNC110 - pytest-timeout ends this if it never happens
        await asyncio.sleep(0.001)
    assert remote.removed == [["k"]]


async def test_hopeless_means_not_now() -> None:
    """While the circuit is open nothing is sent; stopping leaves no timer behind."""
    owed, remote = Owed(), Remote()
    owed.add("k")
    paying = replay(owed, remote, hopeless=True, seconds=0.001)
    paying.now()
    await asyncio.sleep(0.005)
    assert remote.removed == []
    paying.stop()
    paying.stop()
    assert owed.pending


async def test_stop_in_the_middle_keeps_the_debt() -> None:
    """What was not confirmed is still owed."""
    owed, remote = Owed(), Remote()
    owed.add("k")
    paying = replay(owed, remote)
    paying.now()
    await asyncio.sleep(0)
    paying.stop()
    await ticks()
    assert owed.pending
