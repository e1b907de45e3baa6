"""Fixtures of all tests: the servers. And what the run says at its end: which store passed which suite."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conformance.store_suites import StoreSuite

_NO_FIXTURES = {"containers", "process", "provision", "proxy"}
pytest_plugins = [
    f"tests.servers.{path.stem}"
    for path in sorted((Path(__file__).parent / "servers").glob("*.py"))
    if path.stem not in _NO_FIXTURES
]

_SUITES = ("bare", "batched and guarded", "cache", "cache, encrypted")
_REPEATED = {"batched and guarded", "cache, encrypted"}
_ELSEWHERE = ("-on-redis", "-on-postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every conformance test carry its place in the table."""
    for item in items:
        suite = getattr(item, "cls", None)
        if suite is not None and issubclass(suite, StoreSuite):
            item.user_properties.append(("conformance", f"{suite.store}|{suite.suite}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Count no lines where a test repeats others on another store: counting takes a third of the time."""
    tracer = sys.gettrace()
    if tracer is None or not type(tracer).__module__.startswith("coverage") or not _is_repeated(item):
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


def _is_repeated(item: pytest.Item) -> bool:
    if any(place in item.name for place in _ELSEWHERE):
        return True
    suite = getattr(item, "cls", None)
    if suite is None or not issubclass(suite, StoreSuite):
        return False
    return suite.suite in _REPEATED or suite.store.startswith("example: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table: passed tests, and in parentheses those skipped for an absent capability."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            properties: dict[str, object] = dict(getattr(report, "user_properties", ()))
            if "conformance" in properties:
                store, _, suite = str(properties["conformance"]).partition("|")
                counts.setdefault(store, {}).setdefault(suite, Counter())[outcome] += 1
    if not counts:
        return
    width = max(map(len, counts))
    terminalreporter.section("conformance: passed (+ capabilities the store has not)")
    terminalreporter.write_line(" " * width + "".join(f"{suite:>22}" for suite in _SUITES))
    for store, row in sorted(counts.items()):
        cells = "".join(f"{_cell(row.get(suite, Counter())):>22}" for suite in _SUITES)
        terminalreporter.write_line(f"{store:<{width}}{cells}")


def _cell(outcomes: Counter[str]) -> str:
    if not outcomes:
        return "-"
    if failed := outcomes["failed"] + outcomes["error"]:
        return f"{failed} FAILED"
    skipped = f" (+{outcomes['skipped']})" if outcomes["skipped"] else ""
    return f"{outcomes['passed']}{skipped}"
