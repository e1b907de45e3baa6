"""Computations under way in this process, so that an invalidation reaches what is not stored yet.

A value computed from data read before an invalidation must not be stored after it, nor be handed to
anyone who asked after it. Every computation is a `Run` from before it reads anything until its value
is stored; whatever removes or replaces keys voids the runs they concern before it acts and once more
afterwards, for what began in between may have seen what was about to go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from typing import Any

from asynccache._engine.runningloop import running_loop

__all__ = ["Run", "Runs", "settled"]


class Run:
    """One computation; ``voided`` once something it may have read has been invalidated."""

    __slots__ = ("joined", "key", "stored", "tags", "voided")

    def __init__(self, key: str, tags: Iterable[str] = ()) -> None:
        self.key: str = key
        self.tags: frozenset[str] = frozenset(tags)
        self.voided: bool = False
        self.joined: bool = False
        """Whether somebody waits for it who came after it last looked into the store."""
        self.stored: asyncio.Future[None] | None = None
        """Set while the value is on its way to the store."""

    def add_tags(self, tags: Iterable[str]) -> None:
        """Carry ``tags`` too, which became known only now: what invalidates one from now on voids it."""
        self.tags |= frozenset(tags)

    def __enter__(self) -> None:
        """Note that the value is on its way to the store: a removal of the key can wait for that."""
        self.stored = running_loop().create_future()

    def __exit__(self, *error: object) -> None:
        stored, self.stored = self.stored, None
        if stored is not None and not stored.done():
            stored.set_result(None)


class Runs:
    """The runs of one cache, by key. Keys and tags are full keys."""

    __slots__ = ("by_key", "joinable")

    def __init__(self) -> None:
        self.by_key: dict[str, list[Run]] = {}
        """Empty most of the time, which whoever is in a hurry may ask."""
        self.joinable: dict[Hashable, Any] = {}
        """What the loaders of all namespaces have under way, by what it computes."""

    def __len__(self) -> int:
        return sum(map(len, self.by_key.values()))

    def begin(self, key: str, tags: Iterable[str] = ()) -> Run:
        """Register a computation of ``key`` before it reads anything."""
        run = Run(key, tags)
        self.add(run)
        return run

    def add(self, run: Run) -> None:
        """Register ``run`` before it reads anything."""
        self.by_key.setdefault(run.key, []).append(run)

    def end(self, run: Run) -> None:
        """Forget ``run``; harmless when called twice."""
        runs = self.by_key.get(run.key)
        if runs is not None and run in runs:
            runs.remove(run)
            if not runs:
                del self.by_key[run.key]

    def concern(self, key: str) -> bool:
        """Return whether ``key`` is being computed."""
        return key in self.by_key

    def void_key(self, key: str) -> list[Run]:
        """Void the runs of ``key`` and return them."""
        return self._void(self.by_key.get(key, ()))

    def void_prefix(self, prefix: str) -> list[Run]:
        """Void the runs of every key under ``prefix`` and return them."""
        return self._void(run for key, runs in self.by_key.items() if key.startswith(prefix) for run in runs)

    def void_tags(self, tags: Iterable[str]) -> None:
        """Void the runs that carry one of ``tags``."""
        gone = frozenset(tags)
        self._void(run for runs in self.by_key.values() for run in runs if not gone.isdisjoint(run.tags))

    @staticmethod
    def _void(runs: Iterable[Run]) -> list[Run]:
        voided = list(runs)
        for run in voided:
            run.voided = True
        return voided


async def settled(runs: Iterable[Run]) -> bool:
    """Wait until none of ``runs`` is on its way to the store any more; True if one was.

    A removal that overtook such a write on another connection would be undone by it.
    """
    writes = [run.stored for run in runs if run.stored is not None]
    if writes:
        await asyncio.wait(writes)
    return bool(writes)
