"""The pytest plugin, and what `asynccache.testing` loads when: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

PLUGIN = "asynccache" if entry_points(group="pytest11", name="asynccache") else "asynccache.testing.plugin"


def run_python(code: str) -> str:
    """Run ``code`` in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_tests(folder: Path, code: str, *options: str) -> str:
    """Run the tests in ``code`` with the plugin and no configuration; return pytest's output."""
    settings = "" if "no:asyncio" in options else "asyncio_default_fixture_loop_scope = function\n"
    (folder / "pytest.ini").write_text(f"[pytest]\n{settings}")
    (folder / "test_user.py").write_text(dedent(code))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        PLUGIN,
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        *options,
        ".",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


USER = """
    import asyncio

    def test_fixtures_without_a_loop(asynccache_cache, asynccache_clock):
        assert asynccache_clock() == 1_700_000_000.0
        assert asynccache_cache.config.clock is asynccache_clock

    def test_stores_and_expires(asynccache_cache, asynccache_clock):
        async def main():
            await asynccache_cache.set("k", {"a": 1}, ttl=60)
            assert await asynccache_cache.get("k") == {"a": 1}
            asynccache_clock.advance(60)
            assert await asynccache_cache.get("k") is None
            await asynccache_cache.set("left over", 1, None)
        asyncio.run(main())

    def test_starts_empty(asynccache_cache):
        assert asyncio.run(asynccache_cache.get("left over")) is None
"""

OVERRIDE = """
    import asyncio
    from asynccache import Cache, CacheConfig
    from asynccache.http import CacheMiddleware

    async def nothing(scope, receive, send): ...

    own = Cache(CacheConfig(default_ttl=7))
    app = CacheMiddleware(nothing, cache=own)
    other = CacheMiddleware(nothing, cache=own)

    def test_both_have_a_cache_of_their_own(asynccache_override, asynccache_clock):
        caches = [asynccache_override(each) for each in (app, other)]
        assert [app.cache, other.cache] == caches
        assert caches[0] is not caches[1]
        assert {cache.config.clock for cache in caches} == {asynccache_clock}
        assert {cache.config.default_ttl for cache in caches} == {7}

    def test_has_it_no_longer():
        assert app.cache is other.cache is own
"""

DEFAULT = """
    import pytest
    from asynccache import Cache, CacheConfig, current_cache, set_default_cache

    mine = Cache(CacheConfig())
    set_default_cache(mine)

    def test_is_the_default(asynccache_cache):
        assert current_cache() is asynccache_cache

    def test_is_the_default_no_longer():
        assert current_cache() is mine

    def test_fails_inside(asynccache_cache):
        pytest.fail("on purpose")

    def test_is_the_default_no_longer_either():
        assert current_cache() is mine
"""

STRICT = """
    import pytest

    @pytest.mark.asyncio
    async def test_in_a_loop(asynccache_cache):
        await asynccache_cache.set("k", 1)
        assert await asynccache_cache.incr("k") == 2
"""

ANYIO = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    async def test_in_a_loop(asynccache_cache):
        await asynccache_cache.set("k", 1)
        assert await asynccache_cache.incr("k") == 2
"""


@pytest.mark.parametrize("options", [(), ("-p", "no:asyncio", "-p", "no:anyio")], ids=["with", "without"])
def test_fixtures_need_no_async_plugin(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The fixtures work in plain tests, whatever plugins there are; each test gets a fresh cache."""
    assert "3 passed" in run_tests(tmp_path, USER, *options)


def test_overrides_the_cache_of_an_application_for_the_test_only(tmp_path: Path) -> None:
    """With the application's settings, on the test's clock; afterwards everything is as it was."""
    assert "2 passed" in run_tests(tmp_path, OVERRIDE)


def test_sets_the_default_for_the_test_only(tmp_path: Path) -> None:
    """During the test the cache is the default; afterwards, of a failed one too, it is what it was."""
    assert "1 failed, 3 passed" in run_tests(tmp_path, DEFAULT)


def test_strict_mode(tmp_path: Path) -> None:
    """pytest-asyncio's strict mode is fine."""
    assert "1 passed" in run_tests(tmp_path, STRICT, "-o", "asyncio_mode=strict")


def test_anyio(tmp_path: Path) -> None:
    """So is anyio's plugin."""
    assert "1 passed" in run_tests(tmp_path, ANYIO, "-p", "no:asyncio")


def test_plugin_loads_nothing_of_its_own() -> None:
    """Loading the plugin loads neither the suites nor the fakes: who does not use it does not pay."""
    loaded = run_python("""
        import sys, asynccache.testing.plugin
        print([name for name in sys.modules if name.startswith("asynccache.testing.")])
    """)
    assert loaded.strip() == "['asynccache.testing.plugin']"


def test_fakes_do_not_need_pytest() -> None:
    """The clock, the chaos and the recorder work where pytest is not installed."""
    run_python("""
        import sys
        sys.modules["pytest"] = sys.modules["pytest_asyncio"] = None
        from asynccache.testing import ChaosBackend, FakeClock, RecordedEvents, count, override_cache
    """)


@pytest.mark.parametrize("missing", ["pytest", "pytest_asyncio"])
def test_suite_says_what_it_needs(missing: str) -> None:
    """Without pytest or pytest-asyncio the suite says which is missing, and how to install it."""
    said = run_python(f"""
        import sys
        sys.modules["{missing}"] = None
        try:
            from asynccache.testing import BackendConformance
        except ImportError as error:
            print(error)
    """)
    assert f"need {missing}: pip install pytest pytest-asyncio" in said


def test_names_of_the_package() -> None:
    """Every public name is there, ``dir`` lists them, and others raise AttributeError."""
    from asynccache import testing

    assert dir(testing) == sorted(testing.__all__)
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = testing.Nonsense
