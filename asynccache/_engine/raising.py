"""One failure, many who wait for it: every waiter raises an exception of its own."""

from __future__ import annotations

from asyncio import CancelledError, Future
from collections.abc import Iterable
from copy import copy
from typing import Any, TypeVar

from asynccache.errors import BackendUnavailableError

__all__ = ["copy_of", "fail"]

E = TypeVar("E", bound=BaseException)


def copy_of(error: E) -> E:
    """Return a copy of ``error`` with its cause, context, notes and traceback; itself if it cannot be copied.

    An exception that several tasks raise collects the frames and the context of all of them.
    """
    try:
        twin = copy(error)
    except Exception:  # noqa: BLE001 - a constructor of the user's, called with what is in `args`
        return error
    if type(twin) is not type(error) or twin is error:
        return error
    twin.args = error.args  # a constructor that builds its message would have built it twice
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        twin.__notes__ = notes.copy()
    twin.__context__ = error.__context__
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)


def fail(futures: Iterable[Future[Any]], error: BaseException) -> None:
    """Let every future that still waits raise ``error``, each its own copy.

    What would end a task or the loop (a cancellation, Ctrl-C) is not theirs to raise: they were not
    cancelled, only the I/O they waited for was.
    """
    if isinstance(error, CancelledError | KeyboardInterrupt | SystemExit):
        broken_off = BackendUnavailableError(f"the operation was broken off by {type(error).__name__}")
        broken_off.__cause__ = error
        error = broken_off
    original = True
    for future in futures:
        if not future.done():
            future.set_exception(error if original else copy_of(error))
            original = False
