"""The bus: a channel, and for each subscriber a connection that need not tell when it is dead."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from asynccache.backends.redis._failure import DRIVER_ERRORS, failure
from asynccache.errors import BackendTimeoutError

__all__ = ["listen"]

QUIET_SECONDS: Final = 5.0
"""Without a message for so long we ask whether the server is there; for so long again, and it is not."""


async def listen(
    connect: Callable[[], Awaitable[AbstractConnection]], channel: str
) -> AsyncGenerator[bytes, None]:
    """Iterate over the messages of ``channel``. Nothing is tried again: in between, messages were missed.

    Raises:
        BackendError: there is no connection, or not any more.
    """
    connection: Any = None
    asked = False
    try:
        connection = await connect()
        await connection.connect()
        await connection.send_command("SUBSCRIBE", channel)
        while True:
            reply = await connection.read_response(timeout=QUIET_SECONDS, push_request=True)
            if reply is None:
                if asked:
                    raise BackendTimeoutError("the bus fell silent", backend="redis")
                asked = True
                await connection.send_command("PING")
                continue
            asked = False
            if isinstance(reply, list) and reply[0] == b"message":
                yield reply[2]
    except DRIVER_ERRORS as exc:
        raise failure(exc, "subscribe") from exc
    finally:
        if connection is not None:
            await connection.disconnect(nowait=True)
