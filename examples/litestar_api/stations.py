"""The data: stations and their readings, in SQLite."""

from __future__ import annotations

import sqlite3
from threading import Lock
from typing import Any

import msgspec

__all__ = ["Reading", "Station", "Stations", "Summary"]

_SCHEMA = """
create table station (id integer primary key, name text not null);
create table reading (station integer not null references station, celsius real not null);
insert into station (name) values ('Bergen'), ('Lisbon'), ('Nairobi');
insert into reading values (1, 4.5), (1, 6.5), (2, 21.0), (3, 18.0);
"""


class Station(msgspec.Struct):
    """Where somebody measures."""

    id: int
    name: str


class Reading(msgspec.Struct):
    """What was measured."""

    celsius: float


class Summary(msgspec.Struct):
    """All readings of a station."""

    station: str
    readings: int
    mean: float
    highest: float


class Stations:
    """The stations. Its methods block, so the application calls them in threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def all(self) -> list[Station]:
        """Return every station."""
        return [Station(*row) for row in self._rows("select id, name from station order by id")]

    def summary(self, id: int) -> Summary | None:
        """Return the summary of a station, None if there is no such station."""
        rows = self._rows(
            "select name, count(celsius), round(avg(celsius), 2), max(celsius) from station"
            " join reading on reading.station = station.id where station.id = ? group by station.id",
            id,
        )
        return Summary(*rows[0]) if rows else None

    def add(self, id: int, reading: Reading) -> None:
        """Keep a reading."""
        self._rows("insert into reading values (?, ?)", id, reading.celsius)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._database:
            return self._database.execute(query, values).fetchall()
