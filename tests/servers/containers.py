"""A store's server in a container, as docker-compose.yml describes it: tests meet what users start."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # what is read here is checked by the test of this module

from tests.servers.process import ROOT, free_port

__all__ = ["Service", "container", "described", "docker_answers"]

_SOCKET = Path("/var/run/docker.sock")
_VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")
_NANOSECONDS = 1_000_000_000
_START_SECONDS = 120  # the image is fetched before they count


@dataclass(frozen=True)
class Service:
    """One service of docker-compose.yml, in the words of Docker's API."""

    image: str
    command: list[str] | None
    environment: dict[str, str]
    outside: int
    """Port on this machine."""
    inside: int
    """Port in the container."""
    tmpfs: list[str]
    healthcheck: dict[str, Any]


def described(name: str, environ: Mapping[str, str]) -> Service:
    """Return the service ``name`` with the file's variables taken from ``environ``, or their defaults."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    filled = _VARIABLE.sub(lambda match: environ.get(match["name"]) or match["default"], text)
    service: dict[str, Any] = yaml.safe_load(filled)["services"][name]
    (published,) = service["ports"]
    _, outside, inside = published.split(":")
    check: dict[str, Any] = service["healthcheck"]
    return Service(
        image=service["image"],
        command=service.get("command"),
        environment=service.get("environment", {}),
        outside=int(outside),
        inside=int(inside),
        tmpfs=service.get("tmpfs", []),
        healthcheck={
            "test": check["test"],
            "interval": int(check["interval"].removesuffix("s")) * _NANOSECONDS,
            "timeout": int(check["timeout"].removesuffix("s")) * _NANOSECONDS,
            "retries": check["retries"],
        },
    )


@cache
def docker_answers() -> bool:
    """Return whether a Docker engine is to be had where its client looks for one."""
    if not (os.environ.get("DOCKER_HOST") or _SOCKET.exists()):
        return False
    try:
        docker: Any = import_module("docker")  # comes with testcontainers; has no types
    except ImportError:
        return False
    with _leaks_ignored():
        try:
            client = docker.from_env(timeout=5)
        except docker.errors.DockerException:
            return False
        try:
            return bool(client.ping())
        finally:
            client.close()


@contextlib.contextmanager
def container(name: str) -> Generator[tuple[str, int]]:
    """Run the service ``name`` for the length of a ``with`` block; give the host and the port to reach it."""
    service = described(name, {f"ASYNCCACHE_TEST_{name.upper()}_PORT": str(free_port())})
    with _leaks_ignored():
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

        box = DockerContainer(service.image, env=service.environment)
        if service.command is not None:
            box.with_command(service.command)
        for folder in service.tmpfs:
            box.with_tmpfs_mount(folder)
        box.with_bind_ports(service.inside, service.outside).with_kwargs(healthcheck=service.healthcheck)
        box.waiting_for(
            HealthcheckWaitStrategy().with_startup_timeout(_START_SECONDS).with_poll_interval(0.2)
        )
        box.__enter__()  # started within this block, ended outside of it
    try:
        yield box.get_container_host_ip(), int(box.get_exposed_port(service.inside))
    finally:
        box.stop()


@contextlib.contextmanager
def _leaks_ignored() -> Generator[None]:
    """Let Docker's client leave sockets to the garbage collector, in a run where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()
