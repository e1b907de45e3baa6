"""The data: products, baskets and two years of sales, in SQLite."""

from __future__ import annotations

import sqlite3
from threading import Lock
from typing import Any

from pydantic import BaseModel, Field

__all__ = ["Basket", "Catalogue", "Line", "Price", "Product", "Sales"]

_SCHEMA = """
create table product (id integer primary key, category text not null, name text not null,
                      price integer not null);
create table basket (user text not null, product integer not null, pieces integer not null,
                     primary key (user, product));
create table sale (day integer not null, product integer not null, pieces integer not null);
insert into product (category, name, price) values
    ('light', 'lamp', 4000), ('light', 'candle', 500), ('work', 'desk', 20000), ('work', 'chair', 9000);
with recursive counter (n) as (select 0 union all select n + 1 from counter where n < 39999)
insert into sale select n % 730, 1 + (n * 7919) % 4, 1 + (n * 104729) % 3 from counter;
"""
_TODAY = 730

_REPORT = """
select category, sum(pieces), sum(pieces * price),
    (select name from product best join sale on sale.product = best.id where best.category = product.category
     group by best.id order by sum(pieces) desc, best.id limit 1)
from sale join product on product.id = sale.product group by category order by category
"""


class Product(BaseModel):
    """What is for sale."""

    id: int
    category: str
    name: str
    price: int
    """In cents."""


class Price(BaseModel):
    """A new price."""

    price: int = Field(ge=1)


class Line(BaseModel):
    """One product in a basket."""

    product: str
    pieces: int
    total: int


class Basket(BaseModel):
    """What somebody is about to buy."""

    user: str
    lines: list[Line]
    total: int


class Sales(BaseModel):
    """All sales of a category."""

    category: str
    pieces: int
    turnover: int
    bestseller: str


class Catalogue:
    """The shop's data. Its methods block, so FastAPI calls the endpoints that use them in threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def products(self, category: str | None = None) -> list[Product]:
        """Return the products, of one category or all."""
        rows = self._rows(
            "select id, category, name, price from product where ? is null or category = ? order by id",
            category,
            category,
        )
        return [Product(id=row[0], category=row[1], name=row[2], price=row[3]) for row in rows]

    def product(self, id: int) -> Product | None:
        """Return a product, None if there is no such product."""
        return next((product for product in self.products() if product.id == id), None)

    def reprice(self, id: int, price: int) -> Product | None:
        """Give a product a new price and return it."""
        self._rows("update product set price = ? where id = ?", price, id)
        return self.product(id)

    def basket(self, user: str) -> Basket:
        """Return somebody's basket."""
        rows = self._rows(
            "select name, pieces, pieces * price from basket join product on product.id = basket.product"
            " where user = ? order by product.id",
            user,
        )
        lines = [Line(product=row[0], pieces=row[1], total=row[2]) for row in rows]
        return Basket(user=user, lines=lines, total=sum(line.total for line in lines))

    def add(self, user: str, product: int) -> None:
        """Put one piece of a product into somebody's basket."""
        self._rows(
            "insert into basket values (?, ?, 1) on conflict do update set pieces = pieces + 1", user, product
        )

    def buy(self, user: str) -> None:
        """Sell what is in somebody's basket."""
        self._rows("insert into sale select ?, product, pieces from basket where user = ?", _TODAY, user)
        self._rows("delete from basket where user = ?", user)

    def sales(self) -> list[Sales]:
        """Return the sales of every category: slow, as it reads all sales there ever were."""
        return [
            Sales(category=row[0], pieces=row[1], turnover=row[2], bestseller=row[3])
            for row in self._rows(_REPORT)
        ]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._database:
            return self._database.execute(query, values).fetchall()
