"""The origin: where it is, and the connections to it that are idle."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from examples.asgi_gateway.connection import Connection, OriginError, OriginTimeoutError

__all__ = ["Origin"]

_MOST_IDLE: Final = 64


class Origin:
    """A server that is reached at a URL of scheme, host and port.

    Args:
        url: Such as ``http://127.0.0.1:8000``.
        patience: Seconds to wait for an answer, and for each further part of it.
        connecting: Seconds to wait for a connection.

    Raises:
        ValueError: the URL is no such thing.
    """

    def __init__(self, url: str, *, patience: float = 60.0, connecting: float = 5.0) -> None:
        parts = urlsplit(url)
        plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise ValueError(f"the origin must be like http://127.0.0.1:8000, not {url!r}")
        self.authority = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._patience = patience
        self._connecting = connecting
        self._idle: list[Connection] = []

    async def connect(self, *, fresh: bool) -> Connection:
        """Return a connection: the one that was used last, or a new one.

        Raises:
            OriginError: there is none.
        """
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.idle:
                return connection
            connection.abort()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connecting):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._patience), self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise OriginTimeoutError("the origin does not accept connections") from error
        except OSError as error:
            raise OriginError(f"the origin cannot be reached: {error}") from error
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back; it is closed unless its last exchange is complete."""
        if connection.renew() and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()
