"""The application under uvicorn: in a process of its own for the story, or in this one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

import uvicorn

__all__ = ["HOST", "Server", "ServerError", "copied", "running"]

HOST: Final = "127.0.0.1"
_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 20.0
"""Seconds the process may take to end by itself."""


class ServerError(Exception):
    """The server did not start."""


@contextmanager
def copied(database: Path) -> Generator[Path]:
    """Give a copy of the database that goes away again: what is changed in it is nobody else's business."""
    with tempfile.TemporaryDirectory(prefix="asynccache-demo-") as folder:
        yield Path(shutil.copyfile(database, Path(folder) / "orders.sqlite3"))


class Server(uvicorn.Server):
    """The application on ``database``.

    Args:
        database: A file made by `examples.demo.orders.make_orders`.
        ready: Called with the port once the application answers.
        log_level: uvicorn's.
    """

    def __init__(self, database: Path, ready: Callable[[int], None], log_level: str = "warning") -> None:
        os.environ["DEMO_DATABASE"] = str(database)
        app: Any = import_module("examples.demo.shop").app  # reads the environment when it is imported
        super().__init__(uvicorn.Config(app, log_level=log_level, lifespan="on", timeout_graceful_shutdown=5))
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            self._ready(sockets[0].getsockname()[1])

    def listen(self, port: int) -> bool:
        """Serve on ``port`` (0: any free one) until told to end; False if the application did not start."""
        with socket.create_server((HOST, port)) as sock:
            self.run([sock])
        return self.started


@contextmanager
def running(database: Path) -> Generator[int]:
    """Run the application in a process of its own and give its port. It ends with the block, or with us.

    Raises:
        ServerError: it did not start; the message is what it wrote.
    """
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "examples.demo.server", str(database)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, stderr=log)
        try:
            line = _pipe(process.stdout).readline()
            if not line.strip().isdigit():
                process.wait(_PATIENCE)
                log.seek(0)
                *_, last = [
                    "the server did not start",
                    *log.read().decode(errors="replace").strip().splitlines(),
                ]
                raise ServerError(last)
            yield int(line)
        finally:
            _pipe(process.stdin).close()  # the sign to end
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _pipe(process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _serve(database: str) -> int:
    """Serve on a free port, which is printed, until standard input ends."""
    server = Server(Path(database), lambda port: print(port, flush=True))

    def end() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    return 0 if server.listen(0) else 1


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))
