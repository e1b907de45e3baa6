"""Expired rows go away by themselves, a few at a time, and never one that was renewed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from asynccache.backends.postgres import PostgresBackend
from asynccache.backends.postgres._sweeping import GRACE_SECONDS
from asynccache.testing import FakeClock
from tests.servers.postgres import PostgresServer

LONG = 30.0
"""Seconds after which something hangs."""


class Rows:
    """A table, and what is in it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.table = f"t_{secrets.token_hex(6)}"
        self.clock = FakeClock()
        self.backends: list[PostgresBackend] = []

    def backend(self, sweep_every: int = 0) -> PostgresBackend:
        backend = PostgresBackend(
            self.server.url, table=self.table, sweep_every=sweep_every, clock=self.clock, timeout=LONG
        )
        self.backends.append(backend)
        return backend

    async def count(self) -> int:
        [row] = await self.server.query(f"SELECT count(*) FROM {self.table}")
        return int(row[0])

    async def keys(self) -> set[str]:
        rows = await self.server.query(f"SELECT key FROM {self.table}")
        return {row[0].decode() for row in rows}


@pytest_asyncio.fixture
async def rows(postgres_server: PostgresServer) -> AsyncIterator[Rows]:
    rows = Rows(postgres_server)
    yield rows
    for backend in rows.backends:
        await backend.aclose()


async def test_a_sweep_removes_what_is_dead_for_a_minute_and_nothing_else(rows: Rows) -> None:
    backend = rows.backend()
    await backend.set("expired", b"v", 10)
    await backend.set("lives", b"v", 1000)
    await backend.set("for ever", b"v")
    await backend.acquire_lease("lease alone", 10)
    await backend.set("expired but leased", b"v", 10)
    await backend.acquire_lease("expired but leased", 1000)
    assert await backend.sweep() == 0
    rows.clock.advance(10 + GRACE_SECONDS - 1)
    assert await backend.sweep() == 0  # another process, whose clock is behind, may still return it
    rows.clock.advance(1)
    assert await backend.sweep() == 2
    assert await rows.keys() == {"lives", "for ever", "expired but leased"}
    rows.clock.advance(1000)
    assert await backend.sweep() == 2
    assert await rows.keys() == {"for ever"}


async def test_a_lap_covers_tables_of_many_pages(rows: Rows) -> None:
    backend = rows.backend()
    await backend.set_many({f"dead{number}": b"v" * 100 for number in range(8000)}, 10)
    await backend.set_many({f"live{number}": b"v" * 100 for number in range(1000)})
    rows.clock.advance(10 + GRACE_SECONDS)
    assert await backend.sweep() == 8000
    assert await rows.count() == 1000


async def test_writing_sweeps_without_being_asked(rows: Rows) -> None:
    """As many writes as the table has rows make a lap at the least."""
    backend = rows.backend(sweep_every=50)
    await backend.set_many({f"dead{number}": b"v" for number in range(40)}, 10)
    rows.clock.advance(10 + GRACE_SECONDS)
    async with asyncio.timeout(20):
        while any(key.startswith("dead") for key in await rows.keys()):
            await backend.set_many({f"live{number}": b"v" for number in range(50)})
    assert len(await rows.keys()) == 50


async def test_garbage_does_not_pile_up(rows: Rows) -> None:
    """Ten thousand rows of which 250 live at a time: the table holds what a step or two remove."""
    backend = rows.backend(sweep_every=250)
    most = 0
    for turn in range(40):
        await backend.set_many({f"{turn}:{number}": b"v" * 100 for number in range(250)}, 10)
        rows.clock.advance(10 + GRACE_SECONDS)
        sweep = backend._here().sweeper._task
        if sweep is not None:
            await sweep
        most = max(most, await rows.count())
    assert most < 2500


async def test_nothing_sweeps_by_itself_where_that_is_off(rows: Rows) -> None:
    backend = rows.backend(sweep_every=0)
    await backend.set("dead", b"v", 10)
    rows.clock.advance(10 + GRACE_SECONDS)
    await backend.set_many({f"live{number}": b"v" for number in range(2000)})
    assert backend._here().sweeper.stop() is None
    assert "dead" in await rows.keys()


async def test_rows_that_somebody_holds_are_skipped_without_waiting(rows: Rows) -> None:
    backend = rows.backend()
    await backend.set_many({"held": b"v", "free": b"v"}, 10)
    rows.clock.advance(10 + GRACE_SECONDS)
    connection = await asyncpg.connect(rows.server.url)
    async with connection.transaction():
        await connection.execute(f"SELECT 1 FROM {rows.table} WHERE key = 'held' FOR UPDATE")
        assert await backend.sweep() == 1
        assert await rows.keys() == {"held"}
    await connection.close()
    assert await backend.sweep() == 1


async def test_a_row_renewed_while_it_is_swept_stays(rows: Rows) -> None:
    """Many rounds of renewing and sweeping at once: what was renewed is there, always."""
    backend, sweeper = rows.backend(), rows.backend()
    keys = [f"key{number}" for number in range(100)]
    for _ in range(10):
        await backend.set_many(dict.fromkeys(keys, b"old"), 10)
        rows.clock.advance(10 + GRACE_SECONDS)
        renewals = [backend.set(key, b"new", 10) for key in keys[::2]]
        await asyncio.gather(*renewals, sweeper.sweep(), sweeper.sweep(), sweeper.sweep())
        assert await backend.get_many(keys) == dict.fromkeys(keys[::2], b"new")


async def test_processes_share_the_work(rows: Rows) -> None:
    backends = [rows.backend() for _ in range(4)]
    await backends[0].set_many({f"dead{number}": b"v" * 100 for number in range(5000)}, 10)
    rows.clock.advance(10 + GRACE_SECONDS)
    removed = await asyncio.gather(*(backend.sweep() for backend in backends))
    assert sum(removed) <= 5000  # each row was removed once
    assert sum(removed) + await backends[0].sweep() == 5000


async def test_a_failing_sweep_is_nobodys_trouble(rows: Rows) -> None:
    backend = rows.backend(sweep_every=1)
    await backend.open()
    backend._sql.sweep = "SELECT 1 / 0"  # type: ignore[misc]  # a statement that fails
    for number in range(5):
        assert await backend.set("k", b"%d" % number)
    assert await backend.get("k") == b"4"
