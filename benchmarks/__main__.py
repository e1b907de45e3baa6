# ruff: noqa: PLC0415  (a part imports only what it measures)
"""``python -m benchmarks [start memory memoize stores http hit_ratio] [--quick] [--no-peers]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import Any, Final

from benchmarks.measure import Options, Table

_PEERS: Final = (
    *("aiocache", "async-lru", "cachebox", "cachekit", "cachetools", "cashews", "fastapi-cache2"),
    *(
        "fastapi-cachekit",
        "litestar",
        "moka-py",
        "theine",
        "fastapi",
        "starlette",
        "uvicorn",
        "uvloop",
        "httptools",
    ),
)


def _memory(options: Options) -> list[Table]:
    from benchmarks import memory

    return [asyncio.run(memory.table(options))]


def _memoize(options: Options) -> list[Table]:
    from benchmarks import memoize

    return [asyncio.run(memoize.table(options))]


def _http(options: Options) -> list[Table]:
    from benchmarks import http

    return asyncio.run(http.tables(options))


def _start(options: Options) -> list[Table]:
    from benchmarks import start

    return [start.table(options)]


def _stores(options: Options) -> list[Table]:
    from benchmarks import stores

    return [asyncio.run(stores.table(options))]


def _hit_ratio(_: Options) -> list[Table]:
    print("\n## hit ratio\n")
    try:
        module = import_module("benchmarks.hit_ratio")
    except ImportError as error:
        print(f"The hit ratios need {error.name}: pip install {error.name}")
        return []
    module.run()
    return []


_PARTS: Final[dict[str, Callable[[Options], list[Table]]]] = {
    "start": _start,
    "memory": _memory,
    "memoize": _memoize,
    "stores": _stores,
    "http": _http,
    "hit_ratio": _hit_ratio,
}


def _versions() -> str:
    found: list[str] = []
    for name in _PEERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def main() -> int:
    """Run the parts that were asked for and print their tables."""
    # An installed package has its bytecode: without it every import would be measured as a compilation.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(_PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, smaller caches")
    parser.add_argument("--no-peers", action="store_true", help="only asynccache and the floors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    parts: list[str] = arguments.parts or list(_PARTS)
    if unknown := [part for part in parts if part not in _PARTS]:
        parser.error(f"there is no part {unknown[0]!r}: choose from {', '.join(_PARTS)}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # peers are talkative
    options = Options(quick=arguments.quick, peers=not arguments.no_peers)
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.peers:
        print(f"Peers: {_versions()}")
    print("Medians (quartiles) of ratios from interleaved rounds; the garbage collector is on.")
    tables: list[Table] = []
    for part in parts:
        began = monotonic()
        print(f"measuring {part} ...", file=sys.stderr, flush=True)
        for table in _PARTS[part](options):
            table.show()
            tables.append(table)
        print(f"{part}: {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    goals = [row.met for table in tables for row in table.rows if row.met is not None]
    print(f"\n{sum(goals)} of {len(goals)} goals met.")
    if arguments.json is not None:
        data: dict[str, Any] = {"python": sys.version, "quick": options.quick}
        data["tables"] = [table.data() for table in tables]
        arguments.json.write_text(json.dumps(data, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
