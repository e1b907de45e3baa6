"""A thread with a mailbox. Everything that waits in it when the thread wakes is done in one go.

Nothing here waits for a caller and no caller can disturb the thread: whoever is cancelled leaves a future
behind that is done, and what was asked for is left out if it has not begun. The answers of one go come back
in one call into each event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

from asynccache._engine.raising import fail

__all__ = ["Job", "Outcome", "Session", "Worker", "left"]

_MOST_JOBS: Final = 512


class Job(NamedTuple):
    """Something to be done: ``work(session, *args)``."""

    future: Future[Any]
    work: Callable[..., Any]
    args: tuple[Any, ...]


class Outcome(NamedTuple):
    """What came of a job: its result, or the error it failed with."""

    future: Future[Any]
    result: Any
    error: BaseException | None = None


class Stop(NamedTuple):
    """The last thing in a mailbox; ``future`` is for whoever waits for the thread's end."""

    future: Future[None] | None = None


class Session(Protocol):
    """What a thread works with. It is made, used and closed in that thread alone."""

    def perform(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do ``jobs`` in their order."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


_Mailbox = SimpleQueue[Job | Stop]


class Worker:
    """Hands jobs to a thread, which is started when there is one to do.

    The thread ends with `aclose`, when this object is collected, or with the process. A forked process has
    this object but not the thread, and starts one of its own; what the parent's thread holds is neither used
    nor closed there.

    Args:
        name: The thread's name.
        session: Makes what the thread works with. It must not refer to this object.
    """

    def __init__(self, name: str, session: Callable[[], Session]) -> None:
        self._name = name
        self._session = session
        self._forget()
        _workers.add(self)

    def _forget(self) -> None:
        self._starting = threading.Lock()
        self._mailbox: _Mailbox | None = None
        self._collected: weakref.finalize[[Stop], Worker] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a thread."""
        return self._mailbox is not None

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have ``work(session, *args)`` done; its result or error comes with the future."""
        future: Future[Any] = asyncio.get_running_loop().create_future()
        (self._mailbox or self._start()).put(Job(future, work, args))
        return future

    def _start(self) -> _Mailbox:
        with self._starting:
            mailbox = self._mailbox
            if mailbox is None:
                mailbox = _Mailbox()
                args = (mailbox, self._session)
                threading.Thread(target=_serve, args=args, name=self._name, daemon=True).start()
                self._collected = weakref.finalize(self, mailbox.put, Stop())
                self._mailbox = mailbox  # last: others look without the lock
            return mailbox

    async def aclose(self) -> None:
        """Let the thread do what it was given so far, and end."""
        with self._starting:
            mailbox, self._mailbox = self._mailbox, None
            if mailbox is None:
                return
            if self._collected is not None:
                self._collected.detach()
        ended: Future[None] = asyncio.get_running_loop().create_future()
        mailbox.put(Stop(ended))
        await ended


_workers: Final = weakref.WeakSet[Worker]()


def _after_fork() -> None:
    for worker in _workers:
        worker._forget()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this module's own


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


def left(job: Job) -> bool:
    """Return True if the caller of ``job`` is gone."""
    return job.future.done()


def _serve(mailbox: _Mailbox, make: Callable[[], Session]) -> None:
    """Do what is in ``mailbox``, until it says stop."""
    # A local variable, and nowhere else: in a forked process this frame is never left, so what the session
    # holds is never closed there, which would be the ruin of the parent's database.
    session = make()
    stop: Stop | None = None
    while stop is None:
        jobs: list[Job] = []
        while True:
            mail = mailbox.get()
            if isinstance(mail, Stop):
                stop = mail
                break
            if not left(mail):
                jobs.append(mail)
            if len(jobs) >= _MOST_JOBS or mailbox.empty():
                break
        if jobs:
            _deliver(_perform(session, jobs))
        del jobs, mail  # a thread that waits keeps nothing alive
    session.close()
    if stop.future is not None:
        _deliver([Outcome(stop.future, None)])


def _perform(session: Session, jobs: Sequence[Job]) -> list[Outcome]:
    try:
        return session.perform(jobs)
    except BaseException as error:  # noqa: BLE001 - the callers raise it; the thread goes on
        return [Outcome(job.future, None, error) for job in jobs]


def _deliver(outcomes: Sequence[Outcome]) -> None:
    loops: dict[AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.future.get_loop(), []).append(outcome)
    for loop, theirs in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, theirs)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            continue


def _settle(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if error is not None:
            fail((future,), error)
        elif not future.done():
            future.set_result(result)
