"""The table of bad input: each row gives one clear error that names the argument, before any I/O."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from asynccache import (
    Cache,
    CacheConfig,
    CachePolicy,
    ConfigurationError,
    GuardConfig,
    HTTPConfig,
    InMemoryBackend,
    InvalidKeyError,
    cached,
    set_default_cache,
)
from asynccache.backends import from_url, register_scheme
from asynccache.errors import CacheError
from asynccache.keys import KeyTemplate, Namespace
from asynccache.testing import FakeClock
from tests.cache_doubles import Untouchable

SECRET = "c0ffee-secret"

BAD_SECONDS: tuple[Any, ...] = (
    0,
    -1,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    True,
    False,
    "60",
    b"60",
    [60],
    1j,
    object(),
    timedelta(0),
    timedelta(seconds=-1),
)
"""What is no positive, finite duration."""
BAD_COUNTS: tuple[Any, ...] = (-1, 1.5, math.nan, "5", True, None, [5])
"""What is no number of things."""
BAD_FLAGS: tuple[Any, ...] = (0, 1, "true", "", None, [])
BAD_TAGS: tuple[Any, ...] = ("tag", "", b"tag", 5, [""], [5], ["a", None], [b"a"], [["a"]], ["\ud800"])
NO_STRINGS: tuple[Any, ...] = (None, 5, b"key", 1.5, ["k"], ("k",), object(), str)
BAD_TEXT: tuple[Any, ...] = ("", "\ud800", "a\udfffb")
BAD_KEYS: tuple[Any, ...] = ("abc", b"abc", 5, None, object())
BAD_INTS: tuple[Any, ...] = (None, 1.5, "1", True, b"1")
BAD_LOADS: tuple[Any, ...] = (None, 5, "load", [])
WRONG: Any = 5
NO_CALLABLES: tuple[Any, ...] = (5, "f", [])

Row = tuple[str, Callable[[], object], type[Exception], str]
AsyncRow = tuple[str, Callable[[Cache], Awaitable[object]], type[Exception], str]


def shown(value: object) -> str:
    return ascii(value)[:24].split(" at 0x")[0]


def anything(*values: Any) -> list[Any]:
    return list(values)


def bad_fields(make: Callable[..., object], prefix: str, values: dict[str, Iterable[Any]]) -> Iterator[Row]:
    """Yield a row for every wrong value of every argument."""
    name = getattr(make, "__qualname__", "make")
    for field, wrong in values.items():
        for value in wrong:
            yield (
                f"{name}({field}={shown(value)})",
                partial(make, **{field: value}),
                InvalidKeyError if value == ["\ud800"] else ConfigurationError,
                prefix + field,
            )


def constructors() -> Iterator[Row]:
    seconds_or_none = [value for value in BAD_SECONDS if value is not None]
    yield from bad_fields(
        CacheConfig,
        "",
        {
            "backend": (None, 5, object(), InMemoryBackend, ["memory://"]),
            "namespace": (None, 5, b"ns", "", "\ud800"),
            "default_ttl": seconds_or_none,
            "codec": (None, 5, "xml", "", object(), b"json"),
            "compression": BAD_FLAGS,
            "compress_min_bytes": BAD_COUNTS,
            "max_value_bytes": (*BAD_COUNTS, 0),
            "fail_open": BAD_FLAGS,
            "batching": BAD_FLAGS,
            "lease_ttl": (*BAD_SECONDS, None),
            "guard": (None, 5, {}, GuardConfig),
            "http": (None, 5, {}, HTTPConfig),
            "observers": (None, 5, print, "x", [5], [None]),
            "clock": (None, 5, "now"),
        },
    )
    for wrong in anything(
        5, None, "k" * 44, b"x" * 32, [b"short"], [5], ["not base64!"], [b"x" * 32, b"x" * 32]
    ):
        yield (
            f"CacheConfig(encryption_keys={shown(wrong)})",
            partial(CacheConfig, encryption_keys=wrong),
            ConfigurationError,
            "encryption",
        )
    yield "pickle in clear", lambda: CacheConfig(codec="pickle"), ConfigurationError, "encryption_keys"
    yield from bad_fields(
        GuardConfig,
        "guard.",
        {
            "timeout": (*BAD_SECONDS, None),
            "breaker_seconds": (*BAD_SECONDS, None),
            "max_concurrency": (*BAD_COUNTS, 0),
            "breaker_failures": (*BAD_COUNTS, 0),
        },
    )
    yield from bad_fields(
        HTTPConfig,
        "http.",
        {
            "mode": ("all", None, 5, "MARKED", ["marked"]),
            "honour_client_directives": [value for value in BAD_FLAGS if value is not None],
            "max_body_bytes": BAD_COUNTS,
            "cache_status": BAD_FLAGS,
            "coalesce_timeout": (*BAD_SECONDS, None),
            # Of the other mode, and so wrong in this one even where the value is right.
            "store_set_cookie": (*BAD_FLAGS, True),
            "share_with_cookies": (*BAD_FLAGS, True),
            "heuristic": (*BAD_FLAGS, True),
            "stale_on_error": (*BAD_FLAGS, True),
            "private": (*BAD_FLAGS, True),
            "keep_stale": (None, True, -1, "1", float("nan"), 0, 60),
            "targeted": (None, 5, "cdn-cache-control", [5], [""], ["x-cache-control"]),
        },
    )
    yield from bad_fields(
        partial(HTTPConfig, mode="rfc9111"),
        "http.",
        {
            "store_set_cookie": BAD_FLAGS,
            "keep_stale": (None, True, -1, "1", float("nan")),
            "targeted": (None, 5, "cdn-cache-control", [5], [""]),
        },
    )
    not_zero = [value for value in BAD_SECONDS if not (value == 0 and not isinstance(value, bool))]
    not_zero = [value for value in not_zero if value != timedelta(0)]
    yield from bad_fields(
        CachePolicy,
        "",
        {
            "ttl": BAD_SECONDS,
            "stale_while_revalidate": (*not_zero, None),
            "stale_if_error": (*not_zero, None),
            "early_refresh": (*not_zero, None),
            "jitter": (*not_zero, None, 1.5),
            "soft_timeout": BAD_SECONDS,
            "store_if": NO_CALLABLES,
            "tags": (*BAD_TAGS, None),
            "public": BAD_FLAGS,
            "vary_on": NO_CALLABLES,
            "cookies": BAD_TAGS,
            "query": BAD_TAGS,
            "vary": (*BAD_TAGS, None, ["*"], ["x-a, x-b"], ["x-a:"], ["x a"], ["\u00e9"], ["x-a\r\nx-b: 1"]),
            "statuses": (None, 200, "200", [199], [206], [500], ["200"], [[200]], [None]),
            "client_ttl": not_zero,
            "max_body_bytes": (-1, 1.5, "5", True),
        },
    )
    yield (
        "CachePolicy(public=True, vary_on=...)",
        lambda: CachePolicy(public=True, vary_on=print),
        ConfigurationError,
        "vary_on",
    )
    yield "CachePolicy.combine(5)", lambda: CachePolicy.combine(WRONG, {}), ConfigurationError, "policy"
    yield "CachePolicy.combine(tll)", lambda: CachePolicy.combine(None, {"tll": 5}), ConfigurationError, "tll"
    for wrong in anything("60", [], object(), math.nan, 0, -1):
        yield f"cache={shown(wrong)}", partial(CachePolicy.of, wrong), ConfigurationError, "cache"
    yield "cache={tll: 5}", lambda: CachePolicy.of({"tll": 5}), ConfigurationError, "tll"
    yield "cache={5: 5}", lambda: CachePolicy.of({5: 5}), ConfigurationError, "5"
    yield "cache={ttl: 0}", lambda: CachePolicy.of({"ttl": 0}), ConfigurationError, "ttl"
    yield from bad_fields(
        InMemoryBackend,
        "",
        {
            "max_bytes": (*BAD_COUNTS, 0, 4095),
            "max_entries": (-1, 0, 1.5, "5", True),
            "clock": (None, 5, "now"),
        },
    )
    for wrong in anything("memory://", 5, {}, InMemoryBackend, Cache):
        yield f"Cache({shown(wrong)})", partial(Cache, wrong), ConfigurationError, "config"
        yield (
            f"set_default_cache({shown(wrong)})",
            partial(set_default_cache, wrong),
            ConfigurationError,
            "cache",
        )
    yield "Namespace()", Namespace, ConfigurationError, "namespace"
    for wrong in anything(*NO_STRINGS, *BAD_TEXT):
        yield f"Namespace({shown(wrong)})", partial(Namespace, wrong), ConfigurationError, "namespace"
    for wrong in anything(*NO_STRINGS, ""):
        yield (
            f"KeyTemplate({shown(wrong)})",
            partial(KeyTemplate, wrong, ()),
            ConfigurationError,
            "template",
        )


def urls() -> Iterator[Row]:
    for wrong in anything(None, 5, b"memory://", ["memory://"]):
        for make in anything(Cache.from_url, CacheConfig.from_url, from_url):
            yield f"{make.__qualname__}({wrong!r})", partial(make, wrong), ConfigurationError, "URL"
    malformed = {
        "": "begins with",
        "memory": "begins with",
        "memory:/": "begins with",
        "://": "begins with",
        "1://x": "begins with",
        f"nosuch://user:{SECRET}@host/0": "nosuch",
        f"NoSuch://user:{SECRET}@host/0?namespace=a": "nosuch",
        f"memory://user:{SECRET}@host": "memory://",
        f"memory:///path?password={SECRET}": "memory://",
        f"memory://?password={SECRET}": "password",
        "memory://?max_bytes=4096&max_bytes=4097": "max_bytes",
        "memory://?max_bytes=lots": "max_bytes",
        "memory://?max_bytes=-1": "max_bytes",
        "memory://?max_bytes=1": "max_bytes",
        "memory://?max_entries=1.5": "max_entries",
        "memory://?max_entries=5&max_entries=6": "max_entries",
        "memory://#fragment": "fragment",
        "memory://?default_ttl=0": "default_ttl",
        "memory://?default_ttl=nan": "default_ttl",
        "memory://?default_ttl=soon": "default_ttl",
        "memory://?default_ttl=1&default_ttl=2": "default_ttl",
        "memory://?namespace=": "namespace",
        "memory://?fail_open=maybe": "fail_open",
        "memory://?lease_ttl=-5": "lease_ttl",
        "memory://?max_value_bytes=big": "max_value_bytes",
        "memory://?codec=xml": "codec",
        f"memory://?encryption_keys={SECRET}": "encryption",
        f"memory://[{SECRET}": "URL",
    }
    for url, word in malformed.items():
        for make in anything(Cache.from_url, CacheConfig.from_url):
            yield f"{make.__qualname__}({url!r})", partial(make, url), ConfigurationError, word
        if "?" not in url or "max_" in url or "password" in url:
            yield f"from_url({url!r})", partial(from_url, url), ConfigurationError, word
            yield (
                f"CacheConfig(backend={url!r})",
                partial(CacheConfig, backend=url),
                ConfigurationError,
                word,
            )
    yield "from_url(unknown=1)", lambda: from_url("memory://", unknown=1), ConfigurationError, "unknown"
    environments: dict[str, tuple[dict[str, str], str]] = {
        "unknown": ({"ASYNCCACHE_TTL": "5"}, "ASYNCCACHE_TTL"),
        "ttl": ({"ASYNCCACHE_DEFAULT_TTL": "soon"}, "default_ttl"),
        "zero": ({"ASYNCCACHE_DEFAULT_TTL": "0"}, "default_ttl"),
        "flag": ({"ASYNCCACHE_COMPRESSION": "perhaps"}, "compression"),
        "size": ({"ASYNCCACHE_MAX_VALUE_BYTES": "1 horse"}, "max_value_bytes"),
        "url": ({"ASYNCCACHE_URL": f"nosuch://:{SECRET}@h"}, "nosuch"),
        "key": ({"ASYNCCACHE_ENCRYPTION_KEYS": SECRET}, "encryption"),
        "codec": ({"ASYNCCACHE_CODEC": "xml"}, "codec"),
    }
    for name, (environ, word) in environments.items():
        for make in anything(Cache.from_env, CacheConfig.from_env):
            yield f"{make.__qualname__}({name})", partial(make, environ), ConfigurationError, word
    for wrong in anything(None, 5, "", "A", "a b"):
        yield f"scheme {wrong!r}", partial(register_scheme, wrong, "a:B"), ConfigurationError, "scheme"
    for wrong in anything(None, 5, "", "nocolon", "a:", ":B"):
        yield f"target {wrong!r}", partial(register_scheme, "mine", wrong), ConfigurationError, "target"
    yield "scheme taken", lambda: register_scheme("memory", "a:B"), ConfigurationError, "memory"


async def function(user_id: int, *, lang: str = "de") -> str:
    return lang


def decorate(function: Any) -> object:
    decorator: Any = cached(ttl=5)
    return decorator(function)


async def generator(user_id: int) -> Any:
    yield user_id


def decorators() -> Iterator[Row]:
    def wrong(name: str, word: str, **arguments: Any) -> Row:
        error = InvalidKeyError if ["\ud800"] in arguments.values() else ConfigurationError
        return f"cached({name})", lambda: cached(**arguments)(function), error, word

    for value in BAD_SECONDS:
        yield wrong(f"ttl={shown(value)}", "ttl", ttl=value)
    for value in (*BAD_TAGS, None, ["{nobody}"], ["{"], ["{user_id"], ["{}"], ["{0}"]):
        yield wrong(f"tags={shown(value)}", "tag", tags=value)
    for value in anything(5, b"k", [], "", "{nobody}", "{", "{}", "{0}", "{user_id!r}", "{user_id}{lang}"):
        yield wrong(f"key={shown(value)}", "key" if not isinstance(value, str) else "template", key=value)
    for value in ("user_id", 5, [5], ["nobody"], [""], None):
        yield wrong(f"ignore={shown(value)}", "ignore", ignore=value)
    for value in (5, "memory://", CacheConfig(), Cache):
        yield wrong(f"cache={shown(value)}", "cache", cache=value)
    for value in anything(5, {}, CachePolicy):
        yield wrong(f"policy={shown(value)}", "policy", policy=value)
    yield wrong("tll=5", "tll", tll=5)
    yield wrong("jitter=2", "jitter", jitter=2)
    yield wrong("store_if=5", "store_if", store_if=5)
    for value in anything(5, "f", None, object(), InMemoryBackend, 60.0):
        if value is not None:
            yield f"cached({shown(value)})", partial(cached, value), ConfigurationError, "cached"
        yield f"cached()({shown(value)})", partial(decorate, value), ConfigurationError, "cached"
    yield "cached(generator)", lambda: cached(generator), ConfigurationError, "generator"


ROWS = [*constructors(), *urls(), *decorators()]


@pytest.mark.parametrize("make, error, word", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_construction(make: Callable[[], object], error: type[Exception], word: str) -> None:
    """What is built from bad input raises one error, which names the argument and shows no secret."""
    with pytest.raises(error) as caught:
        make()
    assert isinstance(caught.value, (CacheError, TypeError))
    assert word.lower() in str(caught.value).lower()
    cause: BaseException | None = caught.value
    while cause is not None:
        assert SECRET not in str(cause)
        cause = cause.__cause__


async def load() -> str:
    raise AssertionError


async def load_many(missing: list[str]) -> dict[str, str]:
    raise AssertionError


def keyed() -> dict[str, Callable[[Cache, Any], Awaitable[object]]]:
    """Return every call that takes a key."""
    return {
        "get": lambda cache, key: cache.get(key),
        "set": lambda cache, key: cache.set(key, 1),
        "set tagged": lambda cache, key: cache.set(key, 1, tags=["t"]),
        "add": lambda cache, key: cache.add(key, 1),
        "delete": lambda cache, key: cache.delete(key),
        "exists": lambda cache, key: cache.exists(key),
        "touch": lambda cache, key: cache.touch(key),
        "ttl": lambda cache, key: cache.ttl(key),
        "incr": lambda cache, key: cache.incr(key),
        "get_many": lambda cache, key: cache.get_many(["fine", key]),
        "delete_many": lambda cache, key: cache.delete_many(["fine", key]),
        "get_or_set": lambda cache, key: cache.get_or_set(key, load),
        "get_or_set_many": lambda cache, key: cache.get_or_set_many(["fine", key], load_many),
    }


def timed() -> dict[str, Callable[[Cache, Any], Awaitable[object]]]:
    """Return every call that takes a ttl."""
    return {
        "set": lambda cache, ttl: cache.set("k", 1, ttl),
        "set tagged": lambda cache, ttl: cache.set("k", 1, ttl, tags=["t"]),
        "add": lambda cache, ttl: cache.add("k", 1, ttl),
        "touch": lambda cache, ttl: cache.touch("k", ttl),
        "incr": lambda cache, ttl: cache.incr("k", ttl=ttl),
        "set_many": lambda cache, ttl: cache.set_many({"k": 1}, ttl),
        "get_or_set": lambda cache, ttl: cache.get_or_set("k", load, ttl),
        "get_or_set with policy": lambda cache, ttl: cache.get_or_set("k", load, ttl, policy=CachePolicy()),
        "get_or_set_many": lambda cache, ttl: cache.get_or_set_many(["k"], load_many, ttl),
    }


def tagged() -> dict[str, Callable[[Cache, Any], Awaitable[object]]]:
    """Return every call that takes tags."""
    return {
        "set": lambda cache, tags: cache.set("k", 1, tags=tags),
        "add": lambda cache, tags: cache.add("k", 1, tags=tags),
        "set_many": lambda cache, tags: cache.set_many({"k": 1}, tags=tags),
        "get_or_set": lambda cache, tags: cache.get_or_set("k", load, tags=tags),
        "get_or_set_many": lambda cache, tags: cache.get_or_set_many(["k"], load_many, tags=tags),
    }


Call = Callable[[Cache, Any], Awaitable[object]]

OTHERS: list[tuple[str, Call, Iterable[Any], str, type[Exception]]] = [
    ("set_many", lambda cache, key: cache.set_many({key: 1}), (5, b"k", ("k",), None), "key", TypeError),
    ("set_many", lambda cache, key: cache.set_many({key: 1}), BAD_TEXT, "key", InvalidKeyError),
    (
        "set_many items",
        lambda cache, items: cache.set_many(items),
        (None, 5, "abc", ["k"], [("k", 1)]),
        "items",
        TypeError,
    ),
    (
        "invalidate_tags",
        lambda cache, tags: cache.invalidate_tags(*tags),
        ((), ("",), (5,), (None,), (["t"],), ("t", b"t")),
        "tags",
        ConfigurationError,
    ),
    (
        "invalidate_tags",
        lambda cache, tag: cache.invalidate_tags("t", tag),
        ("\ud800",),
        "tags",
        InvalidKeyError,
    ),
    (
        "invalidate_tags soft",
        lambda cache, soft: cache.invalidate_tags("t", soft=soft),
        BAD_FLAGS,
        "soft",
        ConfigurationError,
    ),
    ("get_many keys", lambda cache, keys: cache.get_many(keys), BAD_KEYS, "keys", TypeError),
    ("delete_many keys", lambda cache, keys: cache.delete_many(keys), BAD_KEYS, "keys", TypeError),
    (
        "get_or_set_many keys",
        lambda cache, keys: cache.get_or_set_many(keys, load_many),
        BAD_KEYS,
        "keys",
        TypeError,
    ),
    ("incr delta", lambda cache, delta: cache.incr("k", delta), BAD_INTS, "delta", ConfigurationError),
    (
        "incr initial",
        lambda cache, initial: cache.incr("k", initial=initial),
        BAD_INTS,
        "initial",
        ConfigurationError,
    ),
    ("load", lambda cache, wrong: cache.get_or_set("k", wrong), BAD_LOADS, "load", ConfigurationError),
    (
        "load many",
        lambda cache, wrong: cache.get_or_set_many(["k"], wrong),
        BAD_LOADS,
        "load",
        ConfigurationError,
    ),
    (
        "policy",
        lambda cache, policy: cache.get_or_set("k", load, policy=policy),
        (5, "p", {}, CachePolicy),
        "policy",
        ConfigurationError,
    ),
]


def calls() -> Iterator[AsyncRow]:
    def rows(
        name: str, call: Call, wrong: Iterable[Any], word: str, error: type[Exception]
    ) -> Iterator[AsyncRow]:
        for value in wrong:
            yield f"{name} {shown(value)}", bound(call, value), error, word

    for name, call in keyed().items():
        yield from rows(name, call, NO_STRINGS, "key", TypeError)
        yield from rows(name, call, BAD_TEXT, "key", InvalidKeyError)
    for name, call in timed().items():
        yield from rows(f"{name} ttl", call, BAD_SECONDS, "ttl", ConfigurationError)
    for name, call in tagged().items():
        no_utf8 = [tags for tags in BAD_TAGS if tags == ["\ud800"]]
        others = [tags for tags in BAD_TAGS if tags != ["\ud800"]]
        yield from rows(f"{name} tags", call, [*others, None, 0], "tag", ConfigurationError)
        yield from rows(f"{name} tags", call, no_utf8, "tag", InvalidKeyError)
    for other in OTHERS:
        yield from rows(*other)


def bound(call: Call, value: Any) -> Callable[[Cache], Awaitable[object]]:
    return lambda cache: call(cache, value)


CALLS = list(calls())


@pytest.mark.parametrize("call, error, word", [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_calls(call: Callable[[Cache], Awaitable[object]], error: type[Exception], word: str) -> None:
    """A call with bad input raises one error, which names the argument, and asks no store for anything."""
    backend = Untouchable()
    cache = Cache(CacheConfig(backend=backend, default_ttl=60))
    with pytest.raises(error) as caught:
        await call(cache)
    assert type(caught.value) is error
    assert word in str(caught.value)
    assert backend.touched == []


@pytest.mark.parametrize("call, error, word", [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_calls_in_this_process(
    call: Callable[[Cache], Awaitable[object]], error: type[Exception], word: str
) -> None:
    """The same on the in-memory store, whose fast paths check nothing twice; and nothing is left behind."""
    backend = InMemoryBackend(clock=FakeClock())
    cache = Cache(CacheConfig(backend=backend))
    with pytest.raises(error) as caught:
        await call(cache)
    assert type(caught.value) is error
    assert word in str(caught.value)
    assert "0 entries" in repr(backend)
    assert cache.stats().stored == 0


@pytest.mark.parametrize("name", [5, None, "", "\ud800", b"ns", ["a"]], ids=ascii)
def test_child_namespaces(name: Any) -> None:
    """A namespace inside another is checked like the first."""
    with pytest.raises(ConfigurationError, match="namespace"):
        Cache().namespace(name)


@pytest.mark.parametrize("ttl", [1e-3, 1e15, 10**15, timedelta.max, 0.5], ids=str)
async def test_extreme_ttls(ttl: Any) -> None:
    """Any positive finite ttl is taken, however long."""
    cache = Cache()
    assert await cache.set("k", 1, ttl)
    assert await cache.get("k") == 1


async def test_a_loader_that_is_not_asynchronous() -> None:
    """A load that returns no awaitable is told so by name, and nothing is stored."""
    cache = Cache()

    def wrong() -> Any:
        return 5

    with pytest.raises(ConfigurationError, match="load"):
        await cache.get_or_set("k", wrong)
    assert await cache.exists("k") is False


@pytest.mark.parametrize("answer", [None, 5, ["a"]], ids=str)
async def test_a_bulk_loader_that_returns_no_mapping(answer: Any) -> None:
    """A load for many keys that returns no mapping is told so by name."""

    async def loaded(missing: list[str]) -> Any:
        return answer

    with pytest.raises(ConfigurationError, match="load"):
        await Cache().get_or_set_many(["a", "b"], loaded)


async def test_repr_of_a_config_shows_no_secret() -> None:
    """Neither keys nor passwords appear where a config, or an error about one, is printed."""
    from asynccache.codecs import generate_key

    key = generate_key()
    assert key not in repr(CacheConfig(encryption_keys=[key]))
    with pytest.raises(ConfigurationError) as caught:
        CacheConfig(encryption_keys=key)
    assert key not in str(caught.value)
