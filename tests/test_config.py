"""`CacheConfig`: checked at birth, immutable, from code, URLs and the environment alike."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asynccache import Cache, CacheConfig, ConfigurationError, GuardConfig, HTTPConfig, InMemoryBackend
from asynccache.codecs import JsonCodec, generate_key
from asynccache.testing import FakeClock, RecordedEvents


def test_defaults() -> None:
    """Without arguments: memory, five minutes, msgpack, a store's failures are forgiven."""
    config = CacheConfig()
    assert config.backend == "memory://"
    assert config.namespace == "asynccache"
    assert config.default_ttl == 300
    assert config.fail_open is True
    assert config.sealer() is None
    assert config.serializer().codec.name == "msgpack"


def test_durations_become_seconds() -> None:
    """Durations may be timedeltas and are seconds afterwards."""
    config = CacheConfig(default_ttl=timedelta(minutes=1), lease_ttl=timedelta(seconds=2))
    assert (config.default_ttl, config.lease_ttl) == (60.0, 2.0)
    assert GuardConfig(timeout=timedelta(seconds=1)).timeout == 1.0
    assert HTTPConfig(coalesce_timeout=timedelta(seconds=1)).coalesce_timeout == 1.0


@pytest.mark.parametrize("config", [CacheConfig(), GuardConfig(), HTTPConfig()])
def test_frozen(config: Any) -> None:
    """Nothing can be set afterwards."""
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


def test_but() -> None:
    """A copy with changes is checked like any other and leaves the original alone."""
    config = CacheConfig(namespace="a")
    assert config.but(namespace="b", default_ttl=None).default_ttl is None
    assert config.namespace == "a"
    with pytest.raises(ConfigurationError, match="namespace"):
        config.but(namespace="")
    with pytest.raises(TypeError, match="nonsense"):
        config.but(nonsense=1)


def test_collections_are_taken_once() -> None:
    """Observers and keys may be any iterable, generators included."""
    key, events = generate_key(), RecordedEvents()
    config = CacheConfig(encryption_keys=iter([key]), observers=(each for each in [events]))
    assert config.encryption_keys == (key,)
    assert config.observers == (events,)
    assert config.sealer() is not None
    assert config.but(namespace="x").sealer() is not None


def test_codec_objects() -> None:
    """A codec may be given as an object."""
    assert CacheConfig(codec=JsonCodec()).serializer().codec.name == "json"


def test_backend_objects() -> None:
    """A store may be given as an object, which is used as it is."""
    backend = InMemoryBackend()
    assert CacheConfig(backend=backend).backend is backend


def test_pickle_with_keys() -> None:
    """The pickle codec is allowed where entries are authenticated."""
    assert CacheConfig(codec="pickle", encryption_keys=[generate_key()]).serializer().codec.name == "pickle"


# -- URLs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, field, value",
    [
        ("memory://?namespace=shop", "namespace", "shop"),
        ("memory://?default_ttl=60", "default_ttl", 60.0),
        ("memory://?default_ttl=None", "default_ttl", None),
        ("memory://?codec=json", "codec", "json"),
        ("memory://?compression=yes", "compression", True),
        ("memory://?compression=OFF", "compression", False),
        ("memory://?compress_min_bytes=2kib", "compress_min_bytes", 2048),
        ("memory://?max_value_bytes=1mb", "max_value_bytes", 1_000_000),
        ("memory://?fail_open=0", "fail_open", False),
        ("memory://?batching=false", "batching", False),
        ("memory://?lease_ttl=2.5", "lease_ttl", 2.5),
        ("memory://?namespace=a%3Ab", "namespace", "a:b"),
        ("MEMORY://?namespace=shop", "namespace", "shop"),
    ],
)
def test_settings_in_urls(url: str, field: str, value: object) -> None:
    """Simple settings may stand in the URL."""
    assert getattr(CacheConfig.from_url(url), field) == value


async def test_a_url_with_both_kinds_of_options() -> None:
    """The cache's options are taken out of the URL, the rest is the store's."""
    config = CacheConfig.from_url("memory://?max_bytes=8kib&namespace=shop&max_entries=10&default_ttl=5")
    assert config.backend == "memory://?max_bytes=8kib&max_entries=10"
    assert config.namespace == "shop"
    details = (await Cache(config).health()).details
    assert (details["max_bytes"], details["max_entries"]) == (8192, 10)


def test_arguments_beside_a_url_win() -> None:
    """What is said in code is what is meant."""
    assert CacheConfig.from_url("memory://?namespace=a", namespace="b").namespace == "b"
    with pytest.raises(TypeError, match="nonsense"):
        CacheConfig.from_url("memory://", nonsense=1)


def test_urls_without_options_stay_as_they_are() -> None:
    """A URL that says nothing about the cache is passed on untouched."""
    assert CacheConfig.from_url("memory://?max_entries=5").backend == "memory://?max_entries=5"


def test_encryption_keys_in_urls() -> None:
    """Several keys are separated by commas."""
    a, b = generate_key(), generate_key()
    assert CacheConfig.from_url(f"memory://?encryption_keys={a},{b}").encryption_keys == (a, b)


# -- environment -------------------------------------------------------------------------------------------


def test_environment() -> None:
    """Every simple setting has its variable; others are nobody's business."""
    config = CacheConfig.from_env(
        {
            "ASYNCCACHE_URL": "memory://?max_entries=5",
            "ASYNCCACHE_NAMESPACE": "shop",
            "ASYNCCACHE_DEFAULT_TTL": "60",
            "ASYNCCACHE_FAIL_OPEN": "false",
            "ASYNCCACHE_TEST_REDIS_URL": "ignored",
            "PATH": "/bin",
            "REDIS_URL": "nosuch://",
        }
    )
    assert config.backend == "memory://?max_entries=5"
    assert (config.namespace, config.default_ttl, config.fail_open) == ("shop", 60.0, False)


def test_environment_without_anything() -> None:
    """An empty environment means memory."""
    assert CacheConfig.from_env({}).backend == "memory://"
    assert CacheConfig.from_env({"ASYNCCACHE_URL": ""}).backend == "memory://"


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out, it is the process's."""
    monkeypatch.setenv("ASYNCCACHE_NAMESPACE", "mine")
    monkeypatch.delenv("ASYNCCACHE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert CacheConfig.from_env().namespace == "mine"
    assert CacheConfig.from_env(namespace="yours").namespace == "yours"
    assert repr(Cache.from_env()).startswith("<Cache 'mine:'")


def test_redis_url_is_looked_at() -> None:
    """REDIS_URL counts where ASYNCCACHE_URL is not set and there is a store for it."""
    assert CacheConfig.from_env({"REDIS_URL": "memory://?max_entries=7"}).backend == "memory://?max_entries=7"
    assert CacheConfig.from_env({"REDIS_URL": "nosuch://x"}).backend == "memory://"


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/cache.db"])
async def test_stores_made_from_urls_go_by_the_clock_of_the_configuration(url: str, tmp_path: Path) -> None:
    """Else a cache on a clock that is turned would forget what it is given, or never forget."""
    clock = FakeClock(start=1000.0)
    async with Cache(CacheConfig(backend=url.format(tmp_path), clock=clock)) as cache:
        await cache.set("key", "value", ttl=10)
        clock.advance(9)
        assert await cache.get("key") == "value"
        clock.advance(1)
        assert await cache.get("key") is None
