"""Requests in the words of the ASCII protocol, and what the answers to them mean. Pure.

Names come from `locate`, so no request can hold more than one command.
"""

from __future__ import annotations

from typing import Final

from asynccache.backends.memcached._records import NOTHING, Record, exptime, pack

__all__ = ["RefusedError", "TooLargeError", "delete", "removal", "store", "stored"]

_TOO_LARGE: Final = b"SERVER_ERROR object too large for cache"


class RefusedError(Exception):
    """The server answered that it does not do what was asked for, or what is there does not allow it."""


class TooLargeError(RefusedError):
    """The server takes no item as large as that."""


def store(
    name: bytes,
    record: Record,
    mark: bytes,
    owner: bytes,
    *,
    life: float,
    wall: float,
    longest: float,
    command: bytes = b"set",
    unique: bytes = b"",
) -> bytes:
    """Return the request that puts ``record`` under ``name``.

    Args:
        name: The key's name.
        record: What to store.
        mark: Of the shelf.
        owner: The full key, or nothing.
        life: Seconds for which it is of use.
        wall: The time of day.
        longest: The most seconds for which the server may keep it.
        command: ``set``, ``add`` or ``cas``.
        unique: The version that ``cas`` is to replace.
    """
    flags, data = pack(record, mark, owner)
    version = b" " + unique if unique else b""
    return b"%b %b %d %d %d%b\r\n%b\r\n" % (
        command,
        name,
        flags,
        exptime(min(life, longest), wall),
        len(data),
        version,
        data,
    )


def removal(name: bytes, unique: bytes) -> bytes:
    """Return the request that removes the version ``unique`` of what is under ``name``, and no other."""
    flags, data = pack(NOTHING, bytes(8), b"")
    return b"cas %b %d -1 %d %b\r\n%b\r\n" % (name, flags, len(data), unique, data)


def delete(name: bytes) -> bytes:
    """Return the request that removes whatever is under ``name``."""
    return b"delete %b\r\n" % name


def stored(line: bytes) -> bool:
    """Return whether it was stored; False if another one came first.

    Raises:
        TooLargeError: the server does not take as much.
        RefusedError: the server could not.
    """
    if line == b"STORED":
        return True
    if line in {b"NOT_STORED", b"EXISTS", b"NOT_FOUND"}:
        return False
    if line == _TOO_LARGE:
        raise TooLargeError(_TOO_LARGE.decode())
    raise RefusedError(line.decode("utf-8", "replace"))
