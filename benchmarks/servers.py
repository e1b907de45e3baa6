"""Servers for benchmarks: one of each kind, with its own defaults, for the length of a ``with`` block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import as_user, find_program, running

__all__ = ["memcached", "mongod", "postgres", "redis"]


def _program(name: str) -> str:
    path = find_program(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


@contextmanager
def redis() -> Generator[str]:
    """Run Redis; give its URL."""
    with running([_program("redis-server"), "--port", "{port}", "--save", "", "--dir", "{folder}"]) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@contextmanager
def memcached() -> Generator[str]:
    """Run memcached; give its URL."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with running([_program("memcached"), *user, "-l", "127.0.0.1", "-p", "{port}", "-U", "0"]) as server:
        yield f"memcached://127.0.0.1:{server.port}"


@contextmanager
def postgres() -> Generator[str]:
    """Run PostgreSQL; give its URL."""
    user = "postgres" if os.geteuid() == 0 else None

    def prepare(folder: Path) -> None:
        options = ["--no-instructions", "--username=bench", "--auth=trust", "-D", str(folder / "data")]
        subprocess.run(
            [*as_user(user), _program("initdb"), *options], check=True, capture_output=True, cwd=folder
        )

    def answers(port: int) -> bool:  # it listens before it lets anybody in
        command = [_program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
        return subprocess.run(command, check=False).returncode == 0

    command = [_program("postgres"), "-D", "{folder}/data", "-p", "{port}", "-k", "{folder}"]
    with running([*command, "-h", "127.0.0.1"], user=user, prepare=prepare, ready=answers) as server:
        yield f"postgresql://bench@127.0.0.1:{server.port}/postgres"


@contextmanager
def mongod() -> Generator[str]:
    """Run MongoDB; give its URL."""
    command = [_program("mongod"), "--port", "{port}", "--bind_ip", "127.0.0.1", "--dbpath", "{folder}"]
    with running([*command, "--unixSocketPrefix", "{folder}"]) as server:
        yield f"mongodb://127.0.0.1:{server.port}"
