"""URLs, options and messages; what `SQLiteBackend` says of itself."""

from __future__ import annotations

import sqlite3
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from asynccache import Cache, CacheConfig
from asynccache.backends import from_url
from asynccache.backends.sqlite import SQLiteBackend
from asynccache.backends.sqlite._failures import failure, is_lost, is_outdated
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
    InvalidKeyError,
)
from asynccache.protocols import (
    SupportsAdd,
    SupportsClear,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsLifecycle,
    SupportsMany,
    SupportsTouch,
)

CACHE: dict[str, Any] = {"path": "cache.db"}


@pytest.mark.parametrize(
    "url,path",
    [
        ("sqlite:///cache.db", "{here}/cache.db"),
        ("sqlite:///a/b.db?max_bytes=1mb", "{here}/a/b.db"),
        ("sqlite:////var/lib/app/cache.db", "/var/lib/app/cache.db"),
        ("SQLITE:////var/a%20b%3F%23.db", "/var/a b?#.db"),
    ],
)
def test_urls(url: str, path: str) -> None:
    backend = from_url(url)

    assert repr(backend) == f"<SQLiteBackend {path.format(here=Path.cwd())!r}>"


def test_paths_and_urls_are_the_same_file() -> None:
    forms = ("/a/cache.db", Path("/a/cache.db"), "sqlite:////a/cache.db")

    assert {repr(SQLiteBackend(form)) for form in forms} == {"<SQLiteBackend '/a/cache.db'>"}


@pytest.mark.parametrize(
    "url,named",
    [
        ("sqlite://", "path of a file"),
        ("sqlite:///", "path of a file"),
        ("sqlite:////var/", "path of a file"),
        ("sqlite://cache.db", "three slashes"),
        ("sqlite://user:secret@host/cache.db", "three slashes"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///a%00b", "path of a file"),
        ("sqlite:///c.db?max_bytes=big", "max_bytes"),
        ("sqlite:///c.db?max_bytes=1kb", "max_bytes"),
        ("sqlite:///c.db?max_bytes=1mb&max_bytes=2mb", "twice"),
        ("sqlite:///c.db?max_value_bytes=1gb", "eighth"),
        ("sqlite:///c.db?max_value_bytes=0", "max_value_bytes"),
        ("sqlite:///c.db?busy_timeout=soon", "busy_timeout"),
        ("sqlite:///c.db?busy_timeout=inf", "busy_timeout"),
        ("sqlite:///c.db?busy_timeout=-1", "busy_timeout"),
        ("sqlite:///c.db?synchronous=extra", "off, normal, full"),
        ("sqlite:///c.db?timeout=1", "max_bytes, max_value_bytes, busy_timeout, synchronous"),
        ("sqlite:///c.db#part", "fragment"),
    ],
)
def test_bad_urls(url: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        from_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments,named",
    [
        ({"path": b"cache.db"}, "path"),
        ({"path": None}, "path"),
        ({"path": ""}, "path"),
        ({"path": "sqlite:///c.db?max_bytes=1mb"}, "from_url"),
        ({"max_bytes": 1.5}, "max_bytes"),
        ({"max_bytes": True}, "max_bytes"),
        ({"max_value_bytes": "1mb"}, "max_value_bytes"),
        ({"busy_timeout": nan}, "busy_timeout"),
        ({"busy_timeout": inf}, "busy_timeout"),
        ({"synchronous": "NORMAL; DROP TABLE entries"}, "synchronous"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        SQLiteBackend(**{**CACHE, **arguments})


def test_unknown_options() -> None:
    with pytest.raises(ConfigurationError, match=r"'colour'.*synchronous, clock"):
        from_url("sqlite:///c.db", colour="red")


async def test_options_arrive(tmp_path: Path) -> None:
    backend = from_url(
        f"sqlite:///{tmp_path}/c.db?max_bytes=1mib&max_value_bytes=1kb&busy_timeout=0.5&synchronous=FULL"
    )
    assert isinstance(backend, SQLiteBackend)
    assert await backend.set("k", bytes(1001)) is False
    assert await backend.set("k", bytes(1000)) is True
    details = (await backend.health()).details
    await backend.aclose()

    assert details["max_bytes"] == 2**20
    assert details["max_value_bytes"] == 1000
    assert details["persistence"] == "file, synchronous=full"
    assert details["journal_mode"] == "wal"
    assert details["server_version"] == sqlite3.sqlite_version
    assert details["file_bytes"] >= details["bytes"] > 0


async def test_everything_is_checked_before_the_file_is_touched(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "absent" / "c.db")
    wrong: Any = 3
    for call, error in (
        (lambda: backend.get(""), InvalidKeyError),
        (lambda: backend.get("\ud800"), InvalidKeyError),
        (lambda: backend.get(wrong), TypeError),
        (lambda: backend.get_many(["k", ""]), InvalidKeyError),
        (lambda: backend.delete_many(["k", wrong]), TypeError),
        (lambda: backend.set("k", wrong), TypeError),
        (lambda: backend.set("k", b"v", 0), ValueError),
        (lambda: backend.set_many({"k": wrong}), TypeError),
        (lambda: backend.set_many({"k": b"v"}, nan), ValueError),
        (lambda: backend.add("k", wrong), TypeError),
        (lambda: backend.fill("k", wrong, None, "t"), TypeError),
        (lambda: backend.incr("k", wrong + 0.5), TypeError),
        (lambda: backend.incr("k", initial=True), TypeError),
        (lambda: backend.touch("k", -1), ValueError),
        (lambda: backend.acquire_lease("k", 0), ValueError),
        (lambda: backend.clear(""), InvalidKeyError),
    ):
        with pytest.raises(error):
            await call()
    assert await backend.get_many([]) == {}
    assert await backend.set_many({}) == set()
    assert await backend.delete_many([]) == set()


def test_it_can_do_everything_but_tell_other_processes() -> None:
    backend = SQLiteBackend("cache.db")
    for protocol in (
        SupportsAdd,
        SupportsClear,
        SupportsExists,
        SupportsHealth,
        SupportsIncrement,
        SupportsLeases,
        SupportsLifecycle,
        SupportsMany,
        SupportsTouch,
    ):
        assert isinstance(backend, protocol)
    assert not isinstance(backend, SupportsInvalidationBus)
    assert Cache(CacheConfig(backend=backend)).capabilities.leases


async def test_clear_is_exact_for_any_unicode(tmp_path: Path) -> None:
    """The prefix ends in characters of each length; what only sorts beside it stays. More than one slice."""
    backend = SQLiteBackend(tmp_path / "c.db", synchronous="off")
    for prefix, beside in (
        ("a\x7f", ("a", "a\x80", "b")),
        ("\u07ff", ("\u0800", "\u07fe")),
        ("\uffff", ("\U00010000", "\ufffe")),
        ("\U0010ffff", ("\U0010fffe", "z")),
        ("p%_*", ("p%", "pa_*", "P%_*x")),
    ):
        under = {f"{prefix}{number}": b"v" for number in range(1100)} | {prefix: b"v"}
        others = dict.fromkeys(beside, b"other")
        await backend.set_many(under | others)
        await backend.clear(prefix)
        assert await backend.get_many([*under, *others]) == others
    await backend.aclose()


@pytest.mark.parametrize(
    "code,kind",
    [
        (sqlite3.SQLITE_BUSY, BackendTimeoutError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, BackendTimeoutError),
        (sqlite3.SQLITE_LOCKED, BackendTimeoutError),
        (sqlite3.SQLITE_IOERR_WRITE, BackendUnavailableError),
        (sqlite3.SQLITE_CANTOPEN, BackendUnavailableError),
        (sqlite3.SQLITE_CORRUPT, BackendUnavailableError),
        (sqlite3.SQLITE_NOTADB, BackendUnavailableError),
        (sqlite3.SQLITE_FULL, BackendError),
        (sqlite3.SQLITE_READONLY, BackendError),
        (sqlite3.SQLITE_TOOBIG, BackendError),
    ],
)
def test_what_errors_become(code: int, kind: type[BackendError]) -> None:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code

    mapped = failure(error, "set", "k")
    assert type(mapped) is kind
    assert (mapped.backend, mapped.key) == ("sqlite", "k")
    assert "set" in str(mapped)


def test_errors_without_a_code() -> None:
    assert type(failure(MemoryError(), "get", "k")) is BackendError
    assert type(failure(PermissionError("no"), "get", "k")) is BackendUnavailableError
    moved = sqlite3.OperationalError("moved")
    moved.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
    assert is_outdated(moved)
    assert not is_lost(moved)
