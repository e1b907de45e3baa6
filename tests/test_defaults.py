"""Which cache is meant where none is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asynccache import Cache, current_cache, set_default_cache
from asynccache.defaults import current


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    before = set_default_cache(None)
    yield
    set_default_cache(before)


class Request:
    def __init__(self, cache: Cache) -> None:
        self.cache = cache


def test_order() -> None:
    """The request's, else the default, else one from the environment, which is made once."""
    from_environment = current_cache()
    assert current_cache() is from_environment
    default, request = Cache(), Cache()
    set_default_cache(default)
    assert current_cache() is default
    token = current.set(Request(request))
    assert current_cache() is request
    set_default_cache(None)
    assert current_cache() is request
    current.reset(token)
    assert current_cache() is from_environment


def test_what_was_named_before_is_returned() -> None:
    """So that it can be put back."""
    first, second = Cache(), Cache()
    assert set_default_cache(first) is None
    assert set_default_cache(second) is first
    assert set_default_cache(None) is second


async def test_the_request_is_the_tasks_own() -> None:
    """A request's cache is seen by what it calls, not by other tasks."""
    import asyncio

    default, request = Cache(), Cache()
    set_default_cache(default)

    async def handle() -> Cache:
        current.set(Request(request))
        await asyncio.sleep(0)
        return await asyncio.create_task(inner())

    async def inner() -> Cache:
        return current_cache()

    got, other = await asyncio.gather(asyncio.create_task(handle()), asyncio.create_task(inner()))
    assert got is request
    assert other is default
