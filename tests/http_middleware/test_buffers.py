"""Bodies that are not bytes: servers take anything that has a buffer, and an application may use it again."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from asynccache import CachePolicy
from tests.http_middleware.tiny_apps import Site

POLICY = CachePolicy(ttl=60)


@pytest.mark.parametrize("view", [bytearray, memoryview])
async def test_a_buffer_that_is_filled_again_is_stored_as_it_was_sent(view: Any) -> None:
    """Each part is what it was when it passed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        buffer = bytearray(b"one")
        part = buffer if view is bytearray else view(buffer)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": part, "more_body": True})
        buffer[:] = b"two"
        await send({"type": "http.response.body", "body": part, "more_body": True})
        buffer[:] = b"end"
        await send({"type": "http.response.body", "body": b""})

    site = Site(app, POLICY)
    await site.get("/")
    hit = await site.get("/")
    assert (hit.text, hit.hit) == ("onetwo", True)


@pytest.mark.parametrize("size, hit", [(8, True), (7, False)])
async def test_what_counts_are_bytes(size: int, hit: bool) -> None:
    """A view of numbers is as long as its bytes, towards Content-Length and towards the limit."""
    numbers = array("H", [0x6161] * 4)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": memoryview(numbers)})

    site = Site(app, POLICY.but(max_body_bytes=size))
    await site.get("/")
    assert (await site.get("/")).hit is hit
