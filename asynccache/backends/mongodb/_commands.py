"""The commands that the server is sent. Pure.

They go through ``database.command``, the one method that PyMongo and Motor spell alike. It is also the
leanest, and no driver sends such a command twice: a counter is never incremented by a retry.

What depends on what is there is decided by the server, in the same step that changes it: the update is an
aggregation pipeline with one ``$replaceWith``. The document as it was before comes back, and tells the
caller what the server decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bson.int64 import Int64

from asynccache._engine.arguments import INT64
from asynccache.backends.mongodb._documents import FOR_EVER, WHOLE, Document, date, document, identity, under

__all__ = ["Commands", "Update", "filling", "releasing", "replacing", "touching"]

Update = Document


class Commands:
    """Commands for one collection."""

    __slots__ = ("_collection",)

    def __init__(self, collection: str) -> None:
        self._collection = collection

    # -- reads ------------------------------------------------------------------------------------------

    def get(self, key: str) -> Document:
        """Fetch the document of ``key``."""
        # Without a projection: leaving out the few bytes beside the value costs more than sending them.
        return {
            "find": self._collection,
            "filter": {"_id": identity(key)},
            "limit": 1,
            "singleBatch": True,
        }

    def look(self, key: str) -> Document:
        """Fetch the document of ``key`` without its value."""
        return {**self.get(key), "projection": {"expires": 1, "key": 1}}

    def get_many(self, ids: Sequence[str]) -> Document:
        """Fetch documents; one more is asked for than there can be, so that the server sees the end."""
        return {
            "find": self._collection,
            "filter": {"_id": {"$in": list(ids)}},
            "batchSize": len(ids) + 1,
        }

    def look_many(self, ids: Sequence[str]) -> Document:
        """Fetch documents without their values."""
        return {**self.get_many(ids), "projection": {"expires": 1, "key": 1}}

    def end_cursor(self, cursor: int) -> Document:
        """Tell the server that nobody reads on."""
        return {"killCursors": self._collection, "cursors": [Int64(cursor)]}

    # -- writes -----------------------------------------------------------------------------------------

    def update(self, updates: Sequence[Update]) -> Document:
        """Carry out ``updates``, also after one that failed."""
        return {"update": self._collection, "updates": list(updates), "ordered": False}

    def delete(self, key: str) -> Document:
        """Remove the document of ``key`` with its lease; tells what was there."""
        return {
            "findAndModify": self._collection,
            "query": {"_id": identity(key)},
            "remove": True,
            "fields": {"expires": 1, "key": 1},
        }

    def delete_many(self, ids: Iterable[str]) -> Document:
        """Remove documents."""
        return self._remove({"_id": {"$in": list(ids)}})

    def clear(self, prefix: str) -> Document:
        """Remove all documents of keys that start with ``prefix``."""
        return self._remove(under(prefix))

    def give_up(self, key: str, token: str, now: float) -> Document:
        """Remove the document of ``key`` if ``token`` holds its lease."""
        return self._remove(_held_by(key, token, now))

    def _remove(self, query: Document) -> Document:
        return {"delete": self._collection, "deletes": [{"q": query, "limit": 0}]}

    def add(self, key: str, value: bytes, expires: float, now: float) -> Document:
        """Store ``value`` unless a live one is there; tells what was there."""
        new = {"$literal": document(key, value, expires)}
        decision = {"$cond": [_live(key, now), "$$ROOT", new]}
        return self._decide(key, decision, {"expires": 1, "key": 1})

    def incr(self, key: str, delta: int, fresh: int, expires: float, now: float) -> Document:
        """Add ``delta`` to a live counter, or start one at ``fresh``; tells what was there.

        What is no integer, or would leave 64 bits, is left alone.
        """
        no_integer = {"$ne": [{"$type": "$value"}, "long"]}
        too_much = (
            {"$gt": ["$value", Int64(INT64 - 1 - delta)]}
            if delta >= 0
            else {"$lt": ["$value", Int64(-INT64 - delta)]}
        )
        start: Any = "$$ROOT"
        if -INT64 <= fresh < INT64:
            start = {"$literal": document(key, b"%d" % fresh, expires)}
        counted = {  # all but the lease, which a write ends; a field that is missing stays so
            "_id": "$_id",
            "key": "$key",
            "value": {"$add": ["$value", Int64(delta)]},
            "expires": "$expires",
            "purge": "$purge",
        }
        branches = [
            {"case": {"$not": [_live(key, now)]}, "then": start},
            {"case": {"$or": [no_integer, too_much]}, "then": "$$ROOT"},
        ]
        decision = {"$switch": {"branches": branches, "default": counted}}
        return self._decide(key, decision, {"value": 1, "expires": 1, "key": 1})

    def acquire(self, key: str, token: str, until: float, now: float) -> Document:
        """Give the lease on ``key`` to ``token`` unless it is held; tells who held it before."""
        empty: Document = {"_id": identity(key), "expires": 0.0}
        if len(key) > WHOLE:
            empty["key"] = key
        never_purged = {"$and": [_live(key, now), {"$gte": ["$expires", FOR_EVER]}]}
        leased = {
            "lease": {"$literal": {"token": token, "until": until}},
            "purge": {"$cond": [never_purged, "$$REMOVE", {"$max": ["$purge", date(until)]}]},
        }
        taken = {"$mergeObjects": [{"$literal": empty}, "$$ROOT", leased]}
        decision = {"$cond": [{"$gt": ["$lease.until", now]}, "$$ROOT", taken]}
        return self._decide(key, decision, {"lease": 1})

    def _decide(self, key: str, decision: Document, fields: Document) -> Document:
        return {
            "findAndModify": self._collection,
            "query": {"_id": identity(key)},
            "update": [{"$replaceWith": decision}],
            "upsert": True,
            "new": False,
            "fields": fields,
        }


def replacing(key: str, value: bytes, expires: float) -> Update:
    """Store ``value``, whatever is there; a lease goes with the document that held it."""
    return {"q": {"_id": identity(key)}, "u": document(key, value, expires), "upsert": True}


def filling(key: str, value: bytes, expires: float, token: str, now: float) -> Update:
    """Store ``value`` if ``token`` holds the lease."""
    return {"q": _held_by(key, token, now), "u": document(key, value, expires)}


def releasing(key: str, token: str) -> Update:
    """End the lease that ``token`` holds."""
    return {"q": {"_id": identity(key), "lease.token": token}, "u": {"$unset": {"lease": ""}}}


def touching(key: str, expires: float, now: float) -> Update:
    """Change the expiry of a live value."""
    query: Document = {"_id": identity(key), "expires": {"$gt": now}}
    if len(key) > WHOLE:
        query["key"] = key
    leased_until = {"$cond": [{"$gt": ["$lease.until", now]}, "$purge", None]}
    purge: Any = {"$max": [date(expires), leased_until]} if expires < FOR_EVER else "$$REMOVE"
    return {"q": query, "u": [{"$set": {"expires": expires, "purge": purge}}]}


def _held_by(key: str, token: str, now: float) -> Document:
    return {"_id": identity(key), "lease.token": token, "lease.until": {"$gt": now}}


def _live(key: str, now: float) -> Document:
    """The condition that `is_live` tests, for the server; what is missing is less than any number."""
    fresh: Document = {"$gt": ["$expires", now]}
    return fresh if len(key) <= WHOLE else {"$and": [fresh, {"$eq": ["$key", {"$literal": key}]}]}
