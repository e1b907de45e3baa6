"""What a collection needs before the first write: a TTL index, and none of the options that break a cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pymongo.errors import OperationFailure

from asynccache.errors import ConfigurationError

__all__ = ["prepare"]

Command = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]
_CONFLICTS: Final = {85, 86}
"""IndexOptionsConflict, IndexKeySpecsConflict."""


async def prepare(command: Command, collection: str) -> None:
    """Create ``collection`` with an index that lets the server purge documents once their ``purge`` is past.

    An index on ``purge`` that purges at another time, or never, is changed.

    Raises:
        ConfigurationError: the collection is of a kind that cannot hold a cache.
    """
    listed = await command({"listCollections": 1, "filter": {"name": collection}})
    for found in listed["cursor"]["firstBatch"]:
        _check(collection, found)
    index = {"key": {"purge": 1}, "name": "purge", "expireAfterSeconds": 0, "sparse": True}
    try:
        await command({"createIndexes": collection, "indexes": [index], "writeConcern": {"w": 1}})
    except OperationFailure as error:
        if error.code not in _CONFLICTS:
            raise
        await _change(command, collection)


async def _change(command: Command, collection: str) -> None:
    index = {"keyPattern": {"purge": 1}, "expireAfterSeconds": 0}
    try:
        await command({"collMod": collection, "index": index})
    except OperationFailure as error:
        raise ConfigurationError(
            f"mongodb: an index of collection {collection!r} on the field purge, or by that name, is not the "
            f"TTL index that a cache needs, and cannot be made one ({error.code}): drop it"
        ) from error


def _check(collection: str, found: Mapping[str, Any]) -> None:
    options = found.get("options", {})
    kind = found.get("type", "collection")
    if kind != "collection":
        raise ConfigurationError(f"mongodb: {collection!r} is a {kind}, not an ordinary collection")
    if options.get("capped"):
        raise ConfigurationError(f"mongodb: collection {collection!r} is capped, so nothing in it can expire")
    if options.get("collation", {}).get("locale", "simple") != "simple":
        raise ConfigurationError(
            f"mongodb: collection {collection!r} has a collation, by which different keys can be equal"
        )
