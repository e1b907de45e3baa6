"""Ratios to a floor, from interleaved rounds.

A machine shared with others is too noisy for absolute times. In every round each contestant runs for a few
milliseconds, in shuffled order, the floor among them; what counts is the median over the rounds of the cost
divided by the floor's cost in the same round. The garbage collector stays on, as in an application; what
exists before the first round is frozen, so that nobody pays for what another one holds.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Final

__all__ = ["Contestant", "Figure", "Options", "Row", "Table", "each", "race", "ratios"]

Run = Callable[[int], Awaitable[float]]
"""Do something that many times; return the seconds it took."""

_FIRST_TRY: Final = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How long and beside whom."""

    quick: bool = False
    peers: bool = True

    @property
    def rounds(self) -> int:
        """Rounds of in-process rows."""
        return 9 if self.quick else 31

    @property
    def slice(self) -> float:
        """Seconds a contestant runs in each of them."""
        return 0.004 if self.quick else 0.008


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who takes part."""

    name: str
    run: Run


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, its quartiles, and for the footnote what one operation took."""

    value: float
    low: float
    high: float
    ns: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float], seconds: Sequence[float] = ()) -> Figure:
        """Return the figure for the values of all rounds."""
        low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        return cls(median(values), low, high, median(seconds) * 1e9 if seconds else 0.0)


@dataclass(slots=True)
class Row:
    """A line of the table."""

    name: str
    goal: float | None
    ours: Figure | None
    peers: dict[str, Figure] = field(default_factory=dict[str, Figure])
    unit: str = "x"
    more_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None or self.ours is None:
            return None
        return self.ours.value >= self.goal if self.more_is_better else self.ours.value <= self.goal

    def verdict(self) -> str:
        """Say so."""
        if self.ours is None:
            return "not measured"
        if self.goal is None or self.met is None:
            return "no goal"
        if self.met:
            return "met"
        off = abs(self.ours.value - self.goal) / self.goal if self.goal else 0.0
        return f"short by {off:.0%}"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        ours = "-"
        if self.ours is not None:
            spread = ""
            if self.ours.low != self.ours.high:
                spread = f" ({_number(self.ours.low)} to {_number(self.ours.high)})"
            ours = f"{_number(self.ours.value)}{spread}"
        goal = "-" if self.goal is None else _number(self.goal)
        peers = sorted(self.peers.items(), key=lambda item: item[1].value, reverse=self.more_is_better)
        others = "; ".join(f"{name} {_number(figure.value)}" for name, figure in peers)
        name = f"{self.name}, {self.unit}" if self.unit != "x" else self.name
        return name, ours, goal, self.verdict(), others + (f" {self.note}" if self.note else "")


@dataclass(slots=True)
class Table:
    """A part of the report."""

    title: str
    floor: str
    rows: list[Row] = field(default_factory=list[Row])
    notes: list[str] = field(default_factory=list[str])
    floors: list[float] = field(default_factory=list[float])
    """Nanoseconds of the floor in each row's race."""

    def show(self) -> None:
        """Print it as a markdown table with its footnotes."""
        head = ("row", "ours", "goal", "verdict", "peers")
        lines = [row.cells() for row in self.rows]
        widths = [max(len(line[at]) for line in (head, *lines)) for at in range(4)]
        print(f"\n## {self.title}\n\n{self.floor}\n")
        for at, line in enumerate((head, *lines)):
            print("| " + " | ".join(c.ljust(w) for c, w in zip(line, (*widths, 0), strict=True)) + " |")
            if not at:
                print("|" + "|".join("-" * (w + 2) for w in (*widths, 3)) + "|")
        absolute = [f"{row.name} {row.ours.ns:,.0f}" for row in self.rows if row.ours and row.ours.ns]
        if absolute:
            floor = f"the floor {median(self.floors):,.0f}; " if self.floors else ""
            print(
                f"\nNanoseconds, for what they are worth on this machine: {floor}" + "; ".join(absolute) + "."
            )
        for note in self.notes:
            print(f"- {note}")
        sys.stdout.flush()

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "title": self.title,
            "rows": [{**asdict(row), "met": row.met} for row in self.rows],
            "notes": self.notes,
        }


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def each(operation: Callable[[Any], Awaitable[Any]], arguments: Sequence[Any]) -> Run:
    """Return a run that awaits ``operation`` with each of ``arguments`` in turn.

    The loop around it is the same for everyone, and part of the cost.
    """

    async def run(times: int) -> float:
        spent = 0.0
        while times > 0:
            batch = arguments if times >= len(arguments) else arguments[:times]
            times -= len(batch)
            began = perf_counter()
            for argument in batch:
                await operation(argument)
            spent += perf_counter() - began
        return spent

    return run


async def race(
    floor: Contestant, contestants: Sequence[Contestant], options: Options
) -> tuple[dict[str, Figure], float, list[str]]:
    """Return everyone's cost as a multiple of the floor's, the floor's own in ns, and who failed and why."""
    failed: list[str] = []
    times: dict[str, int] = {}
    for who in (floor, *contestants):
        try:
            times[who.name] = await _times(who.run, options.slice)
        except Exception as error:
            if who is floor:
                raise
            failed.append(f"{who.name} does not take part: {type(error).__name__}: {error}")
    taking_part = [who for who in (floor, *contestants) if who.name in times]
    seconds: dict[str, list[float]] = {who.name: [] for who in taking_part}
    gc.collect()
    gc.freeze()
    try:
        for _ in range(options.rounds):
            random.shuffle(taking_part)
            for who in taking_part:
                count = times[who.name]
                seconds[who.name].append(await who.run(count) / count)
    finally:
        gc.unfreeze()
    base = seconds[floor.name]
    figures = {
        who.name: Figure.of(
            [mine / its for mine, its in zip(seconds[who.name], base, strict=True)], seconds[who.name]
        )
        for who in contestants
        if who.name in seconds
    }
    return figures, median(base) * 1e9, failed


def ratios(numbers: Sequence[float], base: Sequence[float]) -> Figure:
    """Return the figure of a series of rounds as a multiple of another's."""
    return Figure.of([mine / its for mine, its in zip(numbers, base, strict=True)])


async def _times(run: Run, seconds: float) -> int:
    """Return how often something has to be done to take about ``seconds``; warms it up on the way."""
    count = _FIRST_TRY
    while True:
        took = await run(count)
        if took >= seconds / 4 or count >= 2**20:
            return max(1, int(count * seconds / max(took, 1e-9)))
        count *= 4
