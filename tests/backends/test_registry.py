"""Stores by URL: what is found, what is refused, and what a message may show."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asynccache.backends import from_url, parse_size, register_scheme
from asynccache.backends.memory import InMemoryBackend
from asynccache.errors import ConfigurationError


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


def test_importing_the_registry_imports_no_driver() -> None:
    """Stores that need a driver are imported on demand."""
    code = "import sys, asynccache.backends as b; print(*(m for m in sys.modules if b.__name__ + '.' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) <= {"asynccache.backends.memory"}
