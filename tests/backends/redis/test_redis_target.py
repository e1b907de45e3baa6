"""URLs and options: what they mean, and errors that show no password."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from asynccache import RedisBackend
from asynccache.backends import from_url
from asynccache.backends.redis._connect import check_driver
from asynccache.backends.redis._settings import Settings
from asynccache.backends.redis._target import Target, read_target
from asynccache.errors import ConfigurationError

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url, target",
    [
        ("redis://", Target("single", False, (("localhost", 6379),))),
        ("redis://h", Target("single", False, (("h", 6379),))),
        ("valkey://h:1/3", Target("single", False, (("h", 1),), db=3)),
        ("rediss://h/", Target("single", True, (("h", 6379),))),
        ("valkeys://h", Target("single", True, (("h", 6379),))),
        ("redis://[::1]:7/2", Target("single", False, (("::1", 7),), db=2)),
        ("redis://:p%40%2F@h", Target("single", False, (("h", 6379),), password="p@/")),
        ("redis://u%3A:p:q@h", Target("single", False, (("h", 6379),), username="u:", password="p:q")),
        ("redis+unix:///var/r%20s.sock", Target("unix", False, (), path="/var/r s.sock")),
        (
            "redis+unix://u:p@/s",
            Target("unix", False, (), path="/s", username="u", password="p"),
        ),
        (
            "redis+sentinel://u:p@a,b:2,[::1]:3/my%20master/4",
            Target(
                "sentinel",
                False,
                (("a", 26379), ("b", 2), ("::1", 3)),
                service="my master",
                db=4,
                username="u",
                password="p",
            ),
        ),
        ("rediss+sentinel://a/m", Target("sentinel", True, (("a", 26379),), service="m")),
        ("redis+cluster://a,b:2", Target("cluster", False, (("a", 6379), ("b", 2)))),
        ("rediss+cluster://a/0", Target("cluster", True, (("a", 6379),))),
    ],
)
def test_urls(url: str, target: Target) -> None:
    assert read_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "redis:/h",
        "http://h",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:port",
        "redis://h:",
        "redis://:1x@h:1:2",
        "redis://[::1",
        "redis://[::1]x",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/0/1",
        "redis://a,b",
        "redis://user@h",
        "redis://user:@h",
        "redis://h#x",
        "redis://h/0?db=1",
        "redis://h?nonsense=1",
        "redis://h?timeout=0",
        "redis://h?timeout=soon",
        "redis://h?timeout=1&timeout=2",
        "redis://h?max_connections=0",
        "redis://h?max_connections=many",
        "redis://h?max_value_bytes=513mib",
        "redis://h?channel=",
        "redis://h?ssl_check_hostname=perhaps",
        "redis://h?password=x",
        "redis+unix://",
        "redis+unix://host/path",
        "redis+sentinel://a,b",
        "redis+sentinel://a,,b/m",
        "redis+sentinel://a/m/0/1",
        "redis+cluster://a/1",
        "redis+cluster://",
    ],
)
def test_malformed_urls_are_refused_before_any_io(url: str) -> None:
    with pytest.raises(ConfigurationError):
        from_url(url) if "://" in url else RedisBackend(url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://u:{SECRET}@h:x",
        f"redis://u:{SECRET}@h/1/2",
        f"redis://u:{SECRET}@h?nonsense=1",
        f"redis://u:{SECRET}#@h",
        f"redis://u:{SECRET}/@h",
        f"redis://u:{SECRET}?@h",
        f"redis://u:{SECRET}@[h",
        f"redis+sentinel://u:{SECRET}@h",
        f"redis://h?sentinel_password={SECRET}&timeout=x",
        f"redis://h?password={SECRET}",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RedisBackend.from_url(url)
    assert SECRET not in str(raised.value)


def test_no_repr_shows_a_password() -> None:
    url = f"redis+sentinel://u:{SECRET}@h,[::1]:2/m/3"
    store = RedisBackend(url, sentinel_username="s", sentinel_password=SECRET)

    assert repr(store) == "<RedisBackend sentinel h:26379,[::1]:2/m/3>"
    assert SECRET not in repr(read_target(url)) + repr(Settings(password=SECRET, sentinel_password=SECRET))
    assert repr(RedisBackend("redis+unix:///s.sock")) == "<RedisBackend unix /s.sock>"
    assert repr(RedisBackend(Redis(password=SECRET))) == "<RedisBackend Redis of its user>"


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": 1},
        {"max_connections": 0},
        {"max_connections": True},
        {"timeout": -1},
        {"timeout": "1"},
        {"connect_timeout": float("nan")},
        {"max_value_bytes": 2**29 + 1},
        {"channel": ""},
        {"channel": b"x"},
        {"username": "u"},
        {"password": b"x"},
        {"password": ""},
        {"ssl_ca_certs": 1},
        {"ssl_check_hostname": "yes"},
    ],
)
def test_malformed_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RedisBackend("redis://h", **options)
    with pytest.raises(ConfigurationError):
        RedisBackend(Redis(), **options)


@pytest.mark.parametrize("where", [None, 1, b"redis://h", ["redis://h"]])
def test_only_a_url_or_a_client_will_do(where: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a URL or a client of redis\.asyncio"):
        RedisBackend(where)


@pytest.mark.parametrize("version", ["5.0.8", "6.4.0", "8.0.0"])
def test_an_older_driver_will_do_for_a_single_server_only(version: str) -> None:
    """What it does to a cancelled call elsewhere was measured: lost connections, a wrong answer."""
    master: Any = Redis(connection_pool=SentinelConnectionPool("m", None))  # type: ignore[no-untyped-call]  # the driver's
    cluster = RedisCluster(host="h")
    for where in (read_target("redis+cluster://h"), read_target("redis+sentinel://h/m"), master, cluster):
        check_driver(where, "8.1.0")
        check_driver(where, "10.0.0b1")
        with pytest.raises(ConfigurationError, match=r"8\.1 or newer"):
            check_driver(where, version)
    for where in (read_target("redis://h"), read_target("redis+unix:///s"), Redis()):
        check_driver(where, version)


def test_a_client_that_decodes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisBackend(Redis(decode_responses=True))


def test_a_missing_driver_names_what_to_install() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "import asynccache\n"
        "try: asynccache.RedisBackend\n"
        "except asynccache.MissingDependencyError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == 'redis is not installed: pip install "asynccache[redis]"'
