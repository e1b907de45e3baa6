"""Where a test's server comes from: a URL in the environment, else Docker, else a program on this machine.

Where none of them is to be had, tests that need it are skipped; with ``CI`` set they fail.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from tests.servers.containers import container, docker_answers
from tests.servers.process import find_program

__all__ = ["missing", "program", "provided"]

S = TypeVar("S")


def missing(what: str, how: str) -> None:
    """Skip the test, or fail it where ``CI`` is set: there everything has to be tested."""
    message = f"{what} is not here: {how}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str) -> str:
    """Return the path of a server's program, for tests that have to start, freeze or kill their own."""
    path = find_program(name)
    if path is None:
        missing(name, "install it, or run scripts/test as root on Debian")
        raise AssertionError  # `missing` never returns
    return path


@contextlib.contextmanager
def provided(
    kind: str,
    *,
    at: Callable[[str], S],
    url: str,
    start: Callable[[], AbstractContextManager[S]],
    programs: tuple[str, ...],
) -> Generator[S]:
    """Give a server of ``kind`` for the length of a ``with`` block.

    Args:
        kind: The service's name in docker-compose.yml; ``ASYNCCACHE_TEST_<KIND>_URL`` names a server that
            runs already.
        at: Makes the server's description from its URL.
        url: The URL of a container's server, with ``{host}`` and ``{port}`` to be filled in.
        start: Starts one from the ``programs`` of this machine.
        programs: What `start` needs.
    """
    variable = f"ASYNCCACHE_TEST_{kind.upper()}_URL"
    if given := os.environ.get(variable):
        yield at(given)
    elif docker_answers():
        with container(kind) as (host, port):
            yield at(url.format(host=host, port=port))
    elif all(map(find_program, programs)):
        with start() as server:
            yield server
    else:
        missing(kind, f"set {variable}, start Docker, or install {' and '.join(programs)}")
