"""`StoreJudge`: decides whether a call of the store may be made, and what its end says of the store.

It keeps the breaker, counts the calls that came too late, and maps the driver's exceptions.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from asyncio import Task
from collections.abc import Callable
from typing import Final

from asynccache._engine.breaker import Breaker
from asynccache._engine.deadlines import Call
from asynccache._engine.failures import CircuitOpenError, NoSlotError, Sign, interpret
from asynccache.errors import BackendTimeoutError

__all__ = ["StoreJudge"]

_log: Final = logging.getLogger("asynccache")


class StoreJudge:
    """The judge of a guard's calls (`asynccache._engine.deadlines.Judge`).

    Args:
        backend: The store.
        breaker: Its circuit breaker.
        clock: Seconds on a clock that never goes backwards.
        on_sign_of_life: Called whenever the store has answered.
    """

    def __init__(
        self,
        backend: object,
        breaker: Breaker,
        clock: Callable[[], float],
        on_sign_of_life: Callable[[], object],
    ) -> None:
        self._backend = backend
        self._name = type(backend).__name__
        self._breaker = breaker
        self._clock = clock
        self._on_sign_of_life = on_sign_of_life
        self._chores: set[Task[None]] = set()
        self.timeouts = 0
        """Calls that missed their deadline so far."""

    def hopeless(self) -> bool:
        """Return True while the circuit is open."""
        return self._breaker.wait(self._clock()) > 0.0

    def admit(self) -> int | None:
        """Let the breaker decide."""
        calm = self._breaker.calm
        return self._breaker.enter(self._clock()) if calm is None else calm

    def refused(self, call: Call) -> Exception:
        """Tell that the circuit is open."""
        return CircuitOpenError("left alone after failures", backend=self._name, key=call.key)

    def no_slot(self, call: Call) -> Exception:
        """Count and tell."""
        self.timeouts += 1
        message = f"{call.name}: no free slot within {call.timeout:g} s"
        return NoSlotError(message, backend=self._name, key=call.key)

    def too_late(self, call: Call, *, silent: bool) -> Exception:
        """Count it as a failure of the store."""
        self.timeouts += 1
        if call.ticket is not None:
            self._breaker.failed(call.ticket, self._clock(), silent=silent)
        message = f"{call.name}: no answer within {call.timeout:g} s"
        return BackendTimeoutError(message, backend=self._name, key=call.key)

    def failed(self, call: Call, error: BaseException) -> BaseException:
        """Map the exception, and let the breaker know what it says of the store."""
        raised, sign = interpret(error, call.name, call.key, self._name)
        if call.ticket is not None:
            match sign:
                case Sign.TROUBLE:
                    self._breaker.failed(call.ticket, self._clock())
                case Sign.LIFE:
                    self._breaker.succeeded(call.ticket)
                case Sign.NOTHING:
                    self._breaker.abstained(call.ticket, self._clock())
        return raised

    def left(self, call: Call) -> None:
        """Let the breaker know that this call tells nothing."""
        if call.ticket is not None:
            self._breaker.abstained(call.ticket, self._clock())

    def succeeded(self, ticket: int) -> None:
        """Close the circuit; a store that answers can be told what it missed."""
        if self._breaker.calm is None:
            self._breaker.succeeded(ticket)
        self._on_sign_of_life()

    def stuck(self, call: Call) -> None:
        """Tell the backend to drop what its driver will not let go of."""
        _log.warning("%s: %s ignores its cancellation and is left behind", self._name, call.name)
        drop = getattr(self._backend, "drop_connection", None)
        if drop is None:
            return
        chore = asyncio.get_running_loop().create_task(self._drop(drop))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _drop(self, drop: Callable[[], object]) -> None:
        try:
            dropped = drop()
            if inspect.isawaitable(dropped):
                await dropped
        except Exception:  # noqa: BLE001 - it was a favour
            _log.warning("%s: dropping a stuck connection failed", self._name, exc_info=True)
