"""What waits for the end of a turn of the event loop: gets to be sent together, and writes in their order."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

__all__ = ["Lane", "Reads", "Set", "Write"]


class Reads:
    """The gets of one turn."""

    __slots__ = ("callers", "keys")

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.callers: list[Future[dict[str, bytes]]] = []


class Write:
    """A write of one or more keys that has not ended yet."""

    __slots__ = ("next", "over")

    def __init__(self) -> None:
        self.over = False
        self.next: list[Future[None]] = []  # those who want to write the same keys


class Set(Write):
    """A set of one key, whose value may be replaced until it is sent."""

    __slots__ = ("callers", "key", "sent", "ttl", "value")

    def __init__(self, key: str) -> None:
        super().__init__()
        self.sent = False  # until then its value may be replaced
        self.key = key
        self.value = b""
        self.ttl: float | None = None
        self.callers: list[Future[bool]] = []


class Lane:
    """What belongs to one event loop."""

    __slots__ = ("loop", "reads", "sets", "tasks", "under_way", "writes")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.under_way = 0  # requests sent straight through or in batches
        self.reads: Reads | None = None  # to be sent
        self.sets: list[Set] = []  # to be sent
        self.writes: dict[str, Write] = {}  # by key: to be sent, or sent
        self.tasks: dict[Task[None], Callable[[], None]] = {}

    def own(self, work: Coroutine[Any, Any, None], lost: Callable[[], None]) -> None:
        """Run ``work`` in a task; do ``lost`` if it is cancelled, perhaps before its first step."""
        # The constructor, not `create_task`: a batch must not start before this turn is over, not even
        # where the application made tasks eager.
        task = Task(work, loop=self.loop)
        self.tasks[task] = lost
        task.add_done_callback(self._done)

    def _done(self, task: Task[None]) -> None:
        lost = self.tasks.pop(task)
        if task.cancelled():
            lost()

    async def after(self, write: Write) -> None:
        """Wait until ``write`` is over."""
        if not write.over:
            turn: Future[None] = self.loop.create_future()
            write.next.append(turn)
            await turn

    def end(self, write: Write, keys: Iterable[str]) -> None:
        """Let those go ahead who wait to write ``keys``.

        Before the callers of ``write`` hear of its end, or their next one would go first, for ever.
        """
        write.over = True
        for key in keys:
            if self.writes.get(key) is write:
                del self.writes[key]
        for turn in write.next:
            if not (turn.done() or self.loop.is_closed()):
                turn.set_result(None)
