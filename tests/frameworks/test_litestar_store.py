"""`CacheStore` is a store of Litestar: what its documentation says of stores, and what uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.base import NamespacedStore, Store
from litestar.stores.registry import StoreRegistry

from asynccache import BackendError, Cache, CacheConfig, ConfigurationError, InMemoryBackend, InvalidKeyError
from asynccache.testing import ChaosBackend, FakeClock
from asynccache_litestar import CacheStore
from tests.http_middleware.asgi_client import Client

AnyRequest = Request[Any, Any, Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[CacheStore]:
    config = CacheConfig(backend=InMemoryBackend(clock=clock), clock=clock)
    async with CacheStore(config) as store:
        yield store


async def test_bytes_in_bytes_out(store: CacheStore) -> None:
    """Strings are encoded, whatever else a value may look like comes back as it was."""
    values: dict[str, str | bytes] = {
        "s": "bödy",
        "b": b"\x00\xff",
        "n": b"17",
        "e": b"",
        "m": b"\x93\x01\x02\x03",
    }
    for key, value in values.items():
        await store.set(key, value)
    await store.set("array", bytearray(b"x"))  # type: ignore[arg-type]
    assert [await store.get(key) for key in values] == [
        "bödy".encode(),
        b"\x00\xff",
        b"17",
        b"",
        b"\x93\x01\x02\x03",
    ]
    assert await store.get("array") == b"x"
    assert await store.get("absent") is None


async def test_exists_and_delete(store: CacheStore) -> None:
    """Deleting what is not there is no error."""
    await store.set("k", "v")
    assert await store.exists("k")
    await store.delete("k")
    await store.delete("k")
    assert not await store.exists("k")
    assert await store.get("k") is None


@pytest.mark.parametrize("expires_in", [10, timedelta(seconds=10)])
async def test_expiry(store: CacheStore, clock: FakeClock, expires_in: Any) -> None:
    """Never at or after its end; -1 where there is none, as Litestar's own stores say."""
    await store.set("k", "v", expires_in=expires_in)
    await store.set("ever", "v")
    assert (await store.expires_in("k"), await store.expires_in("ever")) == (10, -1)
    assert await store.expires_in("absent") is None
    clock.advance(9.5)
    assert (await store.get("k"), await store.expires_in("k")) == (b"v", 1)
    clock.advance(0.5)
    assert (await store.get("k"), await store.exists("k"), await store.expires_in("k")) == (None, False, None)
    assert await store.get("ever") == b"v"


@pytest.mark.parametrize("expires_in", [0, -1, timedelta(0), timedelta(seconds=-5)])
async def test_what_has_expired_already_is_not_stored(store: CacheStore, expires_in: Any) -> None:
    """Nor is what was there before left in its place."""
    await store.set("k", "old")
    await store.set("k", "new", expires_in=expires_in)
    assert await store.get("k") is None


@pytest.mark.parametrize("renew_for", [20, timedelta(seconds=20)])
async def test_renewing(store: CacheStore, clock: FakeClock, renew_for: Any) -> None:
    """Reading with ``renew_for`` gives a new life from now on."""
    await store.set("k", "v", expires_in=10)
    clock.advance(9)
    assert await store.get("k", renew_for=renew_for) == b"v"
    assert await store.expires_in("k") == 20
    clock.advance(19)
    assert await store.get("k") == b"v"
    clock.advance(1)
    assert await store.get("k", renew_for=renew_for) is None
    assert not await store.exists("k")


async def test_what_never_expires_is_not_renewed(store: CacheStore) -> None:
    """It would begin to expire."""
    await store.set("k", "v")
    assert await store.get("k", renew_for=10) == b"v"
    assert await store.expires_in("k") == -1


@pytest.mark.parametrize("renew_for", [0, None, timedelta(0)])
async def test_renewing_for_nothing_is_reading(store: CacheStore, renew_for: Any) -> None:
    """The life stays what it was."""
    await store.set("k", "v", expires_in=10)
    assert await store.get("k", renew_for=renew_for) == b"v"
    assert await store.expires_in("k") == 10


async def test_namespaces_are_apart_and_emptied_with_those_around_them(store: CacheStore) -> None:
    """``delete_all`` of a namespace reaches those inside it and none beside it."""
    a, b = store.with_namespace("a"), store.with_namespace("b")
    inner = a.with_namespace("inner")
    stores = [store, a, b, inner]
    assert [each.namespace for each in stores] == [
        "asynccache",
        "asynccache:a",
        "asynccache:b",
        "asynccache:a:inner",
    ]

    async def fill() -> None:
        for number, each in enumerate(stores):
            await each.set("k", f"{number}")

    async def found() -> list[bool]:
        return [await each.exists("k") for each in stores]

    await fill()
    assert [await each.get("k") for each in stores] == [b"0", b"1", b"2", b"3"]
    await a.delete_all()
    assert await found() == [True, False, True, False]
    await fill()
    await store.delete_all()
    assert await found() == [False] * 4


async def test_foreign_keys_survive_delete_all(clock: FakeClock) -> None:
    """Only what is in its own namespace is a store's."""
    backend = InMemoryBackend(clock=clock)
    await backend.set("foreign", b"1")
    store = CacheStore(CacheConfig(backend=backend, clock=clock))
    await store.set("k", "v")
    await store.delete_all()
    assert await backend.get("foreign") == b"1"


async def test_keys_that_look_alike_are_different(store: CacheStore) -> None:
    """CVE-2026-25480: as names of files ``k-`` was ``k45``, and the Kelvin sign was K."""
    keys = ["k-", "k45", "K", "\u212a", "k", "K ", "é", "e\u0301", "a:b", "a::b", "a/b", "x" * 5000]
    for number, key in enumerate(keys):
        await store.set(key, f"{number}")
    assert [await store.get(key) for key in keys] == [f"{number}".encode() for number in range(len(keys))]


async def test_wrong_arguments_are_refused(store: CacheStore) -> None:
    """Before anything happens."""
    with pytest.raises(InvalidKeyError):
        await store.set("", "v")
    with pytest.raises(TypeError):
        await store.get(b"k")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        CacheStore(5)  # type: ignore[arg-type]


async def test_what_it_is_made_of(clock: FakeClock) -> None:
    """A configuration, a backend, a URL, or a cache; all are stores with namespaces to Litestar."""
    backend = InMemoryBackend(clock=clock)
    cache = Cache(CacheConfig(backend=backend))
    await CacheStore(cache).set("shared", "v")
    assert await cache.get("shared") == b"v"
    for made in (CacheStore(cache), CacheStore(backend), CacheStore("memory://"), CacheStore(CacheConfig())):
        assert isinstance(made, Store)
        assert isinstance(made, NamespacedStore)
        async with made:
            await made.set("k", "v")
            assert await made.get("k") == b"v"


class Telling(InMemoryBackend):
    """Tells when it is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    async def open(self) -> None:
        """Open."""
        self.log.append("open")
        await super().open()

    async def aclose(self) -> None:
        """Close."""
        self.log.append("close")
        await super().aclose()


@pytest.mark.parametrize("owned", [True, False])
async def test_it_opens_and_closes_what_is_its_own(owned: bool) -> None:
    """A cache that was given is its maker's; namespaces are their parent's."""
    backend = Telling()
    config = CacheConfig(backend=backend)
    store = CacheStore(config) if owned else CacheStore(Cache(config))
    app = Litestar(stores={"mine": store, "part": store.with_namespace("part")}, logging_config=None)
    async with Client(app):
        assert app.stores.get("mine") is store
        assert backend.log == (["open"] if owned else [])
    assert backend.log == (["open", "close"] if owned else [])


async def test_a_failing_store_is_a_miss_or_an_error_as_configured() -> None:
    """Sessions may rather fail than be forgotten: ``fail_open=False``."""
    chaos = ChaosBackend(InMemoryBackend())
    forgiving = CacheStore(CacheConfig(backend=chaos))
    strict = CacheStore(CacheConfig(backend=chaos, fail_open=False))
    await strict.set("k", "v", expires_in=60)
    chaos.fail()
    assert await forgiving.get("k", renew_for=10) is None
    with pytest.raises(BackendError):
        await strict.get("k", renew_for=10)
    with pytest.raises(BackendError):
        await strict.set("k", "v")


async def test_sessions_and_rate_limits_work_on_it(clock: FakeClock) -> None:
    """Each in a namespace of its own, made by the registry."""
    cache = Cache(CacheConfig(backend=InMemoryBackend(clock=clock), clock=clock))
    registry = StoreRegistry(default_factory=CacheStore(cache).with_namespace)

    @post("/login")
    async def login(request: AnyRequest) -> None:
        request.session["user"] = "alice"

    @get("/me")
    async def me(request: AnyRequest) -> str:
        return str(request.session.get("user"))

    session = ServerSideSessionConfig(renew_on_access=True, max_age=60)
    limit = RateLimitConfig(rate_limit=("minute", 3))
    app = Litestar(
        [login, me], stores=registry, middleware=[session.middleware, limit.middleware], logging_config=None
    )
    async with Client(app) as client:
        answer = await client.request("POST", "/login")
        cookie = [("cookie", (answer.header("set-cookie") or "").partition(";")[0])]
        clock.advance(50)
        assert (await client.get("/me", cookie)).text == "alice"
        clock.advance(50)
        assert (await client.get("/me", cookie)).text == "alice"
        assert (await client.get("/me", cookie)).status == 429
        await registry.get("sessions").delete_all()
        await registry.get("rate_limit").delete_all()
        assert (await client.get("/me", cookie)).text == "None"


async def test_litestars_own_response_cache_works_on_it() -> None:
    """Without the plugin, with the faults of its keys: better use the plugin."""
    runs: list[int] = []

    @get("/", cache=60)
    async def handler() -> str:
        runs.append(1)
        return f"{len(runs)}"

    app = Litestar([handler], stores={"response_cache": CacheStore("memory://")}, logging_config=None)
    async with Client(app) as client:
        assert [(await client.get("/")).text for _ in range(2)] == ["1", "1"]
