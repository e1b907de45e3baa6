"""The bus over LISTEN and NOTIFY: any bytes, any length, between processes, and its end is heard."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from asynccache import BackendUnavailableError
from asynccache.backends.postgres import PostgresBackend
from asynccache.backends.postgres._bus import Inbox, channel, parts
from asynccache.errors import BackendError
from asynccache.protocols import SupportsInvalidationBus
from tests.servers.postgres import PostgresServer, eventually
from tests.servers.proxy import Proxy

LONG = 20.0


class Ear:
    """A subscription, read in a task."""

    def __init__(self, backend: PostgresBackend) -> None:
        self.heard: list[bytes] = []
        self.task = asyncio.create_task(self._listen(backend))

    async def _listen(self, backend: PostgresBackend) -> None:
        async for message in backend.subscribe():
            self.heard.append(message)

    async def hears(self, backend: PostgresBackend, message: bytes) -> None:
        """Publish until it is heard: a subscription takes a moment to be in place."""
        async with asyncio.timeout(LONG):
            while message not in self.heard and not self.task.done():
                await backend.publish(message)
                await asyncio.sleep(0.02)

    async def until(self, count: int) -> None:
        await eventually(lambda: len(self.heard) >= count or self.task.done())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


@pytest_asyncio.fixture
async def backend(postgres_server: PostgresServer) -> AsyncIterator[PostgresBackend]:
    backend = PostgresBackend(postgres_server.url, table=f"t_{secrets.token_hex(6)}", timeout=LONG)
    yield backend
    await backend.aclose()


async def test_messages_of_any_length_arrive_whole_and_in_order(backend: PostgresBackend) -> None:
    """A notification has room for 7999 bytes; equal parts of one message must not be merged."""
    ear = Ear(backend)
    await ear.hears(backend, b"ready")
    ear.heard.clear()
    messages = [b"", b"\x00", bytes(range(256)), b"x" * 6319, b"x" * 6320, b"x" * 6321, b"\x00" * 100_000]
    for message in messages:
        await backend.publish(message)
    await ear.until(len(messages))
    assert [message for message in ear.heard if message != b"ready"] == messages
    await ear.stop()


async def test_publishers_at_once_do_not_mix_their_parts(backend: PostgresBackend) -> None:
    ear = Ear(backend)
    await ear.hears(backend, b"ready")
    ear.heard.clear()
    messages = [bytes([number]) * 30_000 for number in range(20)]
    await asyncio.gather(*map(backend.publish, messages))
    await ear.until(20)
    assert sorted(message for message in ear.heard if message != b"ready") == messages
    await ear.stop()


async def test_only_those_who_share_the_table_hear_each_other(
    backend: PostgresBackend, postgres_server: PostgresServer
) -> None:
    same = PostgresBackend(postgres_server.url, table=backend._table.name, schema="public", timeout=LONG)
    other = PostgresBackend(postgres_server.url, table=f"{backend._table.name}_2", timeout=LONG)
    ear, deaf = Ear(same), Ear(other)  # `public` is where the search path leads as well
    await deaf.hears(other, b"ready")
    await ear.hears(backend, b"message")
    assert b"message" not in deaf.heard
    for listener in (ear, deaf):
        await listener.stop()
    await same.aclose()
    await other.aclose()


async def test_a_lost_connection_ends_the_subscription_with_an_error(
    backend: PostgresBackend, postgres_server: PostgresServer
) -> None:
    async with Proxy(postgres_server.port) as proxy:
        remote = PostgresBackend(postgres_server.url_via(proxy.port), table=backend._table.name, timeout=LONG)
        ear = Ear(remote)
        await ear.hears(backend, b"ready")
        proxy.reset()
        async with asyncio.timeout(LONG):
            with pytest.raises(BackendUnavailableError, match="the bus is lost"):
                await ear.task
        again = Ear(remote)
        await again.hears(backend, b"again")
        await again.stop()
        await remote.aclose()


async def test_a_connection_that_fell_silent_is_noticed(
    backend: PostgresBackend, postgres_server: PostgresServer
) -> None:
    async with Proxy(postgres_server.port) as proxy:
        remote = PostgresBackend(postgres_server.url_via(proxy.port), table=backend._table.name, timeout=1.0)
        remote._heartbeat = 0.05
        ear = Ear(remote)
        await ear.hears(backend, b"ready")
        await asyncio.sleep(0.2)
        assert not ear.task.done()  # the server answers the heartbeats
        proxy.freeze()
        async with asyncio.timeout(LONG):
            with pytest.raises(BackendError):
                await ear.task
        await remote.aclose()


async def test_closing_the_store_ends_its_subscriptions(backend: PostgresBackend) -> None:
    ear = Ear(backend)
    await ear.hears(backend, b"ready")
    await backend.aclose()
    async with asyncio.timeout(LONG):
        with pytest.raises(BackendUnavailableError):
            await ear.task


async def test_a_subscriber_that_leaves_gives_back_its_connection(
    backend: PostgresBackend, postgres_server: PostgresServer
) -> None:
    await backend.open()
    before = await postgres_server.connections()
    ears = [Ear(backend) for _ in range(3)]
    for ear in ears:
        await ear.hears(backend, b"ready")
    assert await postgres_server.connections() >= before + 3
    for ear in ears:
        await ear.stop()
    await postgres_server.at_most(before)


async def test_strangers_on_the_channel_are_ignored(
    backend: PostgresBackend, postgres_server: PostgresServer
) -> None:
    ear = Ear(backend)
    await ear.hears(backend, b"ready")
    ear.heard.clear()
    name = channel("public", backend._table.name)
    for payload in ("", "hello", "1", "0.\x7f", "x.abc", "0. "):
        await postgres_server.query("SELECT pg_notify($1, $2)", name, payload)
    await ear.hears(backend, b"message")
    assert set(ear.heard) <= {b"ready", b"message"}
    await ear.stop()


async def test_what_is_no_bytes_is_not_published(backend: PostgresBackend) -> None:
    message: object = "text"
    with pytest.raises(TypeError, match="message must be bytes"):
        await backend.publish(message)  # type: ignore[arg-type]  # what is tested


async def test_a_reader_far_behind_is_told_that_it_missed_some() -> None:
    inbox = Inbox()
    for number in range(10_001):
        for part in parts(b"%d" % number):
            inbox.hear(None, 1, "channel", part)
    with pytest.raises(BackendError, match="fell behind"):
        await inbox.take(1.0)


async def test_what_arrived_before_the_loss_is_delivered_first() -> None:
    inbox = Inbox()
    inbox.hear(None, 1, "channel", parts(b"m")[0])
    inbox.lost(None)
    assert await inbox.take(1.0) == [b"m"]
    with pytest.raises(BackendUnavailableError):
        await inbox.take(1.0)


def test_a_part_always_fits_into_a_notification() -> None:
    for size in (0, 1, 6319, 6320, 6321, 1_000_000):
        assert all(len(part) < 8000 and part.isascii() for part in parts(b"\xff" * size))


def test_through_pgbouncer_there_is_no_bus() -> None:
    backend = PostgresBackend("postgresql://db", pgbouncer=True)
    assert not isinstance(backend, SupportsInvalidationBus)
    assert type(backend).__name__ == "PostgresBackend"
    assert isinstance(PostgresBackend("postgresql://db"), SupportsInvalidationBus)
