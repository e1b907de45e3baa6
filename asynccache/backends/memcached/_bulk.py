"""What is done with many keys: one request for each server, all of them under way at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from asynccache._engine.clock import Clock, wall_clock
from asynccache.backends.memcached import _requests as requests
from asynccache.backends.memcached._connection import LostError
from asynccache.backends.memcached._lane import Lane
from asynccache.backends.memcached._records import Record, value_of
from asynccache.backends.memcached._replies import Lines, Values
from asynccache.backends.memcached._shelves import Shelf
from asynccache.backends.memcached._single import MOVES, told

__all__ = ["Bulk"]

Owners = Mapping[bytes, bytes]
"""Names, and with each the full key, or nothing."""

_NAMES: Final = 500
"""The most names in one line."""
_BYTES: Final = 4 * 2**20
"""The most that is written before its answers are awaited."""


class _Asked(NamedTuple):
    """What was asked of one shelf."""

    shelf: Shelf
    mark: bytes | None
    names: Sequence[bytes]
    values: Values
    lines: Lines


class Bulk:
    """Many keys at a time. Where a connection was lost an operation is done once more: that does no harm.

    Args:
        lane: Returns what belongs to the running loop.
        clock: Seconds since the epoch.
    """

    __slots__ = ("_clock", "_lane")

    def __init__(self, lane: Callable[[], Lane], clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def fetch(self, owners: Owners) -> dict[bytes, bytes]:
        """Return the live values under the names in ``owners``."""
        live: dict[bytes, bytes] = {}

        async def ask() -> None:
            asked: list[tuple[Shelf, Values]] = []
            for shelf, names in (await self._lane().spread(owners, writes=False)).items():
                connection = shelf.connection
                for start in range(0, len(names), _NAMES):
                    part = names[start : start + _NAMES]
                    values = Values(connection.loop.create_future(), {shelf.name, *part})
                    connection.ask(b"%b%b\r\n" % (shelf.get, b" ".join(part)), values)
                    asked.append((shelf, values))
            for shelf, values in asked:
                await values.future
                live.update(self._live(shelf, values, owners))

        await _twice(ask)
        return live

    async def put(self, records: Mapping[bytes, Record], owners: Owners) -> set[bytes]:
        """Store all of ``records``; return the names of those that are too large."""
        left = dict(records)
        refused: set[bytes] = set()

        async def ask() -> None:
            moves = 0
            while left:
                part = _part(left)
                shelves = await self._lane().spread(part, writes=True)
                unknown = [shelf for shelf in shelves if shelf.mark is None]
                if not unknown:
                    asked = [self._store(shelf, names, left, owners) for shelf, names in shelves.items()]
                    for one in asked:
                        await self._stored(one, left, refused)
                for shelf in unknown:
                    await shelf.known()
                moves += not left.keys().isdisjoint(part)
                if moves > MOVES:
                    raise LostError("others change it all the time")

        await _twice(ask)
        return refused

    async def remove(self, owners: Owners) -> set[bytes]:
        """Remove the names in ``owners``; return those with a live value."""
        removed: set[bytes] = set()

        async def ask() -> None:
            asked: list[_Asked] = []
            for shelf, names in (await self._lane().spread(owners, writes=True)).items():
                connection = shelf.connection
                values = Values(connection.loop.create_future(), {shelf.name, *names})
                lines = Lines(connection.loop.create_future(), len(names))
                deletes = b"".join(map(requests.delete, names))
                connection.ask(b"%b%b\r\n%b" % (shelf.get, b" ".join(names), deletes), values, lines)
                asked.append(_Asked(shelf, None, names, values, lines))
            for shelf, _, removing, values, lines in asked:
                await lines.future
                live = self._live(shelf, values, owners)
                for name, line in zip(removing, lines.lines, strict=True):
                    if line not in {b"DELETED", b"NOT_FOUND"}:
                        raise requests.RefusedError(line.decode("utf-8", "replace"))
                    if name in live and line == b"DELETED":
                        removed.add(name)

        await _twice(ask)
        return removed

    def _live(self, shelf: Shelf, values: Values, owners: Owners) -> dict[bytes, bytes]:
        mark = shelf.see(values.found)
        if mark is None:
            return {}
        now = self._clock()
        found = {name: value_of(item, mark, owners[name], now) for name, item in values.found.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _store(
        self, shelf: Shelf, names: Sequence[bytes], records: Mapping[bytes, Record], owners: Owners
    ) -> _Asked:
        """Send the sets of one shelf."""
        mark, now, wall = shelf.mark, self._clock(), wall_clock()
        assert mark is not None  # noqa: S101 - its caller has seen to it
        connection = shelf.connection
        stores = [
            requests.store(
                name,
                records[name],
                mark,
                owners[name],
                life=records[name].expires - now,
                wall=wall,
                longest=shelf.longest,
            )
            for name in names
        ]
        values = Values(connection.loop.create_future(), (shelf.name,))
        lines = Lines(connection.loop.create_future(), len(names))
        replies = (values, lines) if shelf.name else (lines,)
        connection.ask(b"".join([shelf.ask, *stores]), *replies)
        return _Asked(shelf, mark, names, values, lines)

    @staticmethod
    async def _stored(asked: _Asked, left: dict[bytes, Record], refused: set[bytes]) -> None:
        """Take what was stored out of ``left``; what went to a shelf with another mark stays."""
        shelf, mark, names, values, lines = asked
        await lines.future
        if shelf.see(values.found) != mark:
            return
        for name, line in zip(names, lines.lines, strict=True):
            try:
                requests.stored(line)
            except requests.TooLargeError:
                refused.add(name)
            del left[name]


def _part(records: Mapping[bytes, Record]) -> list[bytes]:
    """Return the names of as many ``records`` as are written in one go."""
    part: list[bytes] = []
    size = 0
    for name, record in records.items():
        size += len(record.value or b"")
        if part and size > _BYTES:
            break
        part.append(name)
    return part


async def _twice(ask: Callable[[], Awaitable[None]]) -> None:
    """Do ``ask``, once more if the connection is lost.

    Raises:
        BackendError: it could not be done.
    """
    try:
        try:
            await ask()
        except LostError:
            await ask()
    except (LostError, requests.RefusedError) as error:
        raise told(error) from error
