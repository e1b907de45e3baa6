"""PostgreSQL URLs and options: what is found, what is refused before any I/O, and that no password shows."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asynccache import BackendUnavailableError, ConfigurationError
from asynccache.backends import from_url
from asynccache.backends.postgres import PostgresBackend
from tests.servers.postgres import PostgresProcess, PostgresServer

URL = "postgresql://user:s3cret@db.example/app"


@pytest.mark.parametrize(
    "url,named",
    [
        (f"{URL}?tabel=x", "unknown option 'tabel'"),
        (f"{URL}?table=a&table=b", "table is given twice"),
        (f"{URL}?table=", "table must be 1 to 63 bytes"),
        (f"{URL}?table={'x' * 64}", "table must be 1 to 63 bytes"),
        (f"{URL}?table={'é' * 32}", "table must be 1 to 63 bytes"),
        (f"{URL}?table=a%00b", "without NUL"),
        (f"{URL}?schema=", "schema must be 1 to 63 bytes"),
        (f"{URL}?unlogged=perhaps", "unlogged must be true or false"),
        (f"{URL}?pool_size=0", "pool_size must be an int of at least 1"),
        (f"{URL}?pool_size=many", "pool_size must be a whole number"),
        (f"{URL}?timeout=0", "timeout must be finite seconds, more than 0"),
        (f"{URL}?timeout=1s", "timeout must be a number of seconds"),
        (f"{URL}?connect_timeout=-1", "connect_timeout must be a number of seconds"),
        (f"{URL}?sweep_every=x", "sweep_every must be a whole number"),
        (f"{URL}?max_value_bytes=1gb", "max_value_bytes must be at most"),
        (f"{URL}?sslmode=maybe", "sslmode must be one of disable"),
        (f"{URL}#fragment", "no #fragment"),
        ("postgresql://user:s3cret@db:port/app", "host:port"),
        ("postgresql://user:s3cret@db:70000/app", "host:port"),
        ("postgresql://user:s3cret@x@db/app", "write @ in a password as %40"),
        ("postgresql://user:s3cret@[::1/app", "malformed"),
    ],
)
def test_bad_urls_are_refused_without_showing_the_password(url: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_url(url)
    assert named in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"pool_size": True},
        {"pool_size": 1.5},
        {"timeout": float("nan")},
        {"timeout": "1"},
        {"unlogged": 1},
        {"pgbouncer": "yes"},
        {"table": b"x"},
        {"table": "\ud800"},
        {"schema": 1},
        {"sweep_every": -1},
        {"max_value_bytes": 0},
        {"clock": 1.0},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PostgresBackend(URL, **options)


def test_what_is_no_url_and_no_pool_is_refused() -> None:
    server: Any
    for server in (None, 5432, b"postgresql://db"):
        with pytest.raises(ConfigurationError, match=r"asyncpg\.Pool"):
            PostgresBackend(server)
    with pytest.raises(ConfigurationError, match="begins with postgresql://"):
        PostgresBackend("mysql://db")
    with pytest.raises(ConfigurationError, match="no #fragment"):
        PostgresBackend(f"{URL}#x")


def test_an_option_in_a_url_for_the_constructor_is_refused_and_says_where_it_is_read() -> None:
    with pytest.raises(ConfigurationError, match=r"table in a URL is read by PostgresBackend\.from_url"):
        PostgresBackend(f"{URL}?table=x")


def test_an_unknown_keyword_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'tables': PostgresBackend takes table"):
        from_url(URL, tables="x")


@pytest.mark.parametrize(
    "url,shown",
    [
        (URL, "postgresql://db.example/app"),
        ("postgres://u:s3cret@a:1,b:2/app?table=t&password=s3cret", "postgres://a:1,b:2/app"),
        ("postgresql://u:s3cret@[::1]:5432/app", "postgresql://[::1]:5432/app"),
        ("postgresql:///app?host=/run/postgresql&password=s3cret", "postgresql:///app"),
    ],
)
def test_neither_user_nor_password_shows_in_the_representation(url: str, shown: str) -> None:
    assert f"<PostgresBackend {shown} table " in repr(from_url(url))
    assert "s3cret" not in repr(from_url(url))


def test_the_url_of_every_option_makes_the_store_that_the_arguments_make() -> None:
    options = "schema=s&unlogged=no&pgbouncer=true&pool_size=3&timeout=0.5&connect_timeout=1&sweep_every=0"
    one = PostgresBackend.from_url(f"{URL}?sslmode=require&table=t&{options}&max_value_bytes=1mib")
    other = PostgresBackend(
        f"{URL}?sslmode=require",
        table="t",
        schema="s",
        unlogged=False,
        pgbouncer=True,
        pool_size=3,
        timeout=0.5,
        connect_timeout=1.0,
        sweep_every=0,
        max_value_bytes=2**20,
    )
    apart = {"_sql", "_sessions", "_here"}
    mine, theirs = vars(one), vars(other)
    assert {k: v for k, v in mine.items() if k not in apart} == {
        k: v for k, v in theirs.items() if k not in apart
    }


def test_asyncpg_is_imported_by_the_store_only_and_missing_names_its_extra() -> None:
    script = (
        "import sys, asynccache; assert 'asyncpg' not in sys.modules; sys.modules['asyncpg'] = None\n"
        "from asynccache.backends import from_url\n"
        "try: from_url('postgresql://x')\n"
        "except asynccache.MissingDependencyError as error: assert 'asynccache[postgres]' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_a_password_is_sent_as_scram_and_a_wrong_one_is_an_unavailable_store(
    postgres_server: PostgresServer,
) -> None:
    await postgres_server.query("DROP ROLE IF EXISTS locked_up")
    await postgres_server.query("CREATE ROLE locked_up LOGIN PASSWORD 'p@ss/w:rd#'")
    await postgres_server.query("CREATE SCHEMA IF NOT EXISTS locked_up AUTHORIZATION locked_up")
    rest = postgres_server.url.partition("@")[2]
    right = from_url(f"postgresql://locked_up:p%40ss%2Fw%3Ard%23@{rest}?schema=locked_up")
    wrong = PostgresBackend(f"postgresql://locked_up:wr0ng@{rest}")
    await right.set("k", b"v")
    assert await right.get("k") == b"v"
    with pytest.raises(BackendUnavailableError, match="password authentication failed") as caught:
        await wrong.open()
    assert "wr0ng" not in str(caught.value)
    for backend in (right, wrong):
        await backend.aclose()  # type: ignore[attr-defined]  # every store of ours has a life
    await postgres_server.query("DROP OWNED BY locked_up")
    await postgres_server.query("DROP ROLE locked_up")


async def test_a_unix_socket(postgres_process: PostgresProcess) -> None:
    url = f"postgresql://asynccache@/postgres?host={postgres_process.folder}&port={postgres_process.port}"
    backend = PostgresBackend(url, table="by_socket")
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    await backend.aclose()


async def test_tls_that_the_server_has_not_is_an_unavailable_store(postgres_process: PostgresProcess) -> None:
    backend = PostgresBackend(f"{postgres_process.url}?sslmode=require")
    with pytest.raises(BackendUnavailableError, match="SSL"):
        await backend.get("k")
    await backend.aclose()


async def test_a_database_that_is_not_there_is_an_unavailable_store(postgres_server: PostgresServer) -> None:
    backend = PostgresBackend(f"{postgres_server.url}_nowhere")
    with pytest.raises(BackendUnavailableError, match="does not exist"):
        await backend.open()
    await backend.aclose()


@pytest.mark.parametrize(
    "host", ["a" * 70 + ".invalid", "nowhere.invalid", "127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"]
)
async def test_a_host_that_cannot_be_reached_is_an_unavailable_store(host: str) -> None:
    backend = PostgresBackend(f"postgresql://u:s3cret@{host}/db", timeout=30.0, connect_timeout=30.0)
    with pytest.raises(BackendUnavailableError) as caught:
        await backend.get("k")
    assert "s3cret" not in str(caught.value)
    await backend.aclose()


@pytest.mark.parametrize("option,name", [("", "asynccache"), ("?application_name=shop", "shop")])
async def test_sessions_carry_a_name(postgres_server: PostgresServer, option: str, name: str) -> None:
    backend = PostgresBackend(postgres_server.url + option, table="named")
    await backend.open()
    rows = await postgres_server.query("SELECT 1 FROM pg_stat_activity WHERE application_name = $1", name)
    await backend.aclose()
    assert rows
