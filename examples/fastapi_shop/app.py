"""A shop over HTTP. Start it, on a store in memory or on any other:

uvicorn examples.fastapi_shop.app:app
ASYNCCACHE_URL=redis://localhost uvicorn examples.fastapi_shop.app:app

curl -i localhost:8000/products/1
curl -i localhost:8000/basket -H 'Authorization: Bearer a1'
curl -i localhost:8000/products/1/price -X PUT -H 'Authorization: Bearer s3' --json '{"price": 4500}'
"""  # noqa: D415  (a colon introduces the commands)

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html import escape
from typing import Annotated, Final

import fastapi
from anyio import to_thread
from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from asynccache import CacheConfig, CachePolicy
from asynccache_fastapi import APIRouter, CacheDep, FastAPI
from examples.fastapi_shop.catalogue import Basket, Catalogue, Price, Product, Sales

__all__ = ["app", "create_app"]

TOKENS: Final = {"Bearer a1": "alice", "Bearer b2": "bob", "Bearer s3": "staff"}
"""Who may come in. A real application verifies a signature instead."""

router = APIRouter()


def who(request: Request) -> str | None:
    """Return who is asking, None if nobody knows; also what tells users' responses apart."""
    return TOKENS.get(request.headers.get("authorization", ""))


def signed_in(request: Request) -> str:
    """Let in who is known. It runs before every hit."""
    user = who(request)
    if user is None:
        raise HTTPException(401)
    return user


def staff(user: Annotated[str, Depends(signed_in)]) -> None:
    """Let in who works here."""
    if user != "staff":
        raise HTTPException(403)


def the_same(_: Request) -> str:
    """Tell nobody apart: who is let in gets the same. Dependencies still run, unlike for `public` routes."""
    return "staff"


def catalogue(request: Request) -> Catalogue:
    """Return the application's data."""
    found: Catalogue = request.app.state.catalogue
    return found


CatalogueDep = Annotated[Catalogue, Depends(catalogue)]
User = Annotated[str, Depends(signed_in)]


# The same for everybody, so hits are served before routing; browsers may keep it for a minute without asking.
@router.get(
    "/",
    response_class=HTMLResponse,
    cache=CachePolicy(ttl=600, public=True, client_ttl=60, tags=["products"]),
)
def landing(shop: CatalogueDep) -> str:
    """Return the page that everybody sees first."""
    items = "".join(f"<li>{escape(item.name)}: {item.price / 100:.2f}</li>" for item in shop.products())
    return f"<!doctype html><title>Shop</title><h1>Welcome</h1><ul>{items}</ul>"


# Of the query only `category` counts: ?utm_source=... does not fill the cache.
@router.get("/products", cache=CachePolicy(ttl=600, query=("category",), cookies=(), tags=["products"]))
def products(shop: CatalogueDep, category: str | None = None) -> list[Product]:
    """Return what is for sale."""
    return shop.products(category)


# A tag with a path parameter: a new price makes this product worthless, and no other.
@router.get("/products/{id}", cache=CachePolicy(ttl=600, cookies=(), tags=["product:{id}"]))
def product(id: int, shop: CatalogueDep) -> Product:
    """Return one product."""
    return found(shop.product(id))


@router.put("/products/{id}/price", dependencies=[Depends(staff)])
async def reprice(id: int, body: Price, shop: CatalogueDep, cache: CacheDep) -> Product:
    """Change a price, and forget every page that shows it."""
    changed = found(await to_thread.run_sync(shop.reprice, id, body.price))
    await cache.invalidate_tags("products", f"product:{id}", "baskets")  # after the change, never before
    return changed


# A response per user: `vary_on` says what tells them apart. The tag is filled in from the dependency.
@router.get("/basket", cache=CachePolicy(ttl=600, vary_on=who, tags=["baskets", "basket:{user}"]))
def basket(user: User, shop: CatalogueDep) -> Basket:
    """Return the basket of who is asking, and nobody else's."""
    return shop.basket(user)


@router.post("/basket/{id}", status_code=201)
async def add(id: int, user: User, shop: CatalogueDep, cache: CacheDep) -> None:
    """Put a product into the basket."""
    found(await to_thread.run_sync(shop.product, id))
    await to_thread.run_sync(shop.add, user, id)
    await cache.invalidate_tags(f"basket:{user}")


@router.post("/orders", status_code=201)
async def order(user: User, shop: CatalogueDep, cache: CacheDep) -> None:
    """Buy what is in the basket."""
    await to_thread.run_sync(shop.buy, user)
    await cache.invalidate_tags(f"basket:{user}")
    # Softly: the report becomes stale, not worthless. The next reader gets the old one at once, and meanwhile
    # a new one is made in the background.
    await cache.invalidate_tags("sales", soft=True)


# Nobody waits for the report but its very first reader.
@router.get(
    "/reports/sales",
    dependencies=[Depends(staff)],
    cache=CachePolicy(ttl=60, stale_while_revalidate=3600, vary_on=the_same, tags=["sales"]),
)
def sales(shop: CatalogueDep) -> list[Sales]:
    """Return the sales of every category."""
    return shop.sales()


def found(product: Product | None) -> Product:
    """Return ``product``, or answer 404."""
    if product is None:
        raise HTTPException(404)
    return product


def create_app(config: CacheConfig | None = None) -> FastAPI:
    """Return the application; its cache is configured by ``config``, else by the environment."""

    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncGenerator[None]:
        app.state.catalogue = shop = Catalogue()
        yield
        shop.close()

    app = FastAPI(
        title="Shop", cache=config or CacheConfig.from_env(namespace="fastapi-shop"), lifespan=lifespan
    )
    app.include_router(router)
    return app


app = create_app()
