"""What a server answers, read piece by piece as it arrives. Pure: bytes in, answers out.

Replies come in the order of the requests. Each kind reads its own, from any place in any chunk of bytes, and
says where it stopped; what it cannot make sense of it refuses, since everything behind it would be
nonsense too.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Container
from typing import Final

from asynccache.backends.memcached._records import Item

__all__ = ["GarbledError", "Lines", "Reply", "Stats", "Values"]

_LONGEST_LINE: Final = 4096
_LARGEST_VALUE: Final = 2**30
_ERRORS: Final = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")


class GarbledError(Exception):
    """What the server sent is no answer to what it was asked."""


class Reply:
    """An answer to come.

    Args:
        future: Gets the answer, or the reason why there is none.
    """

    __slots__ = ("future", "need")

    changes = False
    """Whether the request may change what the server holds."""

    def __init__(self, future: Future[None]) -> None:
        self.future = future
        self.need = 0
        """So many bytes at least, from where it stopped, until reading on makes sense."""

    def read(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read on from ``start``; return where it stopped, and whether the answer is complete."""
        raise NotImplementedError

    def settle(self) -> None:
        """Tell who waits that the answer is complete."""
        if not self.future.done():
            self.future.set_result(None)


def _line_end(data: bytes, start: int) -> int:
    """Return where the line from ``start`` ends, or -1 if that has not arrived."""
    end = data.find(b"\r\n", start)
    if (len(data) if end < 0 else end) - start > _LONGEST_LINE:
        raise GarbledError("a line without an end")
    return end


class Values(Reply):
    """The answer to ``get`` and ``gets``: items by name.

    Args:
        future: See `Reply`.
        asked: The names; an answer about another one is refused.
    """

    __slots__ = ("asked", "found")

    def __init__(self, future: Future[None], asked: Container[bytes]) -> None:
        super().__init__(future)
        self.asked = asked
        self.found: dict[bytes, Item] = {}

    def read(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read ``VALUE <name> <flags> <bytes> [<unique>]``, each with its data, until ``END``."""
        while (end := _line_end(data, start)) >= 0:
            words = data[start:end].split(b" ")
            if words[0] != b"VALUE":
                if words == [b"END"]:
                    return end + 2, True
                raise GarbledError(f"neither VALUE nor END: {data[start:end][:80]!r}")
            if not (4 <= len(words) <= 5 and words[2].isdigit() and words[3].isdigit()):
                raise GarbledError("a malformed VALUE")
            _, name, flags, size, *unique = words
            if not name or name not in self.asked or name in self.found:
                raise GarbledError("a value that was not asked for")
            length = int(size)
            if length > _LARGEST_VALUE:
                raise GarbledError("a value too large to be one")
            last = end + 2 + length
            if len(data) < last + 2:
                self.need = last + 2 - start
                break
            if data[last : last + 2] != b"\r\n":
                raise GarbledError("a value without an end")
            self.found[name] = Item(int(flags), data[end + 2 : last], unique[0] if unique else b"")
            self.need = 0
            start = last + 2
        return start, False


class Lines(Reply):
    """The answer to requests that change something: one line for each, refusals included.

    Args:
        future: See `Reply`.
        count: How many.
        changes: See `Reply`.
    """

    __slots__ = ("changes", "count", "lines")

    def __init__(self, future: Future[None], count: int = 1, *, changes: bool = True) -> None:
        super().__init__(future)
        self.count = count
        self.changes = changes
        self.lines: list[bytes] = []

    def read(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read the lines."""
        while (end := _line_end(data, start)) >= 0:
            line = data[start:end]
            if line.startswith((b"ERROR", b"CLIENT_ERROR")):
                # The server may not have understood that a value follows, and would now do what it says.
                raise GarbledError(f"the server answered {line[:80].decode('utf-8', 'replace')!r}")
            self.lines.append(line)
            start = end + 2
            if len(self.lines) == self.count:
                return start, True
        return start, False


class Stats(Reply):
    """The answer to ``stats``: what the server says of itself, by name."""

    __slots__ = ("stats",)

    def __init__(self, future: Future[None]) -> None:
        super().__init__(future)
        self.stats: dict[str, str] = {}

    def read(self, data: bytes, start: int) -> tuple[int, bool]:
        """Read ``STAT <name> <value>`` until ``END``; a server that knows no statistics has none."""
        while (end := _line_end(data, start)) >= 0:
            line = data[start:end]
            start = end + 2
            if line in {b"END", b"RESET"} or line.startswith(_ERRORS):
                return start, True
            if not line.startswith(b"STAT "):
                raise GarbledError("a malformed STAT")
            name, _, value = line[5:].decode("utf-8", "replace").partition(" ")
            self.stats[name] = value
        return start, False
