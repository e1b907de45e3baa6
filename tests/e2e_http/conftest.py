"""One web for each parser of uvicorn, for all tests of a module."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from tests.e2e_http.web import Web


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["h11", "httptools"])
async def servers(request: pytest.FixtureRequest) -> AsyncGenerator[Web]:
    """A client's whole way to the origin and back."""
    async with Web(request.param).serving() as web:
        yield web


@pytest.fixture
def web(servers: Web) -> Generator[Web]:
    """The servers of the module; a script of the origin that failed, fails the test."""
    yield servers
    failures, servers.failures = servers.failures, []
    for failure in failures:
        raise failure
