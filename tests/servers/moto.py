"""moto's server: Amazon's services imitated in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.servers.process import ROOT, UNMEASURED, ServerProcess, running
from tests.servers.provision import missing

__all__ = ["moto_server"]

_COMMAND = (*UNMEASURED, sys.executable, str(ROOT / "tests" / "examples" / "moto_server.py"), "{port}")
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


@pytest.fixture(scope="session")
def moto_server() -> Iterator[ServerProcess]:
    """Give the process, and this one credentials for it; the services are at its ``port``."""
    for module in ("moto", "flask", "flask_cors", "aiobotocore"):
        if find_spec(module) is None:
            missing(module, "it is in the dependency group `tests`")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        with running(_COMMAND) as server:
            yield server
