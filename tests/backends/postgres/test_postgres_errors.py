"""What PostgreSQL and asyncpg raise, and what it becomes."""

from __future__ import annotations

import asyncio
import secrets

import asyncpg
import pytest

from asynccache.backends.postgres import PostgresBackend
from asynccache.backends.postgres._failures import translated
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from tests.servers.postgres import PostgresServer, eventually

LONG = 30.0
"""Seconds after which something hangs."""


@pytest.mark.parametrize(
    "error,kind",
    [
        (asyncpg.ConnectionDoesNotExistError("x"), BackendUnavailableError),
        (asyncpg.ConnectionFailureError("x"), BackendUnavailableError),
        (asyncpg.InvalidPasswordError("x"), BackendUnavailableError),
        (asyncpg.InvalidCatalogNameError("x"), BackendUnavailableError),
        (asyncpg.AdminShutdownError("x"), BackendUnavailableError),
        (asyncpg.CannotConnectNowError("x"), BackendUnavailableError),
        (asyncpg.TooManyConnectionsError("x"), BackendUnavailableError),
        (asyncpg.ReadOnlySQLTransactionError("x"), BackendUnavailableError),
        (asyncpg.InterfaceError("x"), BackendUnavailableError),
        (asyncpg.InternalClientError("x"), BackendUnavailableError),
        (ConnectionResetError("x"), BackendUnavailableError),
        (EOFError(), BackendUnavailableError),
        (RuntimeError("Event loop is closed"), BackendUnavailableError),
        (asyncpg.QueryCanceledError("x"), BackendTimeoutError),
        (asyncpg.LockNotAvailableError("x"), BackendTimeoutError),
        (TimeoutError(), BackendTimeoutError),
        # Answers of a server that lives: they do not open a circuit.
        (asyncpg.OutOfMemoryError("x"), BackendError),
        (asyncpg.DiskFullError("x"), BackendError),
        (asyncpg.InsufficientPrivilegeError("x"), BackendError),
        (asyncpg.DeadlockDetectedError("x"), BackendError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_an_error_of_the_driver_becomes_one_of_ours(error: Exception, kind: type[BackendError]) -> None:
    raised = translated(error, "some key")
    assert type(raised) is kind
    assert isinstance(raised, BackendError)
    assert raised.__cause__ is error
    assert (raised.backend, raised.key) == ("postgres", "some key")
    assert type(error).__name__ in str(raised)


@pytest.mark.parametrize("error", [TypeError(), ConfigurationError("x"), BackendError("x")])
def test_bugs_and_errors_of_ours_stay_as_they_are(error: Exception) -> None:
    assert translated(error) is error


async def test_the_servers_own_timeout_is_a_timeout(postgres_server: PostgresServer) -> None:
    """Also where a session was given another limit by somebody in between."""
    backend = PostgresBackend(postgres_server.url, table=f"t_{secrets.token_hex(6)}", timeout=LONG)
    await backend.open()
    session = backend._here()
    await session.fetch(None, "SET statement_timeout = 50")
    with pytest.raises(BackendTimeoutError, match="statement timeout"):
        await session.fetch(None, "SELECT pg_sleep(15)")
    assert await backend.get("k") is None  # the connection is as good as before
    assert len(session.connections) == 1
    await backend.aclose()


async def test_an_answer_that_is_an_error_leaves_the_connection_in_use(
    postgres_server: PostgresServer,
) -> None:
    backend = PostgresBackend(postgres_server.url, table=f"t_{secrets.token_hex(6)}", timeout=LONG)
    await backend.set("k", b"no integer")
    for _ in range(20):
        with pytest.raises(BackendError):
            await backend.incr("k")
        with pytest.raises(BackendError, match="division by zero"):
            await backend._here().fetch("k", "SELECT 1 / 0")
    assert len(backend._here().connections) == 1
    await backend.aclose()


async def test_a_deadlock_with_somebody_else_is_survived(postgres_server: PostgresServer) -> None:
    """PostgreSQL picks a victim. Where it is us, nothing was done, and we do it again."""
    table = f"t_{secrets.token_hex(6)}"
    url = f"{postgres_server.url}?application_name={table}"
    backend = PostgresBackend(url, table=table, pool_size=1, timeout=LONG)
    await backend.set_many({"a": b"1", "b": b"1"})
    # Whoever looks first while both wait is the victim: we look half a second after we began.
    await backend._here().fetch(None, "SET deadlock_timeout = '500ms'")
    [[last], [first]] = await postgres_server.query(f"SELECT key FROM {table} ORDER BY digest DESC")
    other = await asyncpg.connect(postgres_server.url)
    await other.execute("SET deadlock_timeout = '20s'")
    lock = f"SELECT 1 FROM {table} WHERE key = $1 FOR UPDATE"

    async def ours_waits() -> bool:
        sql = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
        return bool(await postgres_server.query(sql, table))

    async with other.transaction():
        await other.execute(lock, last)
        ours = asyncio.create_task(backend.set_many({"a": b"2", "b": b"2"}))
        await eventually(ours_waits)  # it holds the first row
        await other.execute(lock, first)
    assert await ours == set()
    assert await backend.get_many(["a", "b"]) == {"a": b"2", "b": b"2"}
    await other.close()
    await backend.aclose()
