"""What has to be closed before its event loop is gone, although nobody said so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["before_loop_ends"]


def before_loop_ends(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Arrange that ``close`` runs before the running loop is closed by `asyncio.run` or a `asyncio.Runner`.

    Returns:
        What has to be kept for as long as that is wanted: its ``aclose()`` runs ``close`` at once, and so
        does dropping it.
    """
    # The one thing an event loop sees to at its end is its unfinished asynchronous generators.
    waiting = _until_the_end(close)
    try:
        waiting.__anext__().send(None)
    except StopIteration:
        return waiting
    raise AssertionError  # pragma: no cover - it yields at once


async def _until_the_end(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
