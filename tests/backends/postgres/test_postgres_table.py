"""The table: made once, migrated, healed, refused; whatever its name is."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from asynccache import BackendUnavailableError
from asynccache.backends.postgres import PostgresBackend
from asynccache.backends.postgres._schema import STEPS, ensure
from asynccache.backends.postgres._table import Table
from tests.servers.postgres import PostgresProcess, PostgresServer

LONG = 30.0
"""Seconds after which something hangs."""


def fresh() -> str:
    return f"t_{secrets.token_hex(6)}"


@asynccontextmanager
async def opened(server: PostgresServer, table: str, **options: object) -> AsyncGenerator[PostgresBackend]:
    backend = PostgresBackend(server.url, table=table, timeout=LONG, **options)  # type: ignore[arg-type]  # any
    try:
        await backend.open()
        yield backend
    finally:
        await backend.aclose()


async def persistence(server: PostgresServer, table: str) -> str:
    rows = await server.query("SELECT relpersistence FROM pg_class WHERE relname = $1", table)
    return str(rows[0][0].decode())


async def test_processes_that_start_together_make_one_table(postgres_server: PostgresServer) -> None:
    table = fresh()
    script = (
        "import asyncio, sys\n"
        "from asynccache.backends.postgres import PostgresBackend\n"
        "async def main():\n"
        "    backend = PostgresBackend(sys.argv[1], table=sys.argv[2], schema=sys.argv[2], timeout=30.0)\n"
        "    sys.stdin.readline()\n"
        "    await backend.open()\n"
        "    await backend.set(sys.argv[3], b'v')\n"
        "    await backend.aclose()\n"
        "asyncio.run(main())\n"
    )
    pipe = asyncio.subprocess.PIPE
    arguments = ("-W", "error", "-c", script, postgres_server.url, table)
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, str(n), stdin=pipe, stderr=pipe)
        for n in range(3)
    ]
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [error for _, error in outputs] == [b""] * 3
    async with opened(postgres_server, table, schema=table) as backend:
        assert await backend.get_many(["0", "1", "2"]) == {"0": b"v", "1": b"v", "2": b"v"}


async def test_twenty_stores_that_open_together_make_one_table(postgres_server: PostgresServer) -> None:
    table = fresh()
    backends = [  # with its schema or without, it is the same table
        PostgresBackend(postgres_server.url, table=table, schema=schema, pool_size=1, timeout=LONG)
        for schema in ("public", None) * 10
    ]
    await asyncio.gather(*(backend.open() for backend in backends))
    await backends[0].set("k", b"v")
    assert await asyncio.gather(*(backend.get("k") for backend in backends)) == [b"v"] * 20
    await asyncio.gather(*(backend.aclose() for backend in backends))


async def test_without_open_the_first_use_makes_the_table(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=fresh(), timeout=LONG)
    assert await asyncio.gather(*(backend.get("k") for _ in range(30))) == [None] * 30
    await backend.aclose()


async def test_a_dropped_table_is_made_again(postgres_server: PostgresServer) -> None:
    table = fresh()
    async with opened(postgres_server, table) as backend:
        await backend.set("k", b"v")
        await postgres_server.query(f"DROP TABLE {table}")
        assert await backend.get("k") is None
        await postgres_server.query(f"DROP TABLE {table}")
        assert await backend.incr("n") == 1


@pytest.mark.parametrize("before", [True, False])
async def test_a_table_becomes_logged_or_unlogged_and_keeps_its_rows(
    postgres_process: PostgresProcess, before: bool
) -> None:
    table = fresh()
    async with opened(postgres_process, table, unlogged=before) as backend:
        await backend.set("k", b"v" * 5000)
        assert await persistence(postgres_process, table) == ("u" if before else "p")
        async with opened(postgres_process, table, unlogged=not before) as changed:
            assert await persistence(postgres_process, table) == ("p" if before else "u")
            assert await changed.get("k") == b"v" * 5000
        assert await backend.get("k") == b"v" * 5000  # who was there before goes on


async def test_a_later_layout_is_refused_and_named(postgres_server: PostgresServer) -> None:
    table = fresh()
    async with opened(postgres_server, table) as backend:
        await backend.set("k", b"v")
    await postgres_server.query(f"COMMENT ON TABLE {table} IS 'asynccache cache store, layout 99'")
    backend = PostgresBackend(postgres_server.url, table=table, timeout=LONG)
    with pytest.raises(BackendUnavailableError, match=r"later version of asynccache \(layout 99"):
        await backend.open()
    with pytest.raises(BackendUnavailableError, match="layout 99"):
        await backend.get("k")
    await backend.aclose()


async def test_migrations_run_once_each_in_order(postgres_server: PostgresServer) -> None:
    """As they will when the layout first changes: two versions at once, an older one refused afterwards."""
    table = Table(fresh())
    later = (*STEPS, ("ALTER TABLE {table} ADD COLUMN a int DEFAULT 1",), ("ALTER TABLE {table} ADD b int",))
    async with opened(postgres_server, table.name) as backend:
        await backend.set("k", b"v")

    async def migrate() -> int:
        connection = await asyncpg.connect(postgres_server.url)
        try:
            state = await ensure(connection, table, unlogged=True, timeout=10.0, steps=later)
        finally:
            await connection.close()
        return state.layout

    assert await asyncio.gather(*(migrate() for _ in range(4))) == [3] * 4
    [row] = await postgres_server.query(f"SELECT a, b, value FROM {table}")
    assert tuple(row) == (1, None, b"v")
    older = PostgresBackend(postgres_server.url, table=table.name, timeout=LONG)
    with pytest.raises(BackendUnavailableError, match=r"layout 3, this one knows 1"):
        await older.open()
    await older.aclose()


async def test_a_migration_that_fails_leaves_everything_as_it_was(postgres_server: PostgresServer) -> None:
    table = Table(fresh())
    broken = (*STEPS, ("ALTER TABLE {table} ADD COLUMN a int", "ALTER TABLE {table} ADD COLUMN a int"))
    connection = await asyncpg.connect(postgres_server.url)
    await ensure(connection, table, unlogged=True, timeout=10.0)
    with pytest.raises(asyncpg.DuplicateColumnError):
        await ensure(connection, table, unlogged=True, timeout=10.0, steps=broken)
    state = await ensure(connection, table, unlogged=True, timeout=10.0)
    await connection.close()
    assert state.layout == 1


async def test_somebody_elses_table_is_left_alone(postgres_server: PostgresServer) -> None:
    table = fresh()
    await postgres_server.query(f"CREATE TABLE {table} (digest bytea, key bytea)")
    await postgres_server.query(f"INSERT INTO {table} VALUES ('a', 'b')")
    backend = PostgresBackend(postgres_server.url, table=table, timeout=LONG)
    with pytest.raises(BackendUnavailableError, match=r"not a table of asynccache: choose another name"):
        await backend.set("k", b"v")
    await backend.aclose()
    assert len(await postgres_server.query(f"SELECT * FROM {table}")) == 1


@pytest.mark.parametrize(
    "name",
    [
        'a"b',
        'x"; DROP TABLE victim; --',
        "a.b",
        "SELECT",
        "UPPER lower",
        "é😀",
        "x" * 63,
        "'",
        "\\",
        "$1",
        "%s",
        "{table}",
        "{live}",
        "\n",
    ],
    ids=ascii,
)
async def test_any_name_is_only_a_name(postgres_server: PostgresServer, name: str) -> None:
    """Every operation works on a table and in a schema of that name, and touches nothing else."""
    await postgres_server.query("CREATE TABLE IF NOT EXISTS victim (x int)")
    async with opened(postgres_server, name, schema=name, sweep_every=1) as backend:
        await backend.clear("k")
        assert await backend.add("k", b"v")
        assert await backend.touch("k", 60)
        assert await backend.exists("k")
        assert await backend.get_many(["k"]) == {"k": b"v"}
        await backend.set_many({"k": b"1", "kk": b"2"})
        assert await backend.incr("k") == 2
        token = await backend.acquire_lease("k", 60)
        assert token is not None
        assert await backend.fill("k", b"w", 60, token)
        await backend.release_lease("k", token)
        assert await backend.delete_many(["k"]) == {"k"}
        assert await backend.delete("kk")
        assert await backend.sweep() == 0
        await backend.publish(b"m")
        assert (await backend.health()).details["bytes"] > 0
    rows = await postgres_server.query(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = $1 AND relkind = 'r'",
        name,
    )
    assert [row[0] for row in rows] == [name]
    assert await postgres_server.query("SELECT to_regclass('victim') IS NOT NULL AS there")


async def test_a_role_that_may_not_create_works_on_a_table_that_is_there(
    postgres_process: PostgresProcess,
) -> None:
    table = fresh()
    async with opened(postgres_process, table):
        pass
    await postgres_process.query(f"CREATE ROLE {table} LOGIN")
    await postgres_process.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await postgres_process.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {table}")
    url = postgres_process.url.replace("asynccache@", f"{table}@")
    backend = PostgresBackend(url, table=table, timeout=LONG)
    await backend.open()
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    await backend.aclose()
    other = PostgresBackend(url, table=fresh(), timeout=LONG)
    with pytest.raises(BackendUnavailableError, match=r"permission denied for schema public"):
        await other.open()
    await other.aclose()


async def test_the_schema_may_come_from_the_search_path(postgres_server: PostgresServer) -> None:
    schema = fresh()
    await postgres_server.query(f"CREATE SCHEMA {schema}")
    backend = PostgresBackend(f"{postgres_server.url}?search_path={schema}", table="cache", timeout=LONG)
    await backend.set("k", b"v")
    await backend.aclose()
    rows = await postgres_server.query(f"SELECT value FROM {schema}.cache")
    assert [row[0] for row in rows] == [b"v"]


async def test_no_index_holds_what_updates_change(postgres_server: PostgresServer) -> None:
    table = fresh()
    async with opened(postgres_server, table):
        rows = await postgres_server.query("SELECT indexdef FROM pg_indexes WHERE tablename = $1", table)
    assert len(rows) == 2
    assert not [row[0] for row in rows if re.search("expires|lease_until|token|value", row[0])]
