"""`./scripts/demo` on a small data set: the same story, told by the same code, over real sockets."""

import io
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from examples.demo.__main__ import main
from examples.demo.orders import Orders, make_orders
from examples.demo.story import CROWD, STEPS

ROOT = Path(__file__).parents[2]
SMALL = 2000
ROW = re.compile(r".{28}(?P<request>.{34})(?P<status>\d{3})\s+(?P<cache>.*?)\s+[\d.]+$")


def rows(text: str) -> list[tuple[str, int, str]]:
    """Return request, status and Cache-Status of every row of the table."""
    found = [match for line in text.splitlines() if (match := ROW.match(line))]
    return [(match["request"].strip(), int(match["status"]), match["cache"].strip()) for match in found]


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    return ["--orders", str(SMALL), "--data", str(tmp_path)]


def test_the_story_holds(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small) == 0

    out = capsys.readouterr().out
    table = rows(out)
    assert out.count("→") == len(STEPS)
    assert table[0] == ("GET /reports/sales", 200, "fwd=uri-miss; stored")
    assert table[1][:2] == ("GET /reports/sales", 200)
    assert table[1][2].startswith("hit; ttl=")
    assert table[2][:2] == ("GET /reports/sales  If-None-Match", 304)
    assert table[3][:2] == ("HEAD /reports/sales", 200)
    assert ("PUT /orders/1", 200, "-") in table
    assert any(request == "GET /bestsellers" and "stale" in cache for request, _, cache in table)
    assert f"{CROWD} x GET /reports/sales?year=2025" in {request for request, _, _ in table}
    assert ("GET /me  (nobody)", 401, "-") in table
    assert "the application counted 1 run of the handler" in " ".join(out.split())
    assert re.search(r"The cache counted \d+ hits", out)


SERVERS = {
    "sqlite": "sqlite_server",
    "redis": "redis_server",
    "memcached": "memcached_server",
    "postgresql": "postgres_server",
    "mongodb": "mongo_server",
}


def told(url: str, folder: Path) -> str:
    """Return what the demo prints over the store at ``url``."""
    written = io.BytesIO()
    paper = io.TextIOWrapper(written, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(paper):
        patch.setenv("ASYNCCACHE_URL", url)
        code = main(["--orders", str(SMALL), "--data", str(folder)])
        paper.flush()
    story = written.getvalue().decode()
    assert code == 0, story
    return story


def plot(story: str) -> list[str]:
    """Return the story without what no two runs share: numbers, and who came first in a crowd."""
    told_apart = re.sub(r"(?m)^(.{28}(?=\d+ x ).{34}\d{3}) .*$", r"\1", story)
    without_numbers = re.sub(r"\d[\d.,]*", "N", told_apart)
    return [" ".join(step.split()) for step in without_numbers.split("\n\n")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_orders(folder, SMALL, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def embedded(folder: Path) -> list[str]:
    return plot(told("memory://", folder))


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_story_is_the_same_over_every_store(
    scheme: str, embedded: list[str], folder: Path, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(SERVERS[scheme]).fresh_url()

    story = plot(told(url, folder))

    assert f"store {scheme}://" in story[0]
    assert story[1:] == embedded[1:]
    assert len(story) == len(STEPS) + 2


def test_a_step_that_is_not_what_it_claims_fails_the_demo(
    small: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCACHE_URL", "memory://?max_bytes=8192")  # too small for the report

    assert main(small) == 1

    out, err = capsys.readouterr()
    assert "✗" in out
    assert "expected a stored miss, got 'fwd=uri-miss'" in out
    assert "not what it claims" in err


def test_a_store_that_does_not_exist_is_named(
    small: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCACHE_URL", "nonsense://user:secret@host")

    assert main(small) == 1

    out, err = capsys.readouterr()
    assert "no store for nonsense://" in err
    assert "secret" not in out + err


def test_an_interrupted_build_leaves_nothing_half_made(tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_orders(tmp_path, SMALL, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]

    database = make_orders(tmp_path, SMALL, lambda _: None)

    assert sum(Orders(database).city(name)["orders"] for name in ("Oslo", "Bergen")) > 0


def test_data_is_made_once(tmp_path: Path) -> None:
    first = make_orders(tmp_path, SMALL, lambda _: None)
    made = first.stat().st_mtime_ns

    assert make_orders(tmp_path, SMALL, lambda _: None) == first
    assert first.stat().st_mtime_ns == made


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Ctrl-C for one process")
def test_serve_prints_its_url_and_ends_cleanly(small: list[str]) -> None:
    command = [sys.executable, "-m", "examples.demo", "--serve", *small]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = ""
        while told.count("curl") < 3 and (line := server.stdout.readline()):
            told += line
        url = re.findall(r"http://[\d.:]+", told)[0]
        with urllib.request.urlopen(f"{url}/cities/Oslo") as response:
            assert response.headers["cache-status"] == "asynccache; fwd=uri-miss; stored"
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0, err
    assert "Traceback" not in err
