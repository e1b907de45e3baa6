"""The invalidation bus: a small collection of messages, and a change stream that tells who inserts one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Final

from asynccache.backends.mongodb._documents import date
from asynccache.backends.mongodb._failures import FAILURES, failure
from asynccache.errors import BackendError

__all__ = ["announcing", "bus_of", "listen"]

_AWAIT_MS: Final = 400
"""How long the server may think about one answer: well under the timeout of an operation."""
_STREAM: Final[list[dict[str, Any]]] = [
    {"$changeStream": {}},
    # Messages that were read are purged, which is no news; anything else means that the collection is gone.
    {"$match": {"operationType": {"$nin": ["delete", "update", "replace"]}}},
    {"$project": {"operationType": 1, "fullDocument.message": 1}},
]


def bus_of(collection: str) -> str:
    """Return the name of the collection that carries the messages."""
    return f"{collection}.bus"


def announcing(collection: str, message: bytes, now: float) -> dict[str, Any]:
    """Return the command that inserts ``message``, to be purged after a minute."""
    return {"insert": bus_of(collection), "documents": [{"message": message, "purge": date(now)}]}


async def listen(database: Any, collection: str) -> AsyncIterator[bytes]:
    """Iterate over what is published from the first step on.

    This is a plain cursor and not the driver's ``watch``, which takes up a broken stream again by itself: the
    messages of the meantime would come late, and whoever waits for them has to know that now.

    Raises:
        BackendError: the connection is lost, or the server ended the stream.
    """
    cursor = database[bus_of(collection)].aggregate(_STREAM, maxAwaitTimeMS=_AWAIT_MS)
    try:
        if isawaitable(cursor):  # PyMongo's is, Motor's is a cursor at once
            cursor = await cursor
        while cursor.alive:
            with suppress(StopAsyncIteration):  # no news in this answer, says Motor
                change = await anext(cursor)
                if change["operationType"] != "insert":
                    break
                yield bytes(change["fullDocument"]["message"])
    except FAILURES as error:
        raise failure(error) from error
    finally:
        if not isawaitable(cursor):
            with suppress(*FAILURES):
                await cursor.close()
    raise BackendError("the change stream ended: messages may be missed", backend="mongodb")
