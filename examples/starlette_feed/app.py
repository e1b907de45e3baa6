"""A news feed over HTTP. Start it, on a store in memory or on any other:

uvicorn examples.starlette_feed.app:app
ASYNCCACHE_URL=redis://localhost uvicorn examples.starlette_feed.app:app

curl -i localhost:8000/feed.atom
curl -N localhost:8000/live
curl -i localhost:8000/entries -H 'X-Key: editor' --json '{"title": "New", "text": "Something happened."}'
"""  # noqa: D415  (a colon introduces the commands)

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import asdict
from html import escape
from typing import Any, Final

from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount

from asynccache import CacheConfig, CachePolicy
from asynccache_starlette import Route, Starlette, get_cache
from examples.starlette_feed.feed import Entry, Feed

__all__ = ["app", "create_app"]

EDITOR: Final = "editor"
"""The key of who may write. A real application does not keep it in its source."""


def feed_of(request: Request) -> Feed:
    """Return the application's feed."""
    feed: Feed = request.app.state.feed
    return feed


async def front_page(request: Request) -> Response:
    """Return the newest titles."""
    items = "".join(f"<li>{escape(entry.title)}</li>" for entry in feed_of(request).newest())
    return HTMLResponse(f"<!doctype html><title>News</title><ul>{items}</ul>")


async def atom(request: Request) -> Response:
    """Return the feed. Readers come every few minutes, and mostly to learn that nothing has changed."""
    url = f"{request.url.scheme}://{request.url.netloc}/feed.atom"
    return Response(feed_of(request).atom(url), media_type="application/atom+xml")


async def publish(request: Request) -> Response:
    """Add an entry; what shows the list of entries is forgotten."""
    body = await written(request)
    entry = feed_of(request).publish(body["title"], body["text"])
    await get_cache(request).invalidate_tags("entries")
    return shown(entry, 201)


class EntryPage(HTTPEndpoint):
    """One entry."""

    async def get(self, request: Request) -> Response:
        """Return it."""
        return shown(found(request))

    async def put(self, request: Request) -> Response:
        """Correct it. What is stored for this very URL goes by itself; of what else shows it, tags know."""
        body = await written(request)
        entry = feed_of(request).correct(found(request).id, body["text"])
        await get_cache(request).invalidate_tags("entries")
        return shown(entry)


async def live(request: Request) -> Response:
    """Tell of entries as they come: a stream, which passes through the cache without delay, and unstored."""

    async def events() -> AsyncGenerator[str]:
        yield ": welcome\n\n"
        async for entry in feed_of(request).news():
            yield f"data: {json.dumps(plain(entry))}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def written(request: Request) -> dict[str, Any]:
    """Return the body of a request, if it is from who may write."""
    if request.headers.get("x-key") != EDITOR:
        raise HTTPException(403)
    body: dict[str, Any] = await request.json()
    return body


def found(request: Request) -> Entry:
    """Return the entry that a request is about, or answer 404."""
    entry = feed_of(request).entry(request.path_params["id"])
    if entry is None:
        raise HTTPException(404)
    return entry


def shown(entry: Entry, status: int = 200) -> Response:
    """Return an entry as JSON."""
    return JSONResponse(plain(entry), status)


def plain(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON knows it."""
    return {**asdict(entry), "updated": entry.updated.isoformat()}


def create_app(config: CacheConfig | None = None) -> Starlette:
    """Return the application; its cache is configured by ``config``, else by the environment."""
    everybody = CachePolicy(public=True, tags=["entries"])
    app = Starlette(
        routes=[
            Route("/", front_page, cache=everybody.but(ttl=10, stale_while_revalidate=60)),
            # Readers keep it for five minutes without asking, and then ask with the entity tag they have.
            Route("/feed.atom", atom, cache=everybody.but(ttl=3600, client_ttl=300)),
            Mount(
                "/entries",
                routes=[
                    Route("/", publish, methods=["POST"]),
                    Route(
                        "/{id:int}", EntryPage, cache=CachePolicy(ttl=3600, cookies=(), statuses=(200, 404))
                    ),
                ],
            ),
            Route("/live", live, cache=60),  # were it no stream, it would be cached
        ],
        # Compression outside of the cache: plain bytes are stored, and compressed for whoever wants that.
        middleware=[Middleware(GZipMiddleware, minimum_size=500)],
        cache=config or CacheConfig.from_env(namespace="starlette-feed"),
    )
    app.state.feed = Feed()
    return app


app = create_app()
