"""The driver's connections, except that one that was reset while it was idle is replaced before it is used.

The driver itself notices an orderly end only. Without this each such connection would cost a call.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

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


class PlainConnection(Checked, Connection):
    """TCP."""


class TLSConnection(Checked, SSLConnection):
    """TLS."""


class SocketConnection(Checked, UnixDomainSocketConnection):
    """A Unix domain socket."""
