"""What is done with one key, on whichever server keeps it: in one request, or in two.

Every operation sends what it has to send before its first `await`: only until then is it certain that the
shelf it was given is the one that keeps the key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, TypeVar

from asynccache._engine.clock import Clock, wall_clock
from asynccache.backends.memcached import _requests as requests
from asynccache.backends.memcached._changes import Change
from asynccache.backends.memcached._connection import LostError
from asynccache.backends.memcached._lane import Lane
from asynccache.backends.memcached._records import NOTHING, Record, unpack, value_of
from asynccache.backends.memcached._replies import Lines, Values
from asynccache.backends.memcached._shelves import Shelf
from asynccache.errors import BackendError

__all__ = ["MOVES", "MovedError", "Single", "told"]

T = TypeVar("T")

MOVES: Final = 1000
"""So often at most is something done again because others were faster."""


class MovedError(Exception):
    """What was written counts for nothing, since the shelf has another mark, or another writer was faster."""


def told(error: LostError | requests.RefusedError, key: str | None = None) -> BackendError:
    """Return what the caller of the backend is told."""
    kind = error.kind if isinstance(error, LostError) else BackendError
    return kind(str(error), backend="memcached", key=key)


class Single:
    """One key at a time.

    Args:
        lane: Returns what belongs to the running loop.
        clock: Seconds since the epoch.
    """

    __slots__ = ("_clock", "_lane")

    def __init__(self, lane: Callable[[], Lane], clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def run(
        self,
        key: str,
        name: bytes,
        act: Callable[[Shelf], Awaitable[T]],
        *,
        writes: bool = True,
        again: bool = True,
    ) -> T:
        """Return the result of ``act`` on the shelf that keeps ``name``.

        Args:
            key: For error messages.
            name: The key's name.
            act: What to do.
            writes: Whether it changes something.
            again: Whether it may be done once more where nobody knows whether it was done.

        Raises:
            BackendError: it could not be done.
        """
        lane = self._lane()
        lives = 2
        for _ in range(MOVES):
            try:
                shelf = lane.ready(name, writes=writes) or await lane.reach(name, writes=writes)
            except LostError as lost:
                raise told(lost, key) from lost
            try:
                return await act(shelf)
            except MovedError:
                continue
            except requests.RefusedError as refused:
                raise told(refused, key) from refused
            except LostError as lost:
                lives -= 1
                if lives <= 0 or not (again or lost.harmless):
                    raise told(lost, key) from lost
        raise BackendError("others change it all the time", backend="memcached", key=key)

    async def fetch(self, shelf: Shelf, name: bytes, owner: bytes) -> bytes | None:
        """Return the live value."""
        found = (await shelf.connection.values(b"%b%b\r\n" % (shelf.get, name), name, shelf.name)).found
        mark = shelf.see(found)
        return None if mark is None else value_of(found.get(name), mark, owner, self._clock())

    async def fetch_versioned(self, shelf: Shelf, name: bytes, owner: bytes) -> tuple[bytes, str] | None:
        """Return the live value and its version."""
        connection = shelf.connection
        found = (await connection.values(b"%b%b\r\n" % (shelf.gets, name), name, shelf.name)).found
        mark, item = shelf.see(found), found.get(name)
        if mark is None or item is None:
            return None
        there = unpack(item, mark, owner)
        value = there.live(self._clock())
        # The server's numbers begin again when it does: they mean something on one connection only.
        version = f"{connection.name} {item.unique.decode()} {there.expires!r}"
        return None if value is None else (value, version)

    async def put(self, shelf: Shelf, name: bytes, owner: bytes, record: Record) -> bool:
        """Store ``record`` whatever is there; False if it is too large."""
        mark = await _marked(shelf)
        now = self._clock()
        store = requests.store(
            name, record, mark, owner, life=record.expires - now, wall=wall_clock(), longest=shelf.longest
        )
        line, seen = await _write(shelf, store)
        if seen != mark:
            raise MovedError
        try:
            return requests.stored(line)
        except requests.TooLargeError:
            return False

    async def swap(self, shelf: Shelf, name: bytes, owner: bytes, record: Record, version: str) -> bool:
        """Store ``record`` in the place of ``version`` only."""
        mark = await _marked(shelf)
        now = self._clock()
        match version.split(" "):
            case [made, unique, expires] if version.isascii() and unique.isdecimal():
                if made != shelf.connection.name or not now < _moment(expires):
                    return False
            case _:
                return False
        store = requests.store(
            name,
            record,
            mark,
            owner,
            life=record.expires - now,
            wall=wall_clock(),
            longest=shelf.longest,
            command=b"cas",
            unique=unique.encode(),
        )
        line, seen = await _write(shelf, store)
        try:
            return requests.stored(line) and seen == mark
        except requests.TooLargeError:
            return False

    async def remove(self, shelf: Shelf, name: bytes, owner: bytes) -> bool:
        """Remove what is there; True if it was a live value."""
        connection = shelf.connection
        found = Values(connection.loop.create_future(), (name, shelf.name))
        gone = Lines(connection.loop.create_future())
        connection.ask(b"%b%b\r\n%b" % (shelf.get, name, requests.delete(name)), found, gone)
        await gone.future
        if gone.lines[0] not in {b"DELETED", b"NOT_FOUND"}:
            raise requests.RefusedError(gone.lines[0].decode("utf-8", "replace"))
        mark = shelf.see(found.found)
        there = mark is not None and value_of(found.found.get(name), mark, owner, self._clock()) is not None
        return there and gone.lines[0] == b"DELETED"

    async def change(self, key: str, name: bytes, owner: bytes, change: Change[T]) -> T:
        """Put in the place of what is there what ``change`` makes of it."""
        async with self._lane().turn(name):
            return await self.run(
                key, name, lambda shelf: self._change(shelf, name, owner, change), again=False
            )

    async def _change(self, shelf: Shelf, name: bytes, owner: bytes, change: Change[T]) -> T:
        connection = shelf.connection
        try:
            found = (await connection.values(b"%b%b\r\n" % (shelf.gets, name), name, shelf.name)).found
        except LostError as lost:
            lost.harmless = True
            raise
        mark, item, now = shelf.see(found), found.get(name), self._clock()
        if mark is None:
            await shelf.known()
            raise MovedError
        answer, record = change(unpack(item, mark, owner), now)
        if record is None or (record is NOTHING and item is None):
            return answer
        if record is NOTHING and item is not None:
            request = requests.removal(name, item.unique)
        else:
            request = requests.store(
                name,
                record,
                mark,
                owner,
                life=record.ends() - now,
                wall=wall_clock(),
                longest=shelf.longest,
                command=b"add" if item is None else b"cas",
                unique=b"" if item is None else item.unique,
            )
        if not requests.stored(await connection.line(request)):
            raise MovedError
        return answer


def _moment(text: str) -> float:
    """Return the time that ``text`` says; one that was is as good as any other for what is no time."""
    try:
        return float(text)
    except ValueError:
        return -inf


async def _marked(shelf: Shelf) -> bytes:
    """Return the mark of ``shelf`` if it is known; else learn it, and begin again."""
    if shelf.mark is None:
        await shelf.known()
        raise MovedError
    return shelf.mark


async def _write(shelf: Shelf, store: bytes) -> tuple[bytes, bytes | None]:
    """Return the answer to ``store``, and the mark the shelf had just before."""
    connection = shelf.connection
    line = Lines(connection.loop.create_future())
    if not shelf.name:
        connection.ask(store, line)
        await line.future
        return line.lines[0], shelf.mark
    marks = Values(connection.loop.create_future(), (shelf.name,))
    connection.ask(shelf.ask + store, marks, line)
    await line.future
    return line.lines[0], shelf.see(marks.found)
