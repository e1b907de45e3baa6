"""What waits for the end of a turn of the event loop: requests to be sent together, writes in order."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Callable, Container, Coroutine, Iterable
from typing import Any

__all__ = ["Delete", "Lane", "Queued", "Reads", "Set", "Write"]


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


class Queued(Write):
    """A write of one key that others of the same kind may join until it is sent."""

    __slots__ = ("callers", "key", "sent")

    def __init__(self, key: str) -> None:
        super().__init__()
        self.sent = False
        self.key = key
        self.callers: list[Future[bool]] = []

    @property
    def sort(self) -> object:
        """What it has in common with those it can be sent with."""
        raise NotImplementedError

    def answer(self, named: Container[str]) -> None:
        """Tell the callers; ``named`` are the keys that the store named in its answer."""
        raise NotImplementedError


class Set(Queued):
    """A set, whose value may be replaced until it is sent. The store names what it refused."""

    __slots__ = ("ttl", "value")

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.value = b""
        self.ttl: float | None = None

    @property
    def sort(self) -> object:
        """Its ttl: a bulk set has one."""
        return self.ttl

    def answer(self, named: Container[str]) -> None:
        """Tell every caller the same: had each been sent, the last would have decided."""
        for caller in self.callers:
            if not caller.done():
                caller.set_result(self.key not in named)


class Delete(Queued):
    """A delete. The store names what was there."""

    __slots__ = ()

    @property
    def sort(self) -> object:
        """Deletes are all alike."""
        return Delete

    def answer(self, named: Container[str]) -> None:
        """Tell the first caller what was there, and the others that nothing was left for them."""
        there = self.key in named
        for caller in self.callers:
            if not caller.done():
                caller.set_result(there)
            there = False


class Lane:
    """What belongs to one event loop."""

    __slots__ = ("loop", "queue", "reads", "tasks", "under_way", "writes")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.under_way = 0  # requests sent straight through or in batches
        self.reads: Reads | None = None  # to be sent
        self.queue: list[Queued] = []  # sets and deletes to be sent
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
