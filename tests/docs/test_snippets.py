"""README and docs/ keep their word: every Python block runs, and every link leads somewhere.

The blocks of one page share a module, in their order; ``await`` stands at top level. A block opened with
``python no-run`` is only compiled. An HTML comment that starts with ``<!-- python`` runs too, unseen: it sets
up what a page takes for granted, or checks what it claims.
"""

import ast
import inspect
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asynccache import set_default_cache

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(
    r"^```python(?P<mode>[^\n]*)\n(?P<shown>.*?)^```$"
    r"|^<!-- python\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)

pytestmark = pytest.mark.docs


@dataclass(frozen=True)
class Block:
    code: str
    line: int
    """Lines of the page in front of it."""
    runs: bool


def name_of(page: Path) -> str:
    """Return what a page is called in test ids: ``tags``, ``migrating/litestar``."""
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).with_suffix("").as_posix().lower()


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in BLOCK.finditer(text):
        mode = (match["mode"] or "").strip()
        assert mode in {"", "no-run"}, f"{page.name}: a block cannot be {mode!r}"
        code = match["hidden"] if match["shown"] is None else match["shown"]
        found.append(Block(code, text[: match.start()].count("\n") + 1, mode != "no-run"))
    return found


def compiled(block: Block, page: Path) -> Any:
    """Return the block's code such that a traceback names the page and its line."""
    source = "\n" * block.line + block.code
    return compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.fixture
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give the module a page's blocks run in; afterwards everything is as before."""
    for name in os.environ:
        if name.startswith("ASYNCCACHE_") or name == "REDIS_URL":
            monkeypatch.delenv(name)
    module = ModuleType(f"page_{re.sub(r'[^a-z]', '_', request.node.callspec.id)}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module
    set_default_cache(None)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_page_runs(page: Path, module: ModuleType) -> None:
    for block in blocks(page):
        code = compiled(block, page)
        if block.runs:
            outcome = eval(code, module.__dict__)
            if inspect.isawaitable(outcome):
                await outcome


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = match["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = page if not target else (page.parent / target).resolve()
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown renderers make them."""
    texts = (match["text"] for match in HEADING.finditer(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]

    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert pages == set(re.findall(r"[\w/-]+\.md", nav))


def test_the_readme_starts_with_an_application_that_works_as_pasted(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(blocks(ROOT / "README.md")[0].code, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}/squares/12"
        first, second = patiently(url), patiently(url)
    finally:
        server.terminate()
        server.wait(30)
    assert first == ("asynccache; fwd=uri-miss; stored", b'{"square":144}')
    assert second[0].startswith("asynccache; hit; ttl=")
    assert second[1] == first[1]


def patiently(url: str) -> tuple[str, bytes]:
    """Return Cache-Status and body, waiting for the server to start."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.headers["cache-status"], response.read()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
