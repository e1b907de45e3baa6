"""The house: what is declared in several places is declared in all of them."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
GROUPS: dict[str, list[str | dict[str, str]]] = PROJECT["dependency-groups"]
PACKAGES = sorted(p.name for p in (ROOT / "integrations").iterdir() if (p / "__init__.py").exists())
MODULES = sorted(p for folder in ("asynccache", "integrations") for p in (ROOT / folder).rglob("*.py"))
NO_DRIVER = {"__init__", "adapters", "memory"}  # modules of asynccache.backends that need nothing installed
PINS = sorted(p.name for p in (ROOT / "constraints").glob("*.txt"))


def normal(requirement: str) -> str:
    """Return the normalised name of the distribution in a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def pinned(pins: str) -> set[str]:
    lines = (ROOT / "constraints" / pins).read_text(encoding="utf-8").splitlines()
    return {normal(line) for line in lines if not line.startswith("#")}


def group(name: str) -> set[str]:
    """Return the distributions of a dependency group, those of the groups it includes among them."""
    own = {normal(item) for item in GROUPS[name] if isinstance(item, str)}
    return own.union(*(group(item["include-group"]) for item in GROUPS[name] if isinstance(item, dict)))


def runtime() -> set[str]:
    """Return the distributions that asynccache itself asks for, with all extras of an application."""
    extras = [items for name, items in EXTRAS.items() if name != "testing"]
    asked: list[str] = sum(extras, PROJECT["project"]["dependencies"])
    return {normal(item) for item in asked} - {"asynccache"}


@pytest.mark.parametrize("package", PACKAGES)
def test_integration_is_declared(package: str) -> None:
    """A new integration ships in the wheel, has an extra, a layer and a typing marker, and is measured."""
    framework = package.removeprefix("asynccache_")

    assert package.startswith("asynccache_")
    assert f"integrations/{package}" in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert framework in EXTRAS
    assert package in PROJECT["tool"]["coverage"]["run"]["source_pkgs"]
    assert package in (ROOT / ".importlinter").read_text(encoding="utf-8").split()
    assert (ROOT / "integrations" / package / "py.typed").exists()


def test_every_store_has_an_extra() -> None:
    modules = {p.stem for p in (ROOT / "asynccache" / "backends").glob("*.py")}

    assert {name for name in modules - NO_DRIVER if not name.startswith("_")} <= EXTRAS.keys()


def test_the_extra_all_holds_every_extra() -> None:
    named = {name for item in EXTRAS["all"] for name in item.partition("[")[2].rstrip("]").split(",")}

    assert named == EXTRAS.keys() - {"all", "testing"}  # whoever runs an application runs no tests


def test_what_exists_is_declared() -> None:
    plugin = {"asynccache": "asynccache.testing.plugin"}
    declared = PROJECT["project"].get("entry-points", {}).get("pytest11", {})

    assert declared == (plugin if (ROOT / "asynccache" / "testing" / "plugin.py").exists() else {})
    assert PROJECT["project"].get("readme") == ("README.md" if (ROOT / "README.md").exists() else None)


@pytest.mark.parametrize("pins", PINS)
def test_pins_are_names_and_versions_only(pins: str) -> None:
    lines = (ROOT / "constraints" / pins).read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


def test_what_the_scripts_install_is_pinned() -> None:
    assert group("dev") | runtime() <= pinned("dev.txt")
    assert group("bench") | runtime() <= pinned("bench.txt")
    assert group("docs") <= pinned("docs.txt")


def test_the_oldest_pins_are_what_is_promised() -> None:
    """A floor of pyproject.toml is a version that `scripts/oldest` has tested."""
    extras = [items for name, items in EXTRAS.items() if name != "testing"]
    asked: list[str] = sum(extras, PROJECT["project"]["dependencies"])
    floors = {normal(item): item.partition(">=")[2].partition(";")[0] for item in asked}
    lines = (ROOT / "constraints" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = {normal(line): line.partition("==")[2] for line in lines if "==" in line}

    for name, floor in floors.items() - {("asynccache", "")}:
        assert re.fullmatch(rf"{re.escape(floor)}(\.0)*", pins[name]), name


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_short(module: Path) -> None:
    """A module of more than 400 lines is two ideas."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_file_names_a_registry_or_a_machine() -> None:
    """What is committed works everywhere: no registry's host, no absolute path of somebody's machine."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout knows which files are committed")
    # Written so that this file does not match itself.
    hosts = [r"py[p]i\.(org|python)", r"python[h]osted\.org", r"npm[j]s\.(org|com)", r"(docker|ghcr)[.]io"]
    options = [r"index[-]url", r"--registry[ =]"]
    paths = [r"(ho[m]e|Use[r]s)/\w+/", r"(roo[t]|wor[k]|far[m])/", r"tm[p]/[a-z]"]
    forbidden = re.compile("|".join([*hosts, *options, *(rf"(?<![\w.:/])/{path}" for path in paths)]))
    # A runner may own the checkout as another user than the one it runs as; git refuses that unless told.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(git, cwd=ROOT, capture_output=True, check=True)

    found: list[str] = []
    for name in filter(None, listing.stdout.decode().split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # binary, or deleted and not yet committed
            continue
        lines = enumerate(text.splitlines(), 1)
        found += [f"{name}:{number}: {line}" for number, line in lines if forbidden.search(line)]

    assert found == []
