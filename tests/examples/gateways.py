"""A gateway without its cache, between a client and an origin of bytes."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from examples.asgi_gateway.__main__ import PARSERS, SERVER
from examples.asgi_gateway.gateway import Edge, Gateway
from examples.asgi_gateway.origin import Origin
from tests.wire import Play, ScriptedOrigin, Wire, dialled, repeating, served

__all__ = ["CHUNKED", "OK", "answer_to", "body", "gateway", "get", "lines"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def gateway(
    *plays: Play, patience: float = 30.0, change_host: bool = False, http: str = "h11"
) -> AsyncGenerator[tuple[Wire, ScriptedOrigin]]:
    """Give a client's connection to a gateway, and the origin that plays behind it."""
    async with ScriptedOrigin(*plays) as origin:
        behind = Origin(f"http://127.0.0.1:{origin.port}", patience=patience)
        app = Edge(Gateway(behind, change_host=change_host))
        async with served(app, http=PARSERS[http], **SERVER) as port, dialled(port) as client:
            yield client, origin


async def answer_to(request: bytes, response: bytes = OK, *, http: str = "h11") -> tuple[bytes, list[bytes]]:
    """Return what a client gets for one request on a connection, and the heads that the origin got."""
    async with gateway(repeating(response), http=http) as (client, origin):
        await client.send(request)
        return await client.rest(), origin.heads


def get(*lines: str, target: str = "/", method: str = "GET") -> bytes:
    """Return a request of a client that closes the connection after it."""
    return "\r\n".join(
        (f"{method} {target} HTTP/1.1", "Host: h", *lines, "Connection: close", "", "")
    ).encode()


def lines(message: bytes) -> list[bytes]:
    """Return the lines of a head, with names in lower case and without a date, which no test knows."""
    head = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    named = [re.sub(rb"^[^:]+", lambda name: name[0].lower(), line) for line in head[1:]]
    return [head[0], *(line for line in named if not line.startswith(b"date:"))]


def body(message: bytes) -> bytes:
    """Return what follows the head."""
    return message.partition(b"\r\n\r\n")[2]
