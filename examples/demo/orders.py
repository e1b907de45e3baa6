"""The shop's orders: a SQLite database made on first use, and the slow questions asked of it."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

__all__ = ["CATEGORIES", "CITIES", "Orders", "make_orders"]

CATEGORIES: Final = ("books", "garden", "kitchen", "music", "sports", "tools", "toys", "travel")
CITIES: Final = ("Bergen", "Bodø", "Hamar", "Molde", "Oslo", "Stavanger", "Tromsø", "Trondheim")
CUSTOMERS: Final = ("alice", "bob", *(f"customer{number}" for number in range(500)))
_PRODUCTS: Final = 2000
_BATCH: Final = 10_000
_ABANDONED: Final = 3600.0
"""Seconds after which an unfinished file is nobody's any more."""

_SCHEMA: Final = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price INTEGER);
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY, day TEXT, city TEXT, customer TEXT, product INTEGER, quantity INTEGER
    );
"""


def make_orders(folder: Path, count: int, progress: Callable[[float], None]) -> Path:
    """Return a database of ``count`` orders in ``folder``, making it if it is not there.

    It is built under another name and renamed when complete, so an interrupted run leaves nothing half made.

    Args:
        folder: Made if need be, with a ``.gitignore`` of its own.
        count: Number of orders.
        progress: Told the fraction done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="ascii")
    database = folder / f"orders-{count}.sqlite3"
    if database.exists():
        return database
    for leftover in folder.glob("*.part"):
        if time.time() - leftover.stat().st_mtime > _ABANDONED:
            leftover.unlink(missing_ok=True)
    part = folder / f"{database.name}.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part)) as connection:
            connection.executescript(_SCHEMA)
            draw = random.Random(2026)
            connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", _products(draw))
            for first in range(1, count + 1, _BATCH):
                last = min(first + _BATCH - 1, count)
                batch = _orders(draw, first, last)
                connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", batch)
                progress(last / count)
            connection.commit()
        part.replace(database)
    finally:
        part.unlink(missing_ok=True)
    return database


def _products(draw: random.Random) -> Iterator[tuple[object, ...]]:
    for number in range(1, _PRODUCTS + 1):
        category = draw.choice(CATEGORIES)
        yield number, f"{category} no. {number}", category, draw.randrange(5, 200)


def _orders(draw: random.Random, first: int, last: int) -> Iterator[tuple[object, ...]]:
    for number in range(first, last + 1):
        day = date(2024, 1, 1) + timedelta(days=draw.randrange(730))
        # The first two people and the first order are part of the story.
        customer = CUSTOMERS[number % 2] if number % 50 == 0 else draw.choice(CUSTOMERS)
        city = "Oslo" if number == 1 else draw.choice(CITIES)
        yield number, day.isoformat(), city, customer, draw.randint(1, _PRODUCTS), draw.randint(1, 9)


class Orders:
    """The database: every method is one SQL statement, and none has an index to help it."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def _ask(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._database)) as connection, connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, arguments)]

    def sales(self, year: str) -> list[dict[str, Any]]:
        """Return revenue by category and month, with each month's ranking."""
        return self._ask(
            """
            WITH sales AS (
                SELECT strftime('%Y-%m', day) AS month, category, sum(quantity * price) AS revenue
                FROM orders JOIN products ON products.id = product
                WHERE strftime('%Y', day) GLOB ? GROUP BY month, category
            )
            SELECT *, rank() OVER (PARTITION BY month ORDER BY revenue DESC) AS rank
            FROM sales ORDER BY month, rank
            """,
            year,
        )

    def city(self, name: str) -> dict[str, Any]:
        """Return what was sold in a city."""
        return self._ask(
            """
            SELECT count(*) AS orders, coalesce(sum(quantity * price), 0) AS revenue
            FROM orders JOIN products ON products.id = product WHERE city = ?
            """,
            name,
        )[0]

    def bestsellers(self) -> list[dict[str, Any]]:
        """Return the ten products sold most."""
        return self._ask(
            """
            SELECT name, sum(quantity) AS sold FROM orders JOIN products ON products.id = product
            GROUP BY products.id ORDER BY sold DESC, name LIMIT 10
            """
        )

    def customer(self, name: str) -> dict[str, Any]:
        """Return what a customer has bought."""
        return self._ask(
            """
            SELECT count(*) AS orders, coalesce(sum(quantity * price), 0) AS spent
            FROM orders JOIN products ON products.id = product WHERE customer = ?
            """,
            name,
        )[0]

    def price_level(self, category: str) -> float | None:
        """Return the average price paid for a piece in a category; None if there is no such category."""
        level: float | None = self._ask(
            """
            SELECT sum(quantity * price) * 1.0 / sum(quantity) AS level
            FROM orders JOIN products ON products.id = product WHERE category = ?
            """,
            category,
        )[0]["level"]
        return level

    def order(self, number: int) -> dict[str, Any] | None:
        """Return one order; None if there is none."""
        found = self._ask(
            """
            SELECT orders.*, price FROM orders JOIN products ON products.id = product WHERE orders.id = ?
            """,
            number,
        )
        return found[0] if found else None

    def change(self, number: int, quantity: int) -> None:
        """Change how many pieces were ordered."""
        self._ask("UPDATE orders SET quantity = ? WHERE id = ?", quantity, number)
