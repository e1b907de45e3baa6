"""Messages between processes by LISTEN and NOTIFY.

A notification is a text of less than 8000 bytes, so a message travels in base 85, in numbered parts where it
is long. The parts are notifications of one transaction: PostgreSQL delivers them in order, all or none, with
nothing of another transaction in between.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b85decode, b85encode
from collections import deque
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from asynccache.errors import BackendError, BackendUnavailableError

__all__ = ["Inbox", "channel", "parts"]

_LONGEST: Final = 7900
"""Characters in a part, its number not counted."""
_PART: Final = re.compile(r"[0-9]{1,9}([.+])(.*)", re.DOTALL)
_BACKLOG: Final = 10_000
"""Messages that a subscriber may be behind."""


def channel(schema: str, table: str) -> str:
    """Return the name under which the processes that share a table speak to each other."""
    return "asynccache_" + blake2b(f"{len(schema)}.{schema}.{table}".encode(), digest_size=16).hexdigest()


def parts(message: bytes) -> list[str]:
    """Return ``message`` as payloads. Numbered, since equal payloads of a transaction are sent only once."""
    text = b85encode(message).decode()
    pieces = [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)] or [""]
    last = len(pieces) - 1
    return [f"{number}{'.' if number == last else '+'}{piece}" for number, piece in enumerate(pieces)]


class Inbox:
    """What has arrived on a connection and was not read yet."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._pieces: dict[int, list[str]] = {}
        self._arrived = asyncio.Event()
        self._failure: BackendError | None = None

    def hear(self, connection: object, sender: int, channel: str, payload: object) -> None:
        """Take a notification; asyncpg calls this."""
        match = _PART.fullmatch(str(payload))
        if match is None:
            return  # anybody can send to any channel
        pieces = self._pieces.setdefault(sender, [])
        pieces.append(match[2])
        if match[1] == "+":
            return
        del self._pieces[sender]
        if len(self._messages) >= _BACKLOG:
            # A gap would be invisible in what is left: better nothing than a part.
            self._fail(BackendError("a bus subscriber fell behind: messages were missed", backend="postgres"))
            return
        with suppress(ValueError):
            self._messages.append(b85decode("".join(pieces)))
        self._arrived.set()

    def lost(self, connection: object) -> None:
        """Take note that no more will come; asyncpg calls this."""
        self._fail(
            BackendUnavailableError("the bus is lost: messages may have been missed", backend="postgres")
        )

    async def take(self, patience: float) -> list[bytes] | None:
        """Return what has arrived; None if nothing did for ``patience`` seconds.

        Raises:
            BackendError: something was missed, or may have been.
        """
        if not self._messages and self._failure is None:
            try:
                async with asyncio.timeout(patience):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        self._arrived.clear()
        messages = list(self._messages)
        self._messages.clear()
        if not messages and self._failure is not None:
            raise self._failure
        return messages

    def _fail(self, failure: BackendError) -> None:
        if self._failure is None:
            self._failure = failure
            if not isinstance(failure, BackendUnavailableError):
                self._messages.clear()
            self._arrived.set()
