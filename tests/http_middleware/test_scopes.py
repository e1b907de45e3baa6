"""Scopes that are not a server's: what is optional in them may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import CachePolicy
from tests.http_middleware.asgi_client import Answer
from tests.http_middleware.tiny_apps import Handler, Site

BARE = {"type": "http", "method": "GET", "path": "/"}


async def asked(site: Site, scope: dict[str, Any]) -> Answer:
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        messages.append(message)

    await site.middleware(scope, receive, send)
    return Answer(messages)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("policy", [None, CachePolicy(ttl=60), CachePolicy(ttl=60, public=True)])
async def test_a_request_without_fields_reaches_the_application(
    method: str, policy: CachePolicy | None
) -> None:
    """Written by hand, without ``headers``: it names no host, so it is answered and never stored."""
    site = Site(handler := Handler(), policy)
    await site.get("/")  # what is stored, and known to be public, is not for a request without a host
    known = handler.runs
    for runs in (1, 2):
        answer = await asked(site, {**BARE, "method": method})
        assert answer.status == 200
        assert handler.runs == known + runs
    assert site.at_rest
