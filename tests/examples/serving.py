"""The examples as their documentation starts them: uvicorn in a process of its own, on any store."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest

from tests.servers.process import ROOT, running

__all__ = ["STORES", "serving", "store_url"]

STORES = ("memory", "sqlite", "redis")


def store_url(request: pytest.FixtureRequest, store: str) -> str:
    """Return the URL of an empty store."""
    if store == "memory":
        return "memory://?max_bytes=1mb"
    url: str = request.getfixturevalue(f"{store}_server").fresh_url()
    return url


@contextmanager
def serving(app: str, url: str) -> Generator[httpx.Client]:
    """Serve ``app`` on the store at ``url`` and give a client; a traceback in the log fails the test."""
    command = [sys.executable, "-m", "uvicorn", app, "--app-dir", str(ROOT), "--port", "{port}"]
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("ASYNCCACHE_"):
                patch.delenv(name)
        patch.setenv("ASYNCCACHE_URL", url)
        with running(command) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
            client.timeout = httpx.Timeout(30)
            yield client
            assert "Traceback" not in server.output()
