"""The demo's application: a shop's reports, slow by nature, made fast by asynccache.

Everything that has to do with caching is in this file. The rest is a FastAPI application like any other.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field
from starlette.middleware import Middleware

from asynccache import CacheConfig, cached
from asynccache_fastapi import CacheDep, CacheMiddleware, cache_response
from examples.demo.orders import Orders

orders: Final = Orders(Path(os.environ.get("DEMO_DATABASE", ".demo/orders-250000.sqlite3")))
runs: Final = Counter[str]()
"""How often each endpoint really ran: the story checks it."""

# The store is the one in ASYNCCACHE_URL, memory:// if there is none: nothing else in this file knows.
config = CacheConfig.from_env(namespace="demo")
app = FastAPI(title="A shop's reports", middleware=[Middleware(CacheMiddleware, config=config)])


class Price(BaseModel):
    category: str
    average: float


class Change(BaseModel):
    quantity: int = Field(ge=1, le=1000)


# A response for everybody, kept for a minute. HEAD is answered from it too.
@app.api_route("/reports/sales", methods=["GET", "HEAD"])
@cache_response(ttl=60, tags=["sales"], query=("year",))
def sales(year: str = "*") -> list[dict[str, Any]]:
    runs["sales"] += 1
    return orders.sales(year)


# A tag with a path parameter: changing an order makes one city's report worthless, and no other city's.
@app.get("/cities/{city}")
@cache_response(ttl=60, tags=["city:{city}"])
def city_report(city: str) -> dict[str, Any]:
    runs["city"] += 1
    return {"city": city, **orders.city(city)}


@app.get("/orders/{number}")
def order(number: int) -> dict[str, Any]:
    if (found := orders.order(number)) is None:
        raise HTTPException(404)
    return found


@app.put("/orders/{number}")
async def change(number: int, body: Change, cache: CacheDep) -> dict[str, Any]:
    changed = order(number)
    orders.change(number, body.quantity)
    await cache.invalidate_tags("sales", f"city:{changed['city']}")
    return order(number)


# Fresh for two seconds; for a minute after that the old answer is served at once while one refresh runs.
@app.get("/bestsellers")
@cache_response(ttl=2, stale_while_revalidate=60)
def bestsellers() -> dict[str, Any]:
    runs["bestsellers"] += 1
    return {"made": time.time(), "bestsellers": orders.bestsellers()}


def who(request: Request) -> str | None:
    """Return who is asking, None if nobody knows. An application would verify a token here."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" and token in {"alice", "bob"} else None


def signed_in(request: Request) -> str:
    """Let in who is known. It runs before every hit."""
    if (user := who(request)) is None:
        raise HTTPException(401)
    return user


# A response per user: `vary_on` says what distinguishes them.
@app.get("/me")
@cache_response(ttl=60, vary_on=who)
def me(user: Annotated[str, Depends(signed_in)]) -> dict[str, Any]:
    runs["me"] += 1
    return {"user": user, **orders.customer(user)}


# A function, cached by its arguments and decoded to what it returns. Synchronous: it runs in a thread.
@cached(ttl=60, key="price:{category}", tags=["sales"])
def price_level(category: str) -> Price | None:
    runs["price_level"] += 1
    average = orders.price_level(category)
    return None if average is None else Price(category=category, average=average)


@app.get("/quotes/{category}/{quantity}")
async def quote(category: str, quantity: int) -> dict[str, Any]:
    if (price := await price_level(category)) is None:
        raise HTTPException(404)
    return {"category": category, "quantity": quantity, "about": round(price.average * quantity, 2)}


# -- for the story ------------------------------------------------------------------------------------


@app.get("/runs")
async def how_often() -> dict[str, int]:
    return dict(runs)


@app.get("/stats")
async def stats(cache: CacheDep) -> dict[str, Any]:
    return {**asdict(cache.stats()), "hit_ratio": cache.stats().hit_ratio}


@app.delete("/cache", status_code=204)
async def start_over(cache: CacheDep) -> None:
    await cache.clear()
