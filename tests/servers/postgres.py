"""PostgreSQL for tests: a server for the whole run, one for tests that kill it, and PgBouncer."""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.servers.process import ServerProcess, as_user, find_program, running
from tests.servers.provision import program, provided

__all__ = [
    "PostgresProcess",
    "PostgresServer",
    "eventually",
    "pgbouncer",
    "postgres_process",
    "postgres_server",
]

_LONG = 20.0

_USER = "postgres" if os.geteuid() == 0 else None
"""The server refuses to run as root."""
# Connections of this role need its password, also where all others are trusted.
_HBA = "host all locked_up 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "{folder}",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "fsync": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",  # dead rows stay to be counted
    "deadlock_timeout": "100ms",
}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition``, which may be a coroutine function, returns something true."""
    async with asyncio.timeout(_LONG):
        while True:
            outcome = condition()
            if await outcome if inspect.isawaitable(outcome) else outcome:
                return
            await asyncio.sleep(0.01)


class PostgresServer:
    """A server that tests may use, but not stop."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 5432

    def fresh_url(self) -> str:
        """Return a URL with a table that no other test uses."""
        return f"{self.url}?table=t_{secrets.token_hex(6)}"

    def url_via(self, port: int) -> str:
        """Return the URL of this server through a proxy on 127.0.0.1."""
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

    async def query(self, sql: str, *args: Any) -> list[Any]:
        """Return the rows of a statement, sent on a connection of its own."""
        import asyncpg

        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()

    async def wake_sleepers(self) -> None:
        """End every pg_sleep whose client has left: what it sees keeps dead rows from being reused."""
        await self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        )

    async def at_most(self, connections: int) -> None:
        """Wait until no more clients are connected."""

        async def few() -> bool:
            return await self.connections() <= connections

        await eventually(few)

    async def connections(self) -> int:
        """Return how many clients are connected to the database, not counting this question."""
        rows = await self.query(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(rows[0][0])


class PostgresProcess(PostgresServer):
    """A server of our own, to be killed, frozen and started again.

    Start it in the main thread only: it dies with the thread that started it (Linux's PDEATHSIG).
    """

    def __init__(self, process: ServerProcess) -> None:
        super().__init__(f"postgresql://asynccache@127.0.0.1:{process.port}/postgres")
        self.process = process

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self.process.folder

    def stop(self) -> None:
        """End it without waiting for its clients, as SIGTERM would."""
        os.kill(self.process.pid, signal.SIGINT)
        self.process.stop()

    def _family(self) -> list[int]:
        """Return its processes, the main one first: each connection has one."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [pid, *map(int, children.split())]

    def freeze(self) -> None:
        """Stop all its processes: connections stay, nothing answers."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in reversed(self._family()):
            os.kill(pid, signal.SIGCONT)

    def crash(self) -> None:
        """Kill all its processes at once."""
        main, *others = self._family()
        os.kill(main, signal.SIGSTOP)  # it would begin to recover
        for pid in others:
            os.kill(pid, signal.SIGKILL)
        self.process.kill()


@contextmanager
def _started() -> Generator[PostgresProcess]:
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    command = [program("postgres"), "-D", "{folder}/data", "-p", "{port}", *settings]
    with running(command, user=_USER, prepare=_prepare, ready=_answers) as process:
        server = PostgresProcess(process)
        try:
            yield server
        finally:
            server.stop()


def _prepare(folder: Path) -> None:
    options = ["--no-sync", "--no-instructions", "--no-locale", "--encoding=UTF8", "--username=asynccache"]
    command = [program("initdb"), *options, "--auth=trust", "-D", str(folder / "data")]
    subprocess.run([*as_user(_USER), *command], check=True, capture_output=True, cwd=folder)
    (folder / "data" / "pg_hba.conf").write_text(_HBA, encoding="ascii")


def _answers(port: int) -> bool:
    command = [program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """Give a server for tests that leave it alone."""
    with provided(
        "postgres",
        at=PostgresServer,
        url="postgresql://asynccache:asynccache@{host}:{port}/asynccache",
        start=_started,
        programs=("postgres", "initdb", "pg_isready"),
    ) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_process() -> Generator[PostgresProcess]:
    """Give a server for tests that do not; each leaves it running."""
    with _started() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Generator[PostgresServer]:
    """Give the server behind PgBouncer in transaction mode, with fewer connections than clients."""
    parts = urlsplit(postgres_server.url)
    target = f"host={postgres_server.host} port={postgres_server.port} password={parts.password or 'none'}"
    settings = (
        f"[databases]\n* = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {{port}}\n"
        "unix_socket_dir =\nauth_type = trust\nauth_file = users\npool_mode = transaction\n"
        "default_pool_size = 3\n"
    )

    def prepare(folder: Path) -> None:
        (folder / "users").write_text(f'"{parts.username}" ""\n', encoding="ascii")
        (folder / "settings").write_text(settings, encoding="ascii")

    # Its port stands in the file, not among the arguments: the shell fills it in.
    script = 'sed -i "s/{{port}}/$1/" settings && exec "$0" settings'
    path = find_program("pgbouncer") or "/usr/sbin/pgbouncer"
    command = ["sh", "-c", script, path if Path(path).exists() else program("pgbouncer"), "{port}"]
    with running(command, user=_USER, prepare=prepare) as process:
        yield PostgresServer(f"postgresql://{parts.username}@127.0.0.1:{process.port}{parts.path}")
