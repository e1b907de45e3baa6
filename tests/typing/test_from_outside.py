"""Whoever installs asynccache has its types: the examples check strictly far from this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("asynccache", "asynccache_starlette", "asynccache_fastapi", "asynccache_litestar")

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in ``folder``, as if nothing else were there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Pyright asks the first Python of the path where packages are.
    environment["PATH"] = f"{Path(sys.prefix, 'bin')}{os.pathsep}{environment.get('PATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, and nothing that says how this repository checks types."""
    folder = tmp_path_factory.mktemp("elsewhere")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignore)
    shutil.copy(ROOT / "tests" / "typing" / "typed_use.py", folder)
    settings: dict[str, object] = {
        "include": ["examples", "typed_use.py"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "enableTypeIgnoreComments": False,  # those of mypy
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_strictly_with_mypy(elsewhere: Path) -> None:
    """Of the examples and of what is promised of types; every error that is expected is one."""
    done = run(elsewhere, "mypy", "--strict", "--cache-dir", "cache", "examples", "typed_use.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_strictly_with_pyright(elsewhere: Path) -> None:
    """The same."""
    done = run(elsewhere, "pyright", "--warnings")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_public_is_left_to_inference(elsewhere: Path, package: str) -> None:
    """Type checkers may infer differently; what is written down means the same to all."""
    done = run(elsewhere, "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson")
    found = json.loads(done.stdout)["typeCompleteness"]
    incomplete = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in found["symbols"]
        for diagnostic in symbol.get("diagnostics", [])
        if diagnostic["severity"] == "error"
    ]
    assert found["completenessScore"] == 1, "\n".join(incomplete)
