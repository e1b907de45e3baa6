"""Hit ratios on synthetic traces: ours beside LRU, SIEVE and theine.

10^6 requests over 10^5 keys, capacities of 1 % and 5 % of the keys. Run it with
``python -m benchmarks.hit_ratio``; needs numpy, and theine if it is to stand beside ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from math import inf
from typing import Any, Final

import numpy as np

from asynccache._engine.entry import Entry
from asynccache._engine.s3fifo import S3FIFO, USED

KEYS: Final = 100_000
REQUESTS: Final = 1_000_000
SEED: Final = 7

GOALS: Final = {
    "zipf 0.8": (10.5, 9.5),
    "zipf 1.0": (9.0, 6.0),
    "zipf 1.0 with scans": (7.5, 6.5),
    "zipf 1.0, shifting": (8.0, 3.0),
}
"""Points above LRU at 1 % and 5 %."""

Trace = list[str]
Policy = Callable[[Trace, int], int]


def zipf(exponent: float, requests: int = REQUESTS, seed: int = SEED) -> np.ndarray[Any, Any]:
    """Return ranks from 0, drawn by a bounded Zipf distribution over `KEYS` keys."""
    weights = np.cumsum(np.arange(1, KEYS + 1, dtype=float) ** -exponent)
    return np.searchsorted(weights, np.random.default_rng(seed).random(requests) * weights[-1])


def with_scans() -> np.ndarray[Any, Any]:
    """Return zipf 1.0 with a fifth of the requests in one-pass scans of 2,000 keys nobody asks for again."""
    ranks, length = zipf(1.0), 2000
    period = length * 5
    for number, start in enumerate(range(0, REQUESTS, period)):
        ranks[start : start + length] = KEYS + number * length + np.arange(length)
    return ranks


def shifting() -> np.ndarray[Any, Any]:
    """Return zipf 1.0 in which the popularity of the keys is reshuffled five times."""
    ranks, generator = zipf(1.0), np.random.default_rng(SEED + 1)
    part = REQUESTS // 6 + 1
    for start in range(part, REQUESTS, part):
        ranks[start : start + part] = generator.permutation(KEYS)[ranks[start : start + part]]
    return ranks


def traces() -> Iterator[tuple[str, Trace]]:
    """Yield the four traces by name."""
    makers = (lambda: zipf(0.8), lambda: zipf(1.0), with_scans, shifting)
    for name, make in zip(GOALS, makers, strict=True):
        yield name, [f"k{rank}" for rank in make().tolist()]


def ours(trace: Trace, capacity: int) -> int:
    """Count the hits of the policy of `InMemoryBackend`."""
    table, hits = S3FIFO(2**33, capacity), 0
    for key in trace:
        entry = table.find(key)
        if entry is None:
            table.add(Entry(key, b"", "", 0.0, inf, inf, inf))
        else:
            hits += 1
            if entry.hits < USED:
                entry.hits += 2
    return hits


def lru(trace: Trace, capacity: int) -> int:
    """Count the hits of least recently used."""
    table, hits = OrderedDict[str, None](), 0
    for key in trace:
        if key in table:
            hits += 1
            table.move_to_end(key)
        else:
            if len(table) >= capacity:
                table.popitem(last=False)
            table[key] = None
    return hits


def sieve(trace: Trace, capacity: int) -> int:
    """Count the hits of SIEVE (Zhang et al., NSDI 2024): a FIFO whose hand spares what was used."""
    used: dict[str, bool] = {}
    after, before = {"": ""}, {"": ""}  # a ring through "", newest first
    hand, hits = "", 0
    for key in trace:
        if key in used:
            used[key] = True
            hits += 1
            continue
        if len(used) >= capacity:
            hand = hand or before[""]
            while used[hand]:
                used[hand] = False
                hand = before[hand] or before[""]
            newer, older = before[hand], after[hand]
            after[newer], before[older] = older, newer
            del used[hand], after[hand], before[hand]
            hand = newer
        first = after[""]
        after[""], before[key], after[key], before[first] = key, "", first, key
        used[key] = False
    return hits


def theine(trace: Trace, capacity: int) -> int:
    """Count the hits of theine (W-TinyLFU)."""
    cache: Any = import_module("theine").Cache(capacity)
    hits = 0
    for key in trace:
        found = cache.get(key)  # theine 2: (value, found)
        if found is None or (isinstance(found, tuple) and not found[1]):
            cache.set(key, key)
        else:
            hits += 1
    return hits


def policies() -> dict[str, Policy]:
    """Return the contestants that are installed."""
    found: dict[str, Policy] = {"LRU": lru, "ours": ours, "SIEVE": sieve}
    if find_spec("theine") is not None:
        found["theine"] = theine
    return found


def run(print_row: Callable[[str], object] = print) -> bool:
    """Print a table row for each trace and capacity; True if ours reaches every goal."""
    contestants = policies()
    print_row("| trace | capacity | LRU | goal | " + " | ".join(n for n in contestants if n != "LRU") + " |")
    print_row("| --- " * (3 + len(contestants)) + "|")
    reached = True
    for name, trace in traces():
        for goal, share in zip(GOALS[name], (0.01, 0.05), strict=True):
            ratio = {
                who: 100 * play(trace, int(KEYS * share)) / len(trace) for who, play in contestants.items()
            }
            base = ratio.pop("LRU")
            above = " | ".join(f"{value - base:+.1f}" for value in ratio.values())
            print_row(f"| {name} | {share:.0%} | {base:.1f} % | {goal:+.1f} | {above} |")
            reached = reached and ratio["ours"] - base >= goal
    print_row("Every goal is reached." if reached else "A goal is missed.")
    return reached


if __name__ == "__main__":
    raise SystemExit(not run())
