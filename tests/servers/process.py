"""A server of our own: started on a free port with a folder of its own, ended by pid.

    with running(["redis-server", "--port", "{port}", "--dir", "{folder}"]) as server:
        server.port; server.kill(); server.restart(); server.freeze(); server.thaw()

It dies with the process that started it, also when that is killed (where Linux's `setpriv` is there).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["ROOT", "UNMEASURED", "ServerProcess", "find_program", "free_port", "running"]

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "servers"
"""Where `scripts/_env` puts the servers that no package manager has."""
START_SECONDS = 60.0
UNMEASURED = ("env", "-u", "COVERAGE_PROCESS_CONFIG")
"""What to put before the command of a server in Python whose lines coverage need not count."""
_ATTEMPTS = 3
_STARTER = ThreadPoolExecutor(1, "starter of servers")
"""A server ends with the thread that started it, so that must not be one that ends before the tests."""


def find_program(name: str) -> str | None:
    """Return the path of a server's program, wherever this machine keeps it; None if it has none."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3]))
    for candidate in (CACHE / name, *reversed(debian)):
        if candidate.exists():
            return str(candidate)
    return shutil.which(name)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


class ServerProcess:
    """One server process.

    Args:
        command: The program and its arguments; ``{port}`` and ``{folder}`` are filled in.
        folder: Its data.
        user: Whom to run it as, for servers that refuse root; ignored where we are not root.
        prepare: Called with the folder before the first start.
        ready: Called with the port until it returns True; left out: the port accepts connections.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        user: str | None = None,
        prepare: Callable[[Path], None] | None = None,
        ready: Callable[[int], bool] = listens,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._command = command
        self._user = user if os.geteuid() == 0 else None
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(folder, self._user)
        if prepare is not None:
            prepare(folder)

    @property
    def pid(self) -> int:
        """The process that is running."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self._start():
                return
            if attempt < _ATTEMPTS:  # somebody may have taken the port
                self.port = free_port()
        raise RuntimeError(f"{self._command[0]} did not start:\n{self.output()}")

    def _start(self) -> bool:
        values = {"port": str(self.port), "folder": str(self.folder)}
        command = [part.format_map(values) for part in self._command]
        with (self.folder / "output").open("ab") as output:
            self._process = _STARTER.submit(
                subprocess.Popen,
                [*as_user(self._user), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            ).result()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._ready(self.port):
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def output(self) -> str:
        """Return the end of what it wrote."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")[-4000:]

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it; kill it if it does not listen."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._process = None

    def restart(self) -> None:
        """Start it again after `kill` or `stop`: same port, same folder."""
        self.stop()
        assert self._start(), f"{self._command[0]} did not start again:\n{self.output()}"

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        if hasattr(os, "waitid"):  # its threads go on for a moment, and answer
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


def as_user(user: str | None) -> list[str]:
    """Return what to put before a command that runs as ``user`` and ends with us."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    switch = [] if user is None else [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [setpriv, *switch, "--pdeathsig=KILL", "--"]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    user: str | None = None,
    prepare: Callable[[Path], None] | None = None,
    ready: Callable[[int], bool] = listens,
) -> Generator[ServerProcess]:
    """Run a server for the length of a ``with`` block; arguments as for `ServerProcess`."""
    folder = Path(tempfile.mkdtemp(prefix="asynccache-"))
    server = ServerProcess(command, folder, user=user, prepare=prepare, ready=ready)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
