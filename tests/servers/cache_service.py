"""The service of examples/custom_http_backend, under uvicorn in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.servers.process import ROOT, UNMEASURED, ServerProcess, running

__all__ = ["cache_service"]

_COMMAND = (
    *(*UNMEASURED, sys.executable, "-m", "uvicorn", "examples.custom_http_backend.service:app"),
    *("--app-dir", str(ROOT), "--port", "{port}", "--log-level", "warning"),
)


@pytest.fixture(scope="session")
def cache_service() -> Iterator[ServerProcess]:
    """Give the process; the service is at its ``port``."""
    with running(_COMMAND) as server:
        yield server
