"""Where an application keeps its `CacheMiddleware`: found by looking, so that no framework is imported."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from asynccache.http import CacheMiddleware

__all__ = ["found_in"]

_INSIDE: Final = (
    "app",  # what middleware by convention calls the application it is around
    "_app",
    "application",
    "asgi_app",  # Quart
    "middleware_stack",  # Starlette and FastAPI, once they have begun
    "router",
    "routes",
    "original_router",  # FastAPI, of a router that was included
    "plugins",  # Litestar
    "middleware",  # asynccache_litestar.CachePlugin
)


@contextmanager
def found_in(application: Any) -> Generator[list[CacheMiddleware]]:
    """Give every `CacheMiddleware` in an application, the outermost first.

    Starlette makes its middleware when the first request arrives. For the length of the block it is made
    here, if it has not been made yet.
    """
    made: list[tuple[Any, Any]] = []
    try:
        yield list(_walk(application, set(), made))
    finally:
        for starlette, stack in made:
            if starlette.middleware_stack is stack:
                starlette.middleware_stack = None


def _walk(thing: Any, seen: set[int], made: list[tuple[Any, Any]]) -> Iterator[CacheMiddleware]:
    if thing is None or id(thing) in seen or inspect.isroutine(thing) or inspect.isclass(thing):
        return
    seen.add(id(thing))
    if isinstance(thing, CacheMiddleware):
        yield thing
    _begin(thing, made)
    for part in _parts(thing):
        yield from _walk(part, seen, made)


def _begin(thing: Any, made: list[tuple[Any, Any]]) -> None:
    if hasattr(thing, "build_middleware_stack") and getattr(thing, "middleware_stack", thing) is None:
        thing.middleware_stack = thing.build_middleware_stack()
        made.append((thing, thing.middleware_stack))


def _parts(thing: Any) -> Iterable[Any]:
    """Return where to look further: into collections, and into attributes of everything else."""
    if isinstance(thing, (str, bytes, Mapping)):
        return ()
    return thing if hasattr(thing, "__iter__") else (getattr(thing, name, None) for name in _INSIDE)
