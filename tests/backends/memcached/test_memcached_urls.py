"""URLs and options: what is understood, what is refused, and what a message may show."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any

import pytest

from asynccache import MemcachedBackend
from asynccache.backends import from_url
from asynccache.errors import ConfigurationError


@pytest.mark.parametrize(
    "url,shown",
    [
        ("memcached://localhost", "memcached://localhost:11211"),
        ("memcached://localhost/", "memcached://localhost:11211"),
        ("MEMCACHED://Cache-1.example:22122", "memcached://cache-1.example:22122"),
        ("memcached://a,b:1,c", "memcached://a:11211,b:1,c:11211"),
        ("memcached://[::1]", "memcached://[::1]:11211"),
        ("memcached://[::1]:1,[fe80::1%25]:2,10.0.0.1", "memcached://[::1]:1,[fe80::1%25]:2,10.0.0.1:11211"),
        ("memcached://user:secret@a,b", "memcached://a:11211,b:11211"),
        ("memcacheds://a", "memcacheds://a:11211"),
        (
            "memcached://a,b?timeout=0.5&connect_timeout=2&retry_seconds=0.25&max_value_bytes=64kib",
            "memcached://a:11211,b:11211",
        ),
    ],
)
def test_urls(url: str, shown: str) -> None:
    """Hosts, ports, IPv6 and options are understood, without I/O and without a loop; no password is shown."""
    store = from_url(url)

    assert isinstance(store, MemcachedBackend)
    assert repr(store) == f"<MemcachedBackend {shown}>"


@pytest.mark.parametrize(
    "url",
    [
        "memcached://",
        "memcached:///a",
        "memcached://a/0",
        "memcached://a#x",
        "memcached://a,",
        "memcached://a,,b",
        "memcached://a, b",
        "memcached://a:0",
        "memcached://a:65536",
        "memcached://a:port",
        "memcached://a,b,a:11211",
        "memcached://::1",
        "memcached://[::1",
        "memcached://a?timeout=0",
        "memcached://a?timeout=-1",
        "memcached://a?timeout=soon",
        "memcached://a?timeout=1&timeout=2",
        "memcached://a?max_value_bytes=0",
        "memcached://a?max_value_bytes=1e6",
        "memcached://a?db=1",
        "memcached://a?ssl=1",
        "memcached://user@a",
        "memcached://:secret@a",
        "memcached://user:@a",
        "memcached://user:secret%0d%0aflush_all@a",
        "memcached://user:sec/ret@a",
        "memcached://user:secret@b@a",
        "memcached://user:secret@",
        "memcached://user:secret",
    ],
)
def test_bad_urls(url: str) -> None:
    """What cannot work is refused at once; a password is never shown."""
    with pytest.raises(ConfigurationError) as caught:
        from_url(url)
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"connect_timeout": float("nan")},
        {"retry_seconds": True},
        {"max_value_bytes": 0},
        {"max_value_bytes": 1.5},
        {"clock": 5},
        {"ssl": "yes"},
        {"ssl": ssl.create_default_context()},  # without TLS in the URL
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        MemcachedBackend("memcached://a", **options)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="memcached:// takes timeout"):
        from_url("memcached://a", pool_size=3)


def test_options_that_are_no_url() -> None:
    with pytest.raises(ConfigurationError, match="memcached://"):
        MemcachedBackend("redis://a")
    with pytest.raises(ConfigurationError, match="SSLContext"):
        MemcachedBackend("memcacheds://a", ssl=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="memcached://"):
        MemcachedBackend(None)  # type: ignore[arg-type]


def test_durations_may_be_timedeltas() -> None:
    MemcachedBackend("memcached://a", timeout=timedelta(seconds=1))
