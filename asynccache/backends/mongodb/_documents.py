"""What an entry looks like as a document, and what a document says. Pure.

    _id      the key; of a longer one its beginning and a digest
    key      the whole key, where `_id` is not
    value    bytes, or a long: a plain decimal integer of 64 bits, which the server can count on
    expires  seconds since the epoch, a double (infinity: never); 0 where there is a lease and no value
    lease    {token, until}: who may fill it, for how long
    purge    a Date for the server's TTL index: from then on nobody needs the document

A TTL index reads nothing but a Date, and a Date has milliseconds only. So `expires` decides, to the last
bit of the client's clock, and `purge` is for the garbage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from asynccache._engine.arguments import INT64

__all__ = [
    "FOR_EVER",
    "WHOLE",
    "date",
    "document",
    "identity",
    "is_live",
    "payload",
    "successor",
    "under",
]

Document = dict[str, Any]

WHOLE: Final = 500
"""The most characters of a key that is its own ``_id``."""
FOR_EVER: Final = 253_000_000_000.0
"""Seconds since the epoch, in the year 9987: drivers read no later Date, and no garbage waits so long."""
_GRACE: Final = 60.0
"""Seconds by which clients' clocks may be behind the server's, which purges by its own."""
_DECIMAL: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_LONGEST_DECIMAL: Final = 20


def identity(key: str) -> str:
    """Return the ``_id`` of ``key``.

    It keeps the order of keys, so that those under a prefix lie together. A digested one is longer than any
    key that is its own ``_id``, so the two kinds never meet.
    """
    if len(key) <= WHOLE:
        return key
    return key[:WHOLE] + blake2b(key.encode(), digest_size=16).hexdigest()


def date(seconds: float) -> DatetimeMS:
    """Return when to purge what is of no use from ``seconds`` since the epoch on."""
    return DatetimeMS(int((min(seconds, FOR_EVER) + _GRACE) * 1000))


def document(key: str, value: bytes, expires: float) -> Document:
    """Return the document of an entry without a lease."""
    made: Document = {"_id": identity(key), "value": _stored(value), "expires": expires}
    if len(key) > WHOLE:
        made["key"] = key
    if expires < FOR_EVER:
        made["purge"] = date(expires)
    return made


def _stored(value: bytes) -> bytes | Int64:
    """Return ``value`` as the number it spells, if that spells ``value``."""
    if len(value) <= _LONGEST_DECIMAL and _DECIMAL.fullmatch(value):
        number = int(value)
        if -INT64 <= number < INT64:
            return Int64(number)
    return value if value.__class__ is bytes else bytes(value)


def is_live(found: Mapping[str, Any], key: str, now: float) -> bool:
    """Return True if ``found`` is of ``key`` and has a value that has not expired."""
    expires: Any = found.get("expires")
    if expires.__class__ is not float or not now < expires:
        return False
    return len(key) <= WHOLE or found.get("key") == key


def payload(found: Mapping[str, Any], key: str, now: float) -> bytes | None:
    """Return the value of ``key`` that is in ``found``, if it is live."""
    if not is_live(found, key, now):
        return None
    value = found.get("value")
    if value.__class__ is bytes:
        return value
    return b"%d" % value if isinstance(value, Int64) else None


def under(prefix: str) -> Document:
    """Return the filter for all keys that start with ``prefix``: a range, in which nothing is a pattern."""
    if len(prefix) <= WHOLE:
        return {"_id": _range(prefix)}
    return {"_id": _range(prefix[:WHOLE]), "key": _range(prefix)}


def _range(prefix: str) -> Document:
    end = successor(prefix)
    return {"$gte": prefix} if end is None else {"$gte": prefix, "$lt": end}


def successor(prefix: str) -> str | None:
    """Return the least string above all that start with ``prefix``; None if there is none.

    Strings compare as their UTF-8 does, which is by code point.
    """
    rest = prefix.rstrip("\U0010ffff")
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if following == 0xD800 else following)
