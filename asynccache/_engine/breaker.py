"""A circuit breaker: a store that keeps failing is left alone for a while. Pure: ``now`` is a parameter.

::

    CLOSED ── `failures` in a row, ─> OPEN ── after `seconds` ──> one probe at a time
       ^       or silence              ^                              │
       ^                               ^                              │
       └────────────────── it succeeds ┼──────────────────────────────┤
                                       └────────────────── it fails ──┘

Who is let through gets a ticket and reports with it. Tickets of an earlier state count for nothing: an
operation that began before the circuit opened says nothing about the store as it is now.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import random
from typing import Final

__all__ = ["Breaker", "Circuit"]

JITTER: Final = 0.2
"""Open periods vary by this fraction either way, so that many processes do not probe at one instant."""


class Circuit(Enum):
    """The state of a `Breaker`."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """The breaker of one store.

    Args:
        failures: How many in a row open the circuit.
        seconds: How long it then stays open.
        patience: Seconds after which a probe that never reported counts as lost.
        draw: Returns a random number in [0, 1).
    """

    __slots__ = (
        "_draw",
        "_era",
        "_failures",
        "_in_a_row",
        "_patience",
        "_retry_at",
        "_seconds",
        "calm",
        "circuit",
    )

    def __init__(
        self, failures: int, seconds: float, patience: float = 60.0, draw: Callable[[], float] = random
    ) -> None:
        self._failures = failures
        self._seconds = seconds
        self._patience = patience
        self._draw = draw
        self._in_a_row = 0
        self._era = 0  # the ticket of the present state
        self._retry_at = 0.0
        self.circuit = Circuit.CLOSED
        self.calm: int | None = 0
        """While there was no failure lately: the ticket for everyone, and a success need not be reported."""

    def __repr__(self) -> str:
        return f"<Breaker {self.circuit.value}>"

    def enter(self, now: float) -> int | None:
        """Return a ticket for one operation, to report with; None to leave the store alone."""
        if self.circuit is Circuit.CLOSED:
            return self._era
        if now < self._retry_at:
            return None
        self._turn(Circuit.PROBING)
        self._retry_at = now + self._patience
        return self._era

    def wait(self, now: float) -> float:
        """Return the seconds until `enter` might let an operation through; 0 if now."""
        return 0.0 if self.circuit is Circuit.CLOSED else max(self._retry_at - now, 0.0)

    def succeeded(self, ticket: int) -> None:
        """Report that the store answered."""
        if ticket == self._era:
            self._in_a_row = 0
            if self.circuit is not Circuit.CLOSED:
                self._turn(Circuit.CLOSED)
            self.calm = self._era

    def failed(self, ticket: int, now: float, *, silent: bool = False) -> None:
        """Report that the store did not answer, or could not be reached.

        Args:
            ticket: The operation's.
            now: The time.
            silent: The store has answered nothing at all for a whole deadline: one such failure is enough.
        """
        if ticket != self._era:
            return
        self._in_a_row += 1
        self.calm = None
        if silent or self.circuit is Circuit.PROBING or self._in_a_row >= self._failures:
            self._turn(Circuit.OPEN)
            self._retry_at = now + self._seconds * (1.0 + JITTER * (2.0 * self._draw() - 1.0))

    def abstained(self, ticket: int, now: float) -> None:
        """Report that the operation ended without telling anything about the store; the next may probe."""
        if ticket == self._era and self.circuit is Circuit.PROBING:
            self._turn(Circuit.OPEN)
            self._retry_at = now

    def _turn(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._era += 1
        self._in_a_row = 0
