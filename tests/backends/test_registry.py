"""Stores by URL: what is found, what is refused, and what a message may show."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import asynccache
from asynccache import Cache, CacheConfig
from asynccache._engine.wrapping import Wrapper
from asynccache.backends import from_url, parse_size, register_scheme, schemes
from asynccache.backends.memory import InMemoryBackend
from asynccache.errors import ConfigurationError
from asynccache.protocols import CacheBackendProtocol, SupportsHealth, SupportsLifecycle, SupportsMany


class Shelf(InMemoryBackend):
    """A store of the user's own."""


async def test_memory_url_gives_a_working_store() -> None:
    """memory:// alone is enough."""
    backend = from_url("memory://")
    await backend.set("k", b"v")

    assert await backend.get("k") == b"v"


@pytest.mark.parametrize(
    "text,number",
    [
        ("65536", 65536),
        ("64kb", 64_000),
        ("64KiB", 65_536),
        ("2mb", 2_000_000),
        ("1gib", 2**30),
        ("3m", 3_000_000),
    ],
)
async def test_sizes(text: str, number: int) -> None:
    """Sizes are plain, decimal or binary."""
    assert parse_size(text) == number
    health = await InMemoryBackend.from_url(f"memory://?max_bytes={text}&max_entries=7").health()
    assert (health.details["max_bytes"], health.details["max_entries"]) == (number, 7)


@pytest.mark.parametrize(
    "url,named",
    [
        ("memory://?max_bytes=64zz", "max_bytes"),
        ("memory://?max_bytes=-1", "max_bytes"),
        ("memory://?max_bytes=0", "max_bytes"),
        ("memory://?max_entries=0", "max_entries"),
        ("memory://?max_entries=1.5", "max_entries"),
        ("memory://?max_entries=", "max_entries"),
        ("memory://?max_entries", "max_bytes, max_entries"),
        ("memory://?size=1", "max_bytes, max_entries"),
        ("memory://?max_bytes=1mb&max_bytes=2mb", "twice"),
        ("memory://somewhere", "host"),
        ("memory://#x", "fragment"),
        ("nowhere://x", "memory://"),
        ("memory", "memory://"),
        ("", "memory://"),
    ],
)
def test_wrong_urls_say_what_is_allowed(url: str, named: str) -> None:
    """Whatever is wrong with a URL, the message names the option or lists what is known."""
    with pytest.raises(ConfigurationError, match=named):
        from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "memory://user:hunter2@host",
        "nowhere://user:hunter2@host",
        "user:hunter2@host",
        "memory://?password=hunter2",
        "hunter2",
    ],
)
def test_no_message_shows_a_password(url: str) -> None:
    """A password in a URL that is refused is not in the error."""
    with pytest.raises(ConfigurationError) as caught:
        from_url(url)

    assert "hunter2" not in str(caught.value)


def test_options_beside_the_url() -> None:
    """Arguments say what a URL cannot; nothing may be said twice, and nothing unknown."""
    backend = from_url("memory://", clock=lambda: 0.0, max_entries=3)
    assert isinstance(backend, InMemoryBackend)
    with pytest.raises(ConfigurationError, match="twice"):
        from_url("memory://?max_entries=1", max_entries=3)
    with pytest.raises(ConfigurationError, match="colour"):
        from_url("memory://", colour=3)


def test_url_must_be_a_string() -> None:
    """Another type is a configuration error too."""
    url: Any = b"memory://"
    with pytest.raises(ConfigurationError, match="bytes"):
        from_url(url)


def test_own_scheme() -> None:
    """A registered class is built by its own from_url; registering it again is harmless."""
    target = f"{Shelf.__module__}:Shelf"
    sys.modules.setdefault(Shelf.__module__, sys.modules[__name__])
    register_scheme("shelf-test", target)
    register_scheme("shelf-test", target)
    with pytest.raises(ConfigurationError, match="path"):
        from_url("SHELF-TEST:///somewhere")
    with pytest.raises(ConfigurationError, match="taken"):
        register_scheme("shelf-test", "elsewhere:Shelf")


@pytest.mark.parametrize("scheme", ["", "Memory", "a b", "://", 3])
def test_schemes_are_checked(scheme: Any) -> None:
    """A scheme that no URL could have is refused."""
    with pytest.raises(ConfigurationError, match="scheme"):
        register_scheme(scheme, "a:B")


@pytest.mark.parametrize("target", ["", "module", "module:", ":Class", "mod ule:Class", None])
def test_targets_are_checked(target: Any) -> None:
    """A target is a module and a class."""
    with pytest.raises(ConfigurationError, match="target"):
        register_scheme("fine", target)


@pytest.mark.parametrize(
    "target", ["asynccache.no_such_module:Store", "asynccache.errors:NoSuch", "math:sqrt"]
)
def test_a_target_that_is_no_store(target: str) -> None:
    """What cannot be imported or built says so when it is first asked for."""
    scheme = "broken-" + target.lower().replace(":", ".").replace("_", "-")
    register_scheme(scheme, target)
    with pytest.raises(ConfigurationError, match="broken"):
        from_url(f"{scheme}://")


STORES = {
    "memory://": "InMemoryBackend",
    "sqlite:///cache.db": "SQLiteBackend",
    "redis://user:secret@localhost:6379/1": "RedisBackend",
    "rediss://localhost": "RedisBackend",
    "redis+unix:///run/redis.sock": "RedisBackend",
    "redis+sentinel://localhost:26379/mymaster": "RedisBackend",
    "rediss+sentinel://localhost:26379/mymaster": "RedisBackend",
    "redis+cluster://localhost:7000,localhost:7001": "RedisBackend",
    "rediss+cluster://localhost:7000": "RedisBackend",
    "valkey://localhost": "RedisBackend",
    "valkeys://localhost": "RedisBackend",
    "memcached://localhost,localhost:11212": "MemcachedBackend",
    "memcacheds://localhost": "MemcachedBackend",
    "postgresql://user:secret@localhost/db": "PostgresBackend",
    "postgres://localhost/db": "PostgresBackend",
    "mongodb://user:secret@localhost/db": "MongoDBBackend",
    "mongodb+srv://cluster.example.com/db": "MongoDBBackend",
}
"""A URL of every scheme, and the class it stands for."""

DRIVERS = {
    "redis": ("redis", "redis://localhost"),
    "postgres": ("asyncpg", "postgresql://localhost/db"),
    "mongodb": ("pymongo", "mongodb://localhost"),
}
"""The driver of each extra, and a URL that needs it. Memcached's protocol we speak ourselves."""


def store_of(cache: Cache) -> object:
    """Return the store itself, without what a cache puts in front of it."""
    backend: object = cache.entries.access.backend
    while isinstance(backend, Wrapper):
        backend = backend.backend
    return backend


def python(code: str) -> str:
    """Return what ``code`` prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_scheme_has_its_url_here() -> None:
    """A scheme that is added to the registry is added to these tests."""
    known = {scheme for scheme in schemes() if not scheme.startswith(("shelf-test", "broken-"))}

    assert {url.partition(":")[0] for url in STORES} == known


@pytest.mark.parametrize("url", STORES)
def test_every_scheme_finds_its_store(url: str) -> None:
    """Without a server and without an event loop; it is the class that `asynccache` exports."""
    backend = from_url(url)
    expected = getattr(asynccache, STORES[url])

    assert isinstance(backend, expected)
    assert isinstance(store_of(Cache.from_url(url)), expected)
    assert "secret" not in repr(backend)
    for protocol in (CacheBackendProtocol, SupportsMany, SupportsLifecycle, SupportsHealth):
        assert isinstance(backend, protocol)


@pytest.mark.parametrize("url", STORES)
def test_every_scheme_can_come_from_the_environment(url: str) -> None:
    """ASYNCCACHE_URL is all an application needs to change its store."""
    cache = Cache(CacheConfig.from_env({"ASYNCCACHE_URL": url, "ASYNCCACHE_NAMESPACE": "shop"}))

    assert isinstance(store_of(cache), getattr(asynccache, STORES[url]))


@pytest.mark.parametrize("url", STORES)
def test_settings_of_the_cache_may_stand_in_the_url_of_any_store(url: str) -> None:
    """They are taken out of it, and what is left is still the same URL."""
    config = CacheConfig.from_url(f"{url}?namespace=shop&default_ttl=60")

    assert (config.namespace, config.default_ttl, config.backend) == ("shop", 60.0, url)


@pytest.mark.parametrize("extra", DRIVERS)
def test_a_missing_driver_names_its_extra(extra: str) -> None:
    """By URL, by configuration and by name: what to install, in one line; everything else goes on working."""
    driver, url = DRIVERS[extra]
    name = STORES[next(known for known in STORES if known.partition(":")[0] == url.partition(":")[0])]
    said = python(
        f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == {driver!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())  # as if it were not installed
import asynccache
from asynccache.backends import from_url
for attempt in (
    lambda: from_url({url!r}),
    lambda: asynccache.Cache.from_url({url!r}),
    lambda: asynccache.{name},
    lambda: from_url({url!r}),
):
    try:
        attempt()
    except asynccache.MissingDependencyError as error:
        assert isinstance(error, ImportError)
        assert isinstance(error, asynccache.ConfigurationError)
        print(error.extra, error)
from_url("memory://"), from_url("sqlite:///cache.db")
"""
    )

    assert said.splitlines() == [f'{extra} {driver} is not installed: pip install "asynccache[{extra}]"'] * 4


def test_importing_asynccache_imports_no_driver() -> None:
    """Stores, and the drivers some of them need, are imported on demand."""
    drivers = {
        *(driver for driver, _ in DRIVERS.values()),
        "aiomcache",
        "bson",
        "hiredis",
        "motor",
        "sqlite3",
    }
    for module in ("asynccache", "asynccache.backends"):
        # What was there before does not count: coverage, which measures this too, keeps its data in SQLite.
        code = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
        loaded = set(python(code).split())

        assert not loaded & drivers
        stores = {name for name in loaded if name.startswith("asynccache.backends.")}
        assert stores <= {"asynccache.backends.memory"}


def test_asking_for_one_store_imports_no_other() -> None:
    loaded = set(python("import sys, asynccache; asynccache.SQLiteBackend; print(*sys.modules)").split())

    assert "sqlite3" in loaded
    assert not loaded & {driver for driver, _ in DRIVERS.values()}
