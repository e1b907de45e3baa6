"""The row 'start' of BENCHMARKS.md: what ``import asynccache`` costs, and what it must not drag in."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from benchmarks import probes
from benchmarks.measure import Figure, Options, Row, Table

__all__ = ["table"]

HEAVY: Final = (
    *("redis", "aiomcache", "asyncpg", "psycopg", "pymongo", "motor", "bson", "sqlite3", "hiredis"),
    *("fastapi", "starlette", "litestar", "uvicorn", "asynccache_fastapi", "asynccache_starlette"),
    *("cryptography", "backports.zstd", "compression.zstd", "pydantic", "httpx", "rich"),
    *("prometheus_client", "opentelemetry", "numpy", "pytest"),
)
_LIST: Final = "import sys; import asynccache; print(*(name for name in sys.argv[1:] if name in sys.modules))"


def table(options: Options) -> Table:
    """Measure both."""
    result = Table("start", "Fresh processes; msgspec, anyio and asyncio are imported already.")
    times = [probes.run("import", "ours", 0) for _ in range(5 if options.quick else 15)]
    result.rows.append(Row("import asynccache beyond its dependencies", 60, Figure.of(times), unit="ms"))
    done = subprocess.run([sys.executable, "-c", _LIST, *HEAVY], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    count = float(len(found))
    row = Row(
        "drivers, frameworks, crypto modules it imports", 0, Figure(count, count, count), unit="modules"
    )
    row.note = " ".join(found)
    result.rows.append(row)
    return result
