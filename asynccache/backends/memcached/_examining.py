"""What the servers say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from asynccache._engine.clock import stopwatch
from asynccache.backends.memcached._connection import LostError
from asynccache.backends.memcached._server import Server
from asynccache.protocols import BackendHealth

__all__ = ["examine"]

_COUNTS: Final = {
    "uptime_seconds": "uptime",
    "entries": "curr_items",
    "bytes": "bytes",
    "max_bytes": "limit_maxbytes",
    "evictions": "evictions",
    "connections": "curr_connections",
    "hits": "get_hits",
    "misses": "get_misses",
}
"""Our names and the server's."""


async def examine(servers: Sequence[Server]) -> BackendHealth:
    """Ask every server for its statistics."""
    answers = await asyncio.gather(*map(_ask, servers))
    described = {str(server.location): answer for server, answer in zip(servers, answers, strict=True)}
    up = [answer for answer in answers if answer["reachable"]]
    return BackendHealth(
        healthy=bool(up),
        backend_type="memcached",
        latency_ms=max((answer["latency_ms"] for answer in up), default=0.0),
        details={
            "persistence": "none",
            "eviction_policy": "segmented lru",
            "servers_reachable": len(up),
            "servers": described,
        },
    )


async def _ask(server: Server) -> dict[str, Any]:
    try:
        connection = await server.connected()
        start = stopwatch()
        stats = await connection.stats()
    except LostError as lost:
        return {"reachable": False, "error": str(lost)}
    answer: dict[str, Any] = {
        "reachable": True,
        "latency_ms": (stopwatch() - start) * 1000,
        "version": server.version,
        "item_size_max": server.item_size,
    }
    for name, theirs in _COUNTS.items():
        if (count := stats.get(theirs, "")).isdecimal():
            answer[name] = int(count)
    if asked := answer.get("hits", 0) + answer.get("misses", 0):
        answer["hit_ratio"] = answer.get("hits", 0) / asked
    return answer
