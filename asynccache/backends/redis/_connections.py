"""The driver's connections, with two differences.

One that was reset while it was idle is replaced before it is used. The driver itself notices an orderly end
only, and each other one would cost a call.

What fits into the transport's buffer is written without a deadline, since nothing is waited for. Of that the
driver makes a task, a fifth of what a small command costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, Final

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

_SMALL: Final = 2**14
"""Bytes that no transport holds back for."""

__all__ = ["Checked", "PlainConnection", "SocketConnection", "TLSConnection"]


class Checked:
    """Put before a class of the driver's connections."""

    __slots__ = ()
    _writer: Any

    async def connect(self) -> None:
        """Connect if there is no connection, or none any more. The pool asks for it before each command."""
        mine: Any = self
        if self._writer is not None and self._writer.is_closing():
            await mine.disconnect(nowait=True)
        await super().connect()  # type: ignore[misc]  # the driver's

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - the driver's
    ) -> None:
        """Send ``command``; wait only where the peer does not keep up."""
        writer = self._writer
        if writer is None or _size(command) > _SMALL:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]  # the driver's
        else:
            # The last command was answered, so the buffer is empty.
            writer.writelines(command)


def _size(command: bytes | str | Iterable[bytes]) -> float:
    """Return the bytes of a packed command, if it is the list that the driver makes."""
    return sum(map(len, command)) if isinstance(command, list) else inf


class PlainConnection(Checked, Connection):
    """TCP."""


class TLSConnection(Checked, SSLConnection):
    """TLS."""


class SocketConnection(Checked, UnixDomainSocketConnection):
    """A Unix domain socket."""
