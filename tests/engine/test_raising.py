from __future__ import annotations

import asyncio

import pytest

from asynccache._engine.raising import copy_of, fail
from asynccache.errors import BackendError, BackendUnavailableError, MissingDependencyError


def test_a_copy_is_equal_in_all_that_can_be_seen() -> None:
    """Type, message, attributes, cause, context, notes and traceback are the original's."""

    def broken() -> None:
        try:
            raise KeyError("below")
        except KeyError as below:
            raise BackendError("gone", backend="redis", key="k") from below

    with pytest.raises(BackendError) as caught:
        broken()
    error = caught.value
    error.add_note("a note")
    twin = copy_of(error)
    assert twin is not error
    assert str(twin) == str(error) == "redis: gone (key 'k')"
    assert (twin.backend, twin.key) == ("redis", "k")
    assert twin.__cause__ is error.__cause__
    assert twin.__context__ is error.__context__
    assert twin.__suppress_context__
    assert twin.__traceback__ is error.__traceback__
    assert twin.__notes__ == ["a note"]
    assert twin.__notes__ is not error.__notes__


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "no file", "name"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
        ExceptionGroup("g", [ValueError()]),
    ],
)
def test_built_in_exceptions_keep_their_fields(error: Exception) -> None:
    """Those with fields of their own in C are copied whole."""
    twin = copy_of(error)
    assert twin is not error
    assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)


def test_what_cannot_be_copied_is_its_own_copy() -> None:
    """A constructor that takes something else than its args, or a copy of another type."""

    class OddError(Exception):
        def __copy__(self) -> Exception:
            return ValueError()

    for error in (MissingDependencyError("redis", "redis"), OddError()):
        assert copy_of(error) is error


async def test_fail_gives_each_future_its_own() -> None:
    """Futures that are done are left alone; a cancellation arrives as a failure of the store."""
    futures: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(4)]
    futures[1].cancel()
    fail(futures, asyncio.CancelledError())
    errors = [future.exception() for future in futures if not future.cancelled()]
    assert [type(error) for error in errors] == [BackendUnavailableError] * 3
    assert len({id(error) for error in errors}) == 3
