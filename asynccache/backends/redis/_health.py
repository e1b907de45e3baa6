"""What Redis says of itself, in our words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["describe"]


def describe(servers: Sequence[Mapping[str, Any]], saving: Any) -> dict[str, Any]:
    """Return the details of `BackendHealth`.

    Args:
        servers: What ``INFO`` answered on each server.
        saving: What ``CONFIG GET save`` answered, None if that is a secret.

    Of several servers the numbers are summed, and of the rest the first speaks.
    """
    first = servers[0]
    return {
        "server": "valkey" if "valkey_version" in first else "redis",
        "version": str(first.get("valkey_version") or first.get("redis_version")),
        "mode": first.get("redis_mode", "unknown"),
        "role": first.get("role", "unknown"),
        "servers": len(servers),
        "bytes": _sum(servers, "used_memory"),
        "max_bytes": _sum(servers, "maxmemory"),
        "eviction_policy": first.get("maxmemory_policy", "unknown"),
        "evicted": _sum(servers, "evicted_keys"),
        "clients": _sum(servers, "connected_clients"),
        "persistence": _persistence(first, saving),
    }


def _sum(servers: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(int(info.get(name, 0)) for info in servers)


def _persistence(info: Mapping[str, Any], saving: Any) -> str:
    if info.get("aof_enabled"):
        return "aof"
    if saving is None:
        return "unknown"
    when: Any = [*saving.values()] if isinstance(saving, dict) else saving[1::2]  # by RESP3, by RESP2
    return "rdb" if any(when) else "none"
