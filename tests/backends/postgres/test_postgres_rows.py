"""What PostgreSQL itself would get wrong: keys it cannot hold, updates that bloat, deadlocks, plans."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from hashlib import blake2b
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from asynccache import BackendError
from asynccache.backends.postgres import PostgresBackend, _session
from asynccache.backends.postgres._rows import bounds, portions
from asynccache.testing import FakeClock
from tests.servers.postgres import PostgresServer

LONG = 30.0
"""Seconds after which something hangs."""


class Fixture(PostgresBackend):
    """A store that knows its table and its clock."""

    table: str
    time: FakeClock


@pytest_asyncio.fixture
async def store(postgres_server: PostgresServer) -> AsyncIterator[Fixture]:
    time, table = FakeClock(), f"t_{secrets.token_hex(6)}"
    backend = Fixture(
        postgres_server.url, table=table, sweep_every=0, max_value_bytes=1000, clock=time, timeout=LONG
    )
    backend.time, backend.table = time, table
    await backend.open()
    yield backend
    await backend.aclose()


async def plant(server: PostgresServer, store: Fixture, key: str, other: str) -> None:
    """Store a value under ``other``, in the row that ``key`` finds: a collision of their digests."""
    digest = blake2b(key.encode(), digest_size=16).digest()
    sql = f"INSERT INTO {store.table} (digest, key, value, expires) VALUES ($1, $2, 'other', 'Infinity')"
    await server.query(sql, digest, other.encode())


async def test_of_two_keys_with_one_digest_neither_reads_or_deletes_the_others_value(
    store: Fixture, postgres_server: PostgresServer
) -> None:
    await plant(postgres_server, store, "mine", "other")
    assert await store.get("mine") is None
    assert await store.get_many(["mine"]) == {}
    assert await store.exists("mine") is False
    assert await store.touch("mine", 60) is False
    assert await store.delete("mine") is False
    assert await store.acquire_lease("mine", 60) is None
    assert await store.fill("mine", b"x", None, "token") is False
    assert len(await postgres_server.query(f"SELECT 1 FROM {store.table} WHERE value = 'other'")) == 1
    assert await store.delete_many(["mine"]) == set()


@pytest.mark.parametrize("how", ["set", "set_many", "add", "incr"])
async def test_of_two_keys_with_one_digest_the_last_written_is_there(
    store: Fixture, postgres_server: PostgresServer, how: str
) -> None:
    await plant(postgres_server, store, "mine", "other")
    if how == "set":
        await store.set("mine", b"1")
    elif how == "set_many":
        await store.set_many({"mine": b"1"})
    elif how == "add":
        assert await store.add("mine", b"1") is True
    else:
        assert await store.incr("mine") == 1
    assert await store.get("mine") == b"1"


async def test_updates_are_hot(store: Fixture, postgres_server: PostgresServer) -> None:
    """Setting, counting, touching and leasing again leave the indexes alone and pile up no pages."""
    keys = [f"key{number}" for number in range(200)]
    for _ in range(5):
        await store.set_many(dict.fromkeys(keys, b"v" * 300), ttl=60)
        for key in keys[:20]:
            await store.set(key, b"w" * 300, ttl=30)
            await store.touch(key, 60)
            token = await store.acquire_lease(key, 60)
            assert token
            await store.fill(key, b"x" * 300, 60, token)
    for _ in range(50):
        await store.incr("n")
    await store.aclose()  # a session reports what it did when it ends
    row = (0, 0, 0)
    for _ in range(100):
        [row] = await postgres_server.query(
            "SELECT n_tup_upd, n_tup_hot_upd, pg_relation_size(relid) FROM pg_stat_user_tables"
            " WHERE relname = $1",
            store.table,
        )
        if row[0] >= 4 * 200 + 5 * 80 + 49:
            break
        await asyncio.sleep(0.05)
    assert row[0] == 4 * 200 + 5 * 80 + 49
    assert row[1] / row[0] > 0.9
    assert row[2] < 60 * 8192


async def test_writers_of_the_same_keys_in_any_order_do_not_deadlock(
    store: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL would take a second to notice, longer than anybody waits."""
    monkeypatch.setattr(_session, "_ATTEMPTS", 1)  # a deadlock is to show
    keys = [f"key{number}" for number in range(50)]

    async def work(task: int) -> None:
        for step in range(10):
            mine = keys[task:] + keys[:task]
            if task % 2:
                mine.reverse()
            if (task + step) % 3:
                await store.set_many(dict.fromkeys(mine, b"v"))
            elif step % 2:
                await store.delete_many(mine)
            else:
                await store.clear("key")

    await asyncio.gather(*map(work, range(20)))


@pytest.mark.parametrize(
    "value", [b"007", b"+1", b" 1", b"1 ", b"1\n", b"0x1", b"1_0", b"1e3", b"\x001", b"\\061"]
)
async def test_only_what_reads_as_a_plain_decimal_is_counted_on(store: Fixture, value: bytes) -> None:
    await store.set("k", value)
    with pytest.raises(BackendError, match="not an integer"):
        await store.incr("k")
    assert await store.get("k") == value


async def test_counters_stay_within_64_bits(store: Fixture) -> None:
    await store.set("n", b"%d" % (2**63 - 1))
    with pytest.raises(BackendError, match="out of range"):
        await store.incr("n")
    assert await store.get("n") == b"%d" % (2**63 - 1)
    for delta in (2**63, -(2**63) - 1):
        with pytest.raises(BackendError, match="delta does not fit"):
            await store.incr("n", delta)
    with pytest.raises(BackendError, match="the result does not fit"):
        await store.incr("absent", 1, initial=2**63 - 1)
    assert await store.get("absent") is None
    assert await store.exists("absent") is False
    await store.set("there", b"1")
    assert await store.incr("there", 1, initial=2**63 - 1) == 2


async def test_an_expired_counter_starts_again_with_its_new_life(store: Fixture) -> None:
    assert await store.incr("n", 5, ttl=1.0) == 5
    store.time.advance(1.0)
    assert await store.incr("n", 2, initial=10, ttl=3.0) == 12
    store.time.advance(3.0)
    assert await store.get("n") is None


async def test_counting_voids_a_lease(store: Fixture) -> None:
    await store.set("n", b"1")
    token = await store.acquire_lease("n", 60)
    assert token
    await store.incr("n")
    assert await store.fill("n", b"outdated", None, token) is False
    assert await store.get("n") == b"2"


async def test_what_is_too_large_is_refused_and_the_old_value_is_gone(store: Fixture) -> None:
    large = b"x" * 1001
    await store.set_many({"a": b"old", "b": b"old", "c": b"old"})
    assert await store.set("a", large) is False
    assert await store.set_many({"b": large, "c": b"new"}) == {"b"}
    assert await store.add("d", large) is False
    token = await store.acquire_lease("c", 60)
    assert token
    assert await store.fill("c", large, None, "stranger") is False
    assert await store.get("c") == b"new"
    assert await store.fill("c", large, None, token) is False
    assert await store.get_many(["a", "b", "c", "d"]) == {}


async def test_prefixes_longer_than_what_is_indexed_are_exact(store: Fixture) -> None:
    """The index holds 64 bytes of a key, and may cut a character in two."""
    for prefix in ("é" * 40, "x" + "é" * 40, "p" * 64, "p" * 65, "😀" * 17):
        inside = [prefix, prefix + "a", prefix + "\U0010ffff"]
        outside = [prefix[:-1], prefix[:-1] + "a", "z" + prefix]
        await store.set_many(dict.fromkeys(inside + outside, b"v"))
        await store.clear(prefix)
        assert set(await store.get_many(inside + outside)) == set(outside)
        await store.delete_many(outside)


def test_bounds_enclose_what_starts_with_the_prefix_and_nothing_else() -> None:
    for prefix in ("a", "é", "\x7f", "\U0010ffff"):
        low, high = bounds(prefix.encode())
        assert low <= prefix.encode() < high
        assert low <= (prefix + "\U0010ffff" * 3).encode() < high
        assert not low <= chr(ord(prefix[0]) - 1).encode() + b"\xf4\x8f" < high


async def test_clear_finds_its_rows_by_index_and_reads_by_digest(
    store: Fixture, postgres_server: PostgresServer
) -> None:
    """Also in the plans that a server keeps, made while the table was empty."""
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute("SET plan_cache_mode = force_generic_plan")

    async def scans(sql: str, types: str, arguments: str) -> set[str]:
        await connection.execute(f"PREPARE p ({types}) AS {sql}")
        [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE p ({arguments})")
        await connection.execute("DEALLOCATE p")
        return {node["Node Type"] for node in _nodes(json.loads(plan)[0]["Plan"]) if "Relation Name" in node}

    sql = store._sql
    indexed = {"Index Scan", "Bitmap Heap Scan"}
    assert await scans(sql.get, "bytea, bytea, float8", "'', '', 1") <= indexed
    assert await scans(sql.get_many, "bytea[], float8", "'{}', 1") <= indexed
    found = await scans(sql.clear, "bytea, bytea, bytea, bytea, bigint", "'', '', '', '', 1000")
    assert "Bitmap Heap Scan" in found or "Index Scan" in found
    swept = await scans(sql.sweep, "tid, tid, float8, bigint", "'(0,0)', '(64,0)', 1, 1000")
    assert "Tid Range Scan" in swept
    await connection.close()


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


async def test_a_bulk_larger_than_a_statement_arrives_whole(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(postgres_server.url, table=f"t_{secrets.token_hex(6)}", timeout=30.0)
    items = {f"k{number}": bytes([number]) * 7_000_000 for number in range(3)}
    assert await backend.set_many(items) == set()
    found = await backend.get_many(list(items))
    assert {key: (len(value), value[:1]) for key, value in found.items()} == {
        key: (len(value), value[:1]) for key, value in items.items()
    }
    await backend.aclose()


def test_portions_keep_order_and_lose_nothing() -> None:
    rows = [(b"%d" % number, b"k", b"v" * (number % 7) * 2**20) for number in range(40)]
    split = portions(rows)
    assert [row for portion in split for row in portion] == rows
    assert all(sum(len(row[2]) for row in portion) <= 16 * 2**20 for portion in split)
    assert len(split) == pytest.approx(117 / 16, abs=2)
    assert portions([(b"d", b"k", b"v" * 20 * 2**20)]) == [[(b"d", b"k", b"v" * 20 * 2**20)]]
    assert portions([]) == []


async def test_neighbours_in_the_database_survive_everything(
    store: Fixture, postgres_server: PostgresServer
) -> None:
    """Rows of another store's table, and tables of others, with the same keys."""
    other = PostgresBackend(postgres_server.url, table=f"{store.table}_2", clock=store.time, timeout=LONG)
    await postgres_server.query(f"CREATE TABLE {store.table}_3 (key bytea)")
    await postgres_server.query(f"INSERT INTO {store.table}_3 VALUES ('app:k')")
    for backend in (store, other):
        await backend.set("app:k", b"v", 10)
        await backend.set("bpp:k", b"v")
    await store.clear("app:")
    store.time.advance(100)
    await store.sweep()
    await store.delete("app:k")
    assert await store.get("bpp:k") == b"v"
    rows = await postgres_server.query(
        f"SELECT (SELECT count(*) FROM {store.table}_2), (SELECT count(*) FROM {store.table}_3)"
    )
    assert tuple(rows[0]) == (2, 1)
    await other.aclose()


async def test_health_describes_the_server_and_the_table(store: Fixture) -> None:
    await store.set("k", b"v")
    health = await store.health()
    assert health.healthy
    assert health.backend_type == "postgres"
    details = health.details
    assert details["server_version"][0].isdigit()
    assert (details["role"], details["persistence"]) == ("primary", "unlogged")
    assert details["bytes"] >= 8192
    assert {"entries", "dead_rows", "updates", "hot_updates", "last_autovacuum"} <= set(details)
    assert details["connections"] >= 1
