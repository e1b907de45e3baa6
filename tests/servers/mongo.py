"""MongoDB for tests: a server, a replica set of one, and a server that asks for a password.

The monitor that purges expired documents is off where we start the server ourselves: what the tests say of
expiry must not depend on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from tests.servers.process import ServerProcess, running
from tests.servers.provision import program, provided

__all__ = ["MongoServer", "mongo_process"]

USER: Final = "cache user"
PASSWORD: Final = "p@ss/word:%"
_PATIENCE_SECONDS: Final = 30.0
_IDLE: Final[list[Mapping[str, Any]]] = [
    {"$currentOp": {"allUsers": True, "idleConnections": True}},
    {"$match": {"appName": "asynccache"}},
]


@dataclass(frozen=True)
class MongoServer:
    """A server that runs.

    Args:
        address: ``host:port``.
        userinfo: ``user:password@``, encoded, or empty.
        options: What its URL has behind the question mark.
    """

    address: str
    userinfo: str = ""
    options: str = ""

    @property
    def host(self) -> str:
        """Its host."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        """A URL without a database."""
        return self._url(self.address, "")

    def fresh_url(self) -> str:
        """Return a URL that names a database nobody else uses."""
        return self._url(self.address, f"test-{secrets.token_hex(6)}")

    def url_via(self, port: int) -> str:
        """Return a URL of a fresh database, by way of a proxy on ``port``."""
        return self._url(f"127.0.0.1:{port}", f"test-{secrets.token_hex(6)}")

    def _url(self, address: str, database: str) -> str:
        query = f"?{self.options}" if self.options else ""
        return f"mongodb://{self.userinfo}{address}/{database}{query}"

    def client(self) -> AsyncMongoClient[Any]:
        """Return a client of the test's own, for the running loop."""
        return AsyncMongoClient(self.url, appName="test")

    async def let_go(self) -> None:
        """Wait until no client of ours is connected any more."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while await self.connections() > 0:  # noqa: ASYNC110 - a server in another process sets no event
                await asyncio.sleep(0.02)

    async def connections(self) -> int:
        """Return how many connections the server counts that clients of ours have made."""
        async with self.client() as client:
            cursor = await client.admin.aggregate(_IDLE)
            return len(await cursor.to_list())


def at(url: str) -> MongoServer:
    """Return the description of the server behind ``url``."""
    parsed = parse_uri(url)
    [(host, port)] = parsed["nodelist"]
    query = url.partition("?")[2]
    if not parsed["username"]:
        return MongoServer(f"{host}:{port}", options=query)
    userinfo = f"{quote_plus(parsed['username'])}:{quote_plus(parsed['password'] or '')}@"
    if "authSource" not in query:
        query = f"authSource={parsed['database'] or 'admin'}&{query}".rstrip("&")
    return MongoServer(f"{host}:{port}", userinfo, query)


def answers(port: int) -> bool:
    """Return whether a server on ``port`` answers."""
    client: MongoClient[Any] = MongoClient("127.0.0.1", port, timeoutMS=500, directConnection=True)
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    finally:
        client.close()
    return True


def command(*more: str, sweeping: bool = False) -> list[str]:
    """Return how to start a server that is small, quiet and fast to start."""
    return [
        program("mongod"),
        *("--port", "{port}", "--bind_ip", "127.0.0.1", "--dbpath", "{folder}"),
        *("--unixSocketPrefix", "{folder}", "--wiredTigerCacheSizeGB", "0.25"),
        *("--setParameter", f"ttlMonitorEnabled={str(sweeping).lower()}"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "enableTestCommands=1"),
        *more,
    ]


@contextlib.contextmanager
def mongo_process(*more: str, sweeping: bool = False) -> Generator[ServerProcess]:
    """Run a server of the test's own, which it may kill or freeze."""
    with running(command(*more, sweeping=sweeping), ready=answers) as process:
        yield process


@contextlib.contextmanager
def _started() -> Generator[MongoServer]:
    with mongo_process() as process:
        yield MongoServer(f"127.0.0.1:{process.port}")


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[MongoServer]:
    """Give a server by itself."""
    url = "mongodb://{host}:{port}/"
    with provided("mongo", at=at, url=url, start=_started, programs=("mongod",)) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_replica_set() -> Iterator[MongoServer]:
    """Give a replica set of one member: it has change streams, and transactions of a kind."""
    with mongo_process("--replSet", "rs", "--oplogSize", "16") as process:
        member = {"_id": 0, "host": f"127.0.0.1:{process.port}"}
        with MongoClient[Any]("127.0.0.1", process.port, directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "rs", "members": [member]})
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline, process.output()
                time.sleep(0.05)
        yield MongoServer(f"127.0.0.1:{process.port}", options="replicaSet=rs")


@pytest.fixture(scope="session")
def mongo_with_password() -> Iterator[MongoServer]:
    """Give a server that knows one user."""
    with mongo_process("--auth") as process:
        with MongoClient[Any]("127.0.0.1", process.port) as client:  # the first user may be made from here
            roles = ["readWriteAnyDatabase", "userAdminAnyDatabase"]
            client.admin.command("createUser", USER, pwd=PASSWORD, roles=roles)
        userinfo = f"{quote_plus(USER)}:{quote_plus(PASSWORD)}@"
        yield MongoServer(f"127.0.0.1:{process.port}", userinfo, "authSource=admin")
