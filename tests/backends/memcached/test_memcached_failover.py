"""Several servers: who takes over, who takes back, and that nothing outdated returns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from random import Random

import pytest
import pytest_asyncio

from asynccache import MemcachedBackend
from asynccache.backends.memcached._connection import Connection
from asynccache.backends.memcached._keys import AWAY_MARK, HOME_MARK
from asynccache.backends.memcached._lane import Lane
from asynccache.backends.memcached._server import Server
from asynccache.errors import BackendError, BackendUnavailableError
from tests.servers.memcached import MemcachedServer
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy

PATIENCE = 20.0


class Cluster:
    """Two servers behind proxies, as one process sees them, and how another process does.

    Args:
        servers: The servers.
        proxies: In front of them.
    """

    def __init__(self, servers: tuple[MemcachedServer, ...], proxies: list[Proxy]) -> None:
        self.servers = servers
        self.proxies = proxies
        self.store = self.client()

    def client(self) -> MemcachedBackend:
        """Return another process's store behind the same proxies."""
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)
        return MemcachedBackend(f"memcached://{hosts}", retry_seconds=0.02)

    @property
    def lane(self) -> Lane:
        return self.store._lane()

    def home(self, key: str) -> int:
        """Return which server ``key`` belongs to."""
        return self.lane._ring.home(key.encode())

    def key_at(self, place: int, mark: str) -> str:
        """Return a key that belongs to the server at ``place``."""
        return next(key for number in range(1000) if self.home(key := f"{mark}{number}") == place)

    def cut(self, place: int) -> None:
        """Take a server out of reach."""
        self.proxies[place].refuse = True
        self.proxies[place].reset()

    async def heal(self, place: int, store: MemcachedBackend | None = None) -> None:
        """Bring it back, and wait until it is used again."""
        self.proxies[place].refuse = False
        server = (store or self.store)._lane().servers[place]
        async with asyncio.timeout(PATIENCE):
            while server.down:
                await (store or self.store).get(self.key_at(place, "probe"))
                await asyncio.sleep(0.005)

    async def there(self, place: int, key: str) -> bool:
        """Return whether the server at ``place`` has anything under ``key``, readable or not."""
        return b"VALUE" in await self.servers[place].ask(f"get {key}\r\n".encode(), b"END\r\n")


@pytest_asyncio.fixture
async def cluster(memcached_servers: tuple[MemcachedServer, ...]) -> AsyncIterator[Cluster]:
    """Give two servers behind proxies."""
    async with AsyncExitStack() as stack:
        servers = memcached_servers[:2]
        proxies = [await stack.enter_async_context(Proxy(server.port)) for server in servers]
        cluster = Cluster(servers, proxies)
        stack.push_async_callback(cluster.store.aclose)
        yield cluster


async def test_keys_are_shared_and_read_from_all(cluster: Cluster, mark: str) -> None:
    items = {f"{mark}{number}": b"%d" % number for number in range(100)}
    await cluster.store.set_many(items)

    assert await cluster.store.get_many(list(items)) == items
    for key in items:
        assert [await cluster.there(place, key) for place in (0, 1)] == [
            cluster.home(key) == place for place in (0, 1)
        ]
    assert await cluster.store.delete_many(list(items)) == set(items)


async def test_a_server_that_is_down_costs_its_values_and_no_errors(cluster: Cluster, mark: str) -> None:
    """Every operation goes on, with the other server."""
    store, key = cluster.store, cluster.key_at(0, mark)
    await store.set(key, b"lost")
    cluster.cut(0)

    assert await store.get(key) is None
    assert await store.get_many([key]) == {}
    assert await store.set(key, b"v") is True
    assert await store.get(key) == b"v"
    assert await store.get_many([key]) == {key: b"v"}
    assert await store.touch(key, 60.0) is True
    assert await store.exists(key) is True
    assert await store.add(key, b"w") is False
    assert await store.delete(key) is True
    assert await store.incr(key, 5) == 5
    assert await store.set_many({key: b"1"}) == set()
    assert await store.delete_many([key]) == {key}
    token = await store.acquire_lease(key, 10.0)
    assert token is not None
    assert await store.fill(key, b"filled", None, token) is True
    held = await store.get_versioned(key)
    assert held is not None
    assert await store.compare_and_swap(key, b"swapped", None, held[1]) is True
    assert await store.get(key) == b"swapped"
    health = await store.health()
    assert (health.healthy, health.details["servers_reachable"]) == (True, 1)


async def test_nobody_left(cluster: Cluster, mark: str) -> None:
    """Errors, at once, and recovery as soon as one of them answers."""
    await cluster.store.set(mark + "k", b"v")
    cluster.cut(0)
    cluster.cut(1)
    for _ in range(3):
        with pytest.raises(BackendUnavailableError):
            await cluster.store.set(mark + "k", b"w")
        with pytest.raises(BackendUnavailableError):
            await cluster.store.get_many([mark + "k", mark + "l"])
    assert (await cluster.store.health()).healthy is False
    with pytest.raises(BackendUnavailableError):
        await cluster.store.open()
    cluster.proxies[1].refuse = False

    assert await cluster.store.set(mark + "k", b"x") is True
    assert await cluster.store.get(mark + "k") == b"x"


async def test_open_is_content_with_one_server(cluster: Cluster) -> None:
    cluster.cut(0)
    await cluster.store.open()
    assert [server.down for server in cluster.lane.servers] == [True, False]


@pytest.mark.parametrize("how", ["set", "delete", "set_many", "delete_many", "add", "incr", "fill", "touch"])
async def test_what_was_replaced_elsewhere_does_not_come_back(cluster: Cluster, mark: str, how: str) -> None:
    """A server that returns with old values starts empty: for us, and for who never saw it leave."""
    store, key = cluster.store, cluster.key_at(0, mark)
    neighbour = cluster.key_at(1, mark)
    other = MemcachedBackend(f"memcached://{','.join(f'127.0.0.1:{p.port}' for p in cluster.proxies)}")
    await store.set(key, b"1")
    await store.set(neighbour, b"stays")
    assert await other.get(key) == b"1"
    direct = MemcachedServer(f"memcached://127.0.0.1:{cluster.servers[0].port}")
    await direct.ask(f"set {mark}foreign 0 0 1\r\nf\r\n".encode())
    cluster.cut(0)
    match how:
        case "set":
            await store.set(key, b"2")
        case "delete":
            await store.delete(key)
        case "set_many":
            await store.set_many({key: b"2"})
        case "delete_many":
            await store.delete_many([key])
        case "add":
            await store.add(key, b"2")
        case "incr":
            await store.incr(key, 2)
        case "fill":
            token = await store.acquire_lease(key, 10.0)
            assert token is not None
            await store.fill(key, b"2", None, token)
        case _:
            await store.touch(key, 60.0)
    await cluster.heal(0)

    assert await store.get(key) is None
    assert await other.get(key) is None
    assert await store.get(neighbour) == b"stays"
    assert b"\r\nf\r\n" in await direct.ask(f"get {mark}foreign\r\n".encode(), b"END\r\n")
    assert await store.set(key, b"3") is True
    assert await other.get(key) == b"3"
    assert await cluster.there(0, key)
    await other.aclose()


async def test_what_was_kept_meanwhile_does_not_come_back_in_the_next_outage(
    cluster: Cluster, mark: str
) -> None:
    """The other server's copies from the first outage are outdated in the second."""
    store, key = cluster.store, cluster.key_at(0, mark)
    cluster.cut(0)
    await store.set(key, b"first outage")
    await cluster.heal(0)
    await store.set(key, b"at home")
    assert await cluster.there(1, key)
    cluster.cut(0)

    assert await store.get(key) is None
    assert await store.get_many([key]) == {}
    assert await store.add(key, b"second outage") is True


async def test_writes_wait_for_a_server_that_is_returning(cluster: Cluster, mark: str) -> None:
    """What is written elsewhere while it is being told what it missed would be missed again; reads go on."""
    store, key = cluster.store, cluster.key_at(0, mark)
    cluster.cut(0)
    await store.set(key, b"meanwhile")
    server = cluster.lane.servers[0]
    told, gate = server._on_return, asyncio.Event()

    async def slowly(server: Server, connection: Connection) -> None:
        await gate.wait()
        await told(server, connection)

    server._on_return = slowly
    cluster.proxies[0].refuse = False
    async with asyncio.timeout(PATIENCE):
        while not server.returning:
            assert await store.get(key) == b"meanwhile"
        writes = [asyncio.ensure_future(call) for call in (store.delete(key), store.set_many({key: b"v"}))]
        await asyncio.sleep(0.05)
        assert not any(write.done() for write in writes)
        assert await store.get(key) == b"meanwhile"
        gate.set()
        await asyncio.gather(*writes)

    assert not server.down
    assert await store.get(key) in {b"v", None}
    assert not await cluster.there(0, key) or await store.get(key) == b"v"


async def test_two_servers_leave_one_after_the_other(cluster: Cluster, mark: str) -> None:
    """Copies on a server that was itself out of reach when the first one returned."""
    store, key = cluster.store, cluster.key_at(0, mark)
    cluster.cut(0)
    await store.set(key, b"outdated")  # on server 1
    cluster.cut(1)
    with pytest.raises(BackendUnavailableError):
        await store.set(key, b"nowhere")
    await cluster.heal(0)
    await store.set(key, b"at home")
    await cluster.heal(1)
    cluster.cut(0)

    assert await store.get(key) is None


async def test_an_outage_in_which_nothing_was_written_costs_nothing(cluster: Cluster, mark: str) -> None:
    """Who only read had nothing to lose: the values are still there."""
    store, key = cluster.store, cluster.key_at(0, mark)
    await store.set(key, b"v")
    cluster.cut(0)
    for _ in range(5):
        assert await store.get(key) is None
    await cluster.heal(0)

    assert await store.get(key) == b"v"


async def test_a_connection_that_can_be_made_again_is_no_outage(cluster: Cluster, mark: str) -> None:
    store, key = cluster.store, cluster.key_at(0, mark)
    await store.set(key, b"v")
    for _ in range(3):
        cluster.proxies[0].reset()
        assert await store.set(mark + "other", b"w") is True
        assert await store.get(key) == b"v"


@pytest.mark.parametrize("name", [HOME_MARK, AWAY_MARK])
async def test_a_lost_mark_costs_the_values_and_nothing_else(
    cluster: Cluster, mark: str, name: bytes
) -> None:
    """Evicted, overwritten by somebody else: what was there is a miss, and everything can be set again."""
    store, key = cluster.store, cluster.key_at(0, mark)
    place = 0
    if name == AWAY_MARK:
        cluster.cut(0)
        place = 1
    for damage in (b"delete %b\r\n" % name, b"set %b 0 0 8\r\n12345678\r\n" % name):
        assert await store.set(key, b"v") is True
        await cluster.servers[place].ask(damage)
        assert await store.get(key) is None
        assert await store.get_many([key]) == {}
        assert await store.get_versioned(key) is None
        assert await store.delete(key) is False
        assert await store.set_many({key: b"w"}) == set()
        assert await store.get(key) == b"w"
        await cluster.servers[place].ask(damage)
        assert await store.add(key, b"x") is True
        assert await store.get(key) == b"x"


async def test_a_mark_that_changed_is_noticed_by_writers(cluster: Cluster, mark: str) -> None:
    """A set that said True is there, although another process emptied the shelf just before."""
    key = cluster.key_at(0, mark)
    await cluster.store.set(key, b"old")
    for number in range(3):
        await cluster.servers[0].ask(b"delete %b\r\n" % HOME_MARK)
        if number % 2:
            assert await cluster.store.set_many({key: b"%d" % number}) == set()
        else:
            assert await cluster.store.set(key, b"%d" % number) is True
        assert await cluster.store.get(key) == b"%d" % number


async def test_a_swap_under_a_new_mark_is_refused(cluster: Cluster, mark: str) -> None:
    key = cluster.key_at(0, mark)
    await cluster.store.set(key, b"v")
    held = await cluster.store.get_versioned(key)
    assert held is not None
    await cluster.servers[0].ask(b"delete %b\r\n" % HOME_MARK)

    assert await cluster.store.compare_and_swap(key, b"w", None, held[1]) is False


async def test_what_is_kept_for_another_server_is_not_kept_for_long(cluster: Cluster, mark: str) -> None:
    """The bound on what a process that died in an outage leaves behind: a minute by the server's clock."""
    key = cluster.key_at(0, mark)
    cluster.cut(0)
    await cluster.store.set(key, b"v")
    answer = await cluster.servers[1].ask(f"mg {key} t\r\n".encode())

    assert 55 <= int(answer.removeprefix(b"HD t").split()[0]) <= 62


@pytest.mark.parametrize("seed", range(4))
async def test_histories_with_outages(cluster: Cluster, mark: str, seed: int) -> None:
    """Whatever leaves and returns, nothing older than the last acknowledged write is ever read."""
    draw, store = Random(seed), cluster.store
    keys = [f"{mark}{number}" for number in range(6)]
    allowed: dict[str, set[bytes | None]] = {key: {None} for key in keys}
    out: int | None = None
    for step in range(220):
        key, value = draw.choice(keys), b"%d" % step
        match draw.randrange(12):
            case 0 if out is None:
                cluster.cut(out := draw.randrange(2))
            case 1 if out is not None:
                cluster.proxies[out].refuse = False  # used again whenever it is noticed
                out = None
            case 2 | 3 | 4:
                await store.set(key, value)
                allowed[key] = {value, None}
            case 5:
                await store.delete(key)
                allowed[key] = {None}
            case 6:
                await store.set_many({key: value, keys[0]: value})
                allowed[key] = allowed[keys[0]] = {value, None}
            case 7:
                cluster.proxies[draw.randrange(2)].reset()
            case 8:
                allowed[key] |= {value, None}
                with contextlib.suppress(BackendError):  # a connection that broke at the wrong moment
                    token = await store.acquire_lease(key, 10.0)
                    if token and await store.fill(key, value, None, token):
                        allowed[key] = {value, None}
            case _:
                assert await store.get(key) in allowed[key], (step, key)
                for name, found in (await store.get_many(keys)).items():
                    assert found in allowed[name], (step, name)
        if draw.random() < 0.1:
            await asyncio.sleep(0.02)


async def test_killed_and_restarted_under_load(start_memcached: Callable[..., ServerProcess]) -> None:
    """Three servers, one of them killed twice: no task waits for ever, none reads anything outdated."""
    servers = [start_memcached() for _ in range(3)]
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    store = MemcachedBackend(f"memcached://{hosts}", retry_seconds=0.02)
    over = False

    async def work(task: int) -> int:
        done = 0
        while not over:
            key, value = f"{task}:{done % 20}", b"%d:%d" % (task, done)
            try:
                await store.set(key, value)
                assert await store.get(key) in {value, None}
            except BackendError:
                await asyncio.sleep(0.005)
            done += 1
        return done

    async with asyncio.timeout(PATIENCE):
        tasks = [asyncio.create_task(work(task)) for task in range(8)]
        for victim in (servers[0], servers[1]):
            await asyncio.sleep(0.1)
            victim.kill()
            await asyncio.sleep(0.1)
            victim.restart()
        await asyncio.sleep(0.1)
        over = True
        counts = await asyncio.gather(*tasks)
    assert min(counts) > 10
    await store.aclose()
