"""Removes keys with their leases: some keys, or all that start alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from asynccache.backends.redis._keys import glob, leases_glob, owner
from asynccache.backends.redis._link import Call, Link
from asynccache.backends.redis._running import run_all
from asynccache.backends.redis._scripts import DELETE, pairs

__all__ = ["remove", "remove_prefix"]

_STEP: Final = 4096
"""Keys the server looks at in one go, about a millisecond's worth."""


async def remove(link: Link, keys: Sequence[bytes]) -> set[bytes]:
    """Remove ``keys`` and void their leases; return those that were there."""
    groups = link.groups(keys)
    replies = await run_all(link, DELETE, [DELETE.by_name(pairs(group)) for group in groups])
    return {
        key
        for group, reply in zip(groups, replies, strict=True)
        for key, there in zip(group, reply, strict=True)
        if there
    }


async def remove_prefix(link: Link, prefix: bytes) -> None:
    """Remove every key that starts with ``prefix`` and void every lease on such a key.

    Leases go first, all of them, each together with its value. A holder whose fill came before that has put a
    value there, perhaps where the scan had been already; the second scan begins after it and finds it.
    """
    servers = await link.servers()
    for pattern in (leases_glob(prefix), glob(prefix)):
        scans = (_remove_matching(link, server, prefix, pattern) for server in servers)
        for failed in await asyncio.gather(*scans, return_exceptions=True):
            if failed is not None:
                raise failed


async def _remove_matching(link: Link, server: Call, prefix: bytes, pattern: bytes) -> None:
    cursor = 0
    while True:
        position, found = await server("SCAN", cursor, "MATCH", pattern, "COUNT", _STEP)
        if keys := {owner(key) for key in found if key.startswith(prefix)}:
            await remove(link, list(keys))
        cursor = int(position)
        if not cursor:
            return
