"""Load over HTTP: a server in a process of its own on one core, wrk (or a stand-in) on the other."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from benchmarks.apps import URLS

__all__ = ["Load", "Server", "advice"]

CONNECTIONS: Final = 64
_START: Final = 20.0


def advice() -> str | None:
    """Return how to get the load generator that is missing; None if it is there."""
    if shutil.which("wrk"):
        return None
    return (
        "wrk is not installed (Debian: apt-get install wrk). A Python client stands in: it is slower than the"
        " servers, so the rates say little; look at the CPU times."
    )


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def _pinned(core: int, command: list[str]) -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *command] if taskset and len(_cores()) > 1 else command


class Server:
    """An application of `benchmarks.apps` under uvicorn, on the first core."""

    def __init__(self, name: str) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.apps", name, str(self.port)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the server)
        self._process = subprocess.Popen(_pinned(_cores()[0], command), stdout=self._log, stderr=self._log)

    def wait(self) -> None:
        """Wait until it answers, and ask for every URL once."""
        end = monotonic() + _START
        while True:
            if self._process.poll() is not None or monotonic() > end:
                self._log.seek(0)
                lines = self._log.read().decode(errors="replace").strip().splitlines()
                raise RuntimeError(lines[-1] if lines else "does not start")
            try:
                for number in range(URLS):
                    self.ask(f"/items/{number}")
                return
            except OSError:
                sleep(0.1)

    def ask(self, path: str) -> bytes:
        """Return the head of the answer to a GET."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer.partition(b"\r\n\r\n")[0]

    def cpu(self) -> float:
        """Return the seconds of CPU time it has used, all threads."""
        total = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def close(self) -> None:
        """End it, by its own process id."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


_SCRIPT: Final = """
local paths = {}
local n = 0
request = function()
  n = (n + 1) % %URLS%
  return wrk.format("GET", "/items/" .. n, %HEADERS%)
end
"""


class Load:
    """A load generator on the last core."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wrk = shutil.which("wrk")

    def run(self, server: Server, seconds: int, etag: str | None = None) -> tuple[float, float]:
        """Return requests per second and the server's CPU seconds per request."""
        before, began = server.cpu(), monotonic()
        if self._wrk:
            requests, took = self._with_wrk(server, seconds, etag)
        else:
            requests = asyncio.run(_stand_in(server.port, seconds, etag))
            took = monotonic() - began
        return requests / took, (server.cpu() - before) / max(1, requests)

    def _with_wrk(self, server: Server, seconds: int, etag: str | None) -> tuple[int, float]:
        assert self._wrk is not None
        script = self._folder / f"{server.port}.lua"
        headers = "{}" if etag is None else f'{{["If-None-Match"] = {etag!r}}}'
        script.write_text(_SCRIPT.replace("%URLS%", str(URLS)).replace("%HEADERS%", headers))
        command = [self._wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
        command = _pinned(_cores()[-1], [*command, f"http://127.0.0.1:{server.port}"])
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"(\d+) requests in ([\d.]+)s", output)
        if found is None or "Non-2xx" in output:
            raise RuntimeError(f"wrk: {output.strip().splitlines()[-1]}")
        return int(found[1]), float(found[2])


async def _stand_in(port: int, seconds: float, etag: str | None) -> int:
    """Ask over 64 connections as fast as Python can."""
    condition = "" if etag is None else f"If-None-Match: {etag}\r\n"
    end = monotonic() + seconds
    done = 0

    async def client(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while monotonic() < end:
            number = (number + 1) % URLS
            writer.write(
                f"GET /items/{number} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{condition}\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if length:
                await reader.readexactly(int(length[1]))
            done += 1
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return done


@contextmanager
def servers(names: list[str], notes: list[str]) -> Iterator[dict[str, Server]]:
    """Start applications; those that do not start are noted."""
    running: dict[str, Server] = {}
    started: list[Server] = []
    try:
        for name in names:
            server = Server(name)
            started.append(server)
            try:
                server.wait()
                running[name] = server
            except (OSError, RuntimeError) as error:
                notes.append(f"{name} does not take part: {error}")
        yield running
    finally:
        for server in started:
            server.close()
