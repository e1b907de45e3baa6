"""Redis for tests: a server that all share, and the ways in which Redis is run elsewhere.

Each is started when first asked for. `redis_server` may come from the environment or from Docker; the others
are made of this machine's `redis-server`.
"""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import AuthenticationError, Redis as SyncRedis, RedisError
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.process import ServerProcess, free_port, running
from tests.servers.provision import program, provided

PLAIN = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", "{folder}")
PERMITTED = (
    "+get +mget +set +exists +pexpire +persist +incrby +unlink +scan +eval +evalsha "
    "+publish +subscribe +ping +info +select"
)
"""All that the store needs; docs/redis.md names the same."""


@dataclass
class RedisServer:
    """One server that speaks the plain protocol."""

    host: str
    port: int
    databases: int = 16
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @property
    def url(self) -> str:
        """Database 0."""
        return self.url_via(self.port, self.host)

    def url_via(self, port: int, host: str = "127.0.0.1") -> str:
        """The same through what listens on ``port``."""
        return f"redis://{host}:{port}/0"

    def fresh_url(self) -> str:
        """A database that was not given out yet, or not for long."""
        number = 1 + next(self._numbers) % (self.databases - 1)
        return f"redis://{self.host}:{self.port}/{number}"

    async def connections(self) -> int:
        """Count the connections of clients, not this one."""
        async with Redis(host=self.host, port=self.port) as client:
            info: dict[str, Any] = await client.info("clients")
            return int(info["connected_clients"]) - 1


def speak(port: int, db: int = 0) -> Any:
    """Return the driver's synchronous client, which is typed in part only."""
    return SyncRedis(port=port, db=db, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def at(url: str) -> RedisServer:
    """Describe the server of ``url``."""
    parts = urlsplit(url)
    return RedisServer(parts.hostname or "127.0.0.1", parts.port or 6379)


@contextlib.contextmanager
def redis_process(*options: str, prepare: Callable[[Path], None] | None = None) -> Generator[ServerProcess]:
    """Run a server with these options, for tests that stop it, or want it otherwise."""
    command = [program("redis-server"), "--port", "{port}", *PLAIN, *options]
    with running(command, prepare=prepare, ready=answers) as server:
        yield server


def answers(port: int) -> bool:
    """Return whether a Redis of any kind is there, be it only to say that it does not know us."""
    with contextlib.closing(speak(port)) as client:
        try:
            client.ping()
        except AuthenticationError:  # there it is
            return True
        except RedisError:
            return False
        return True


@contextlib.contextmanager
def plain() -> Generator[RedisServer]:
    """Run a server with databases enough for every test."""
    with redis_process("--databases", "5000") as server:
        yield RedisServer("127.0.0.1", server.port, 5000)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give the server that all share."""
    url = "redis://{host}:{port}/0"
    with provided("redis", at=at, url=url, start=plain, programs=("redis-server",)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_acl() -> Iterator[str]:
    """Give the URL of a server that lets one user do what the store needs, and nothing else."""

    def prepare(folder: Path) -> None:
        users = f"user default off\nuser app on >s3cr%t/: ~* &asynccache:* -@all {PERMITTED}\n"
        (folder / "users").write_text(users, encoding="utf-8")

    with redis_process("--aclfile", "{folder}/users", prepare=prepare) as server:
        yield f"redis://app:s3cr%25t%2F%3A@127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """Give the URL of a server's socket."""
    with redis_process("--unixsocket", "{folder}/redis.sock") as server:
        yield f"redis+unix://{server.folder}/redis.sock?db=2"


@dataclass(frozen=True)
class TLSServer:
    """A server behind TLS, and the authority that vouches for it."""

    port: int
    authority: Path

    @property
    def url(self) -> str:
        """By the name that its certificate has."""
        return f"rediss://localhost:{self.port}/0?ssl_ca_certs={self.authority}"


@pytest.fixture(scope="session")
def redis_tls() -> Iterator[TLSServer]:
    """Give a server that speaks TLS only, as localhost."""
    from tests.servers.certificates import issue

    command = [
        *(program("redis-server"), "--port", "0", "--tls-port", "{port}", *PLAIN),
        *("--tls-cert-file", "{folder}/server.pem", "--tls-key-file", "{folder}/server.key"),
        *("--tls-ca-cert-file", "{folder}/authority.pem", "--tls-auth-clients", "no"),
    ]
    with running(command, prepare=issue) as server:
        yield TLSServer(server.port, server.folder / "authority.pem")


@dataclass
class Watched:
    """A master, its replica, and the sentinel that watches them."""

    master: ServerProcess
    replica: ServerProcess
    sentinel: ServerProcess

    @property
    def url(self) -> str:
        """The service's."""
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/themaster/0"


@contextlib.contextmanager
def watched() -> Generator[Watched]:
    """Run the three, with a sentinel that has little patience."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_process("--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(redis_process("--replicaof", f"127.0.0.1 {master.port}"))

        def prepare(folder: Path) -> None:
            lines = (
                f"sentinel monitor themaster 127.0.0.1 {master.port} 1",
                "sentinel down-after-milliseconds themaster 300",
                "sentinel failover-timeout themaster 3000",
            )
            (folder / "sentinel.conf").write_text("\n".join(lines), encoding="utf-8")

        command = [program("redis-server"), "{folder}/sentinel.conf", "--sentinel", "--port", "{port}"]
        sentinel = stack.enter_context(running(command, prepare=prepare, ready=answers))
        with contextlib.closing(speak(replica.port)) as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        with contextlib.closing(speak(sentinel.port)) as client:
            until(lambda: client.execute_command("SENTINEL REPLICAS", "themaster"))
        yield Watched(master, replica, sentinel)


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[Watched]:
    """Give a service behind a sentinel."""
    with watched() as group:
        yield group


@dataclass
class Nodes:
    """A cluster."""

    primaries: list[ServerProcess]
    replicas: list[ServerProcess]

    @property
    def url(self) -> str:
        """By way of two of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries[:2])


@contextlib.contextmanager
def clustered(*, replicas: bool = False) -> Generator[Nodes]:
    """Run a cluster of three primaries; with a replica of the first, if asked."""
    with contextlib.ExitStack() as stack:
        buses = [free_port() for _ in range(4 if replicas else 3)]
        nodes = [
            stack.enter_context(
                redis_process(
                    *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
                    *("--cluster-node-timeout", "500", "--cluster-require-full-coverage", "no"),
                    *("--repl-diskless-sync-delay", "0"),
                )
            )
            for bus in buses
        ]
        clients = [stack.enter_context(contextlib.closing(speak(node.port))) for node in nodes]
        edges = [0, 5461, 10923, 16384]
        for place, client in enumerate(clients[:3]):
            client.execute_command("CLUSTER ADDSLOTSRANGE", edges[place], edges[place + 1] - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
        for node, bus in zip(nodes[1:], buses[1:], strict=True):
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
        until(lambda: all(_settled(client, len(nodes)) for client in clients))
        if replicas:
            primary = clients[0].execute_command("CLUSTER MYID").decode()
            clients[3].execute_command("CLUSTER REPLICATE", primary)
            until(lambda: clients[3].info("replication").get("master_link_status") == "up")
            until(lambda: all(client.execute_command("CLUSTER REPLICAS", primary) for client in clients))
        yield Nodes(nodes[:3], nodes[3:])


def _settled(client: Any, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(nodes))


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Nodes]:
    """Give a cluster of three."""
    with clustered() as nodes:
        yield nodes


_AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""


def age(seconds: float, *ports: int, db: int = 0) -> None:
    """Take ``seconds`` off what every key on these servers still has to live, as if they had passed."""
    for port in ports:
        with contextlib.closing(speak(port, db)) as client:
            client.execute_command("EVAL", _AGE, 0, round(seconds * 1000))


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
