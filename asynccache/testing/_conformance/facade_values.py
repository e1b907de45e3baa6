# ruff: noqa: S101  (asserts are what a test consists of)
"""Python values go in and come out, equal, of the same type, and nobody else's to change."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pytest

from asynccache.cache import Cache
from asynccache.config import CacheConfig
from asynccache.testing._conformance.facade import Facade
from asynccache.testing._conformance.spying import Spy

__all__ = ["FacadeValues"]

PLAIN: Final[dict[str, Any]] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus_one": -1,
    "beyond_floats": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "float": 0.1,
    "whole_float": 1.0,
    "empty_text": "",
    "digits": "42",
    "text": "é 😀 \x00 \r\n",
    "empty_list": [],
    "list": [1, [2, [None, "x"]], {"k": []}],
    "empty_dict": {},
    "dict": {"a": {"b": [1, 2.5, None, False]}, "": ""},
    "large": ["row"] * 50_000,
}
BYTES: Final[dict[str, Any]] = {"empty_bytes": b"", "bytes": bytes(range(256)), "digits_as_bytes": b"42"}
OBJECTS: Final[dict[str, Any]] = {
    "tuple": (1, (2,)),
    "set": {1, 2},
    "int_keys": {1: "a"},
    "decimal": Decimal("1.10"),
    "moment": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    "huge": 10**50,
    "infinity": math.inf,
}
TABLES: Final[dict[str, dict[str, Any]]] = {
    "msgpack": PLAIN | BYTES,
    "json": PLAIN,
    "pickle": PLAIN | BYTES | OBJECTS,
    "raw": BYTES,
}

AWKWARD_KEYS: Final = ("a" * 10_000, "a b\r\n\x00", "😀", "e\u0301", " ", "*")
BAD_KEYS: Final = ("", None, 1, b"bytes", "\ud800", ("a", "b"))


@dataclass(frozen=True)
class Point:
    """A typed value."""

    x: int
    y: int


class FacadeValues(Facade):
    """``get`` and ``set`` of anything the codec can write."""

    def structured(self, config: CacheConfig) -> None:
        """Skip where the codec takes bytes only."""
        if config.codec == "raw":
            pytest.skip("the raw codec takes bytes only")

    async def test_values_come_back(self, cache: Cache, config: CacheConfig) -> None:
        """Every value of the codec's table comes back equal and of the same type."""
        table = TABLES.get(config.codec) if isinstance(config.codec, str) else None
        if table is None:
            pytest.skip("no table for this codec")
        for name, value in table.items():
            assert await cache.set(name, value) is True, name
        for name, value in table.items():
            got = await cache.get(name)
            assert got == value, name
            assert type(got) is type(value), name
        assert await cache.get_many(table) == table

    async def test_bytes_stay_apart_from_text(self, cache: Cache, config: CacheConfig) -> None:
        """A number, its digits as text and its digits as bytes are three values."""
        if config.codec not in {"msgpack", "pickle"}:
            pytest.skip("needs a codec that knows bytes and text")
        for value in (42, "42", b"42", 42.0, True):
            await cache.set("k", value)
            got = await cache.get("k")
            assert (type(got), got) == (type(value), value)

    async def test_none_is_a_value(self, cache: Cache, config: CacheConfig) -> None:
        """A stored None is found; only a miss gives the default."""
        self.structured(config)
        nothing = object()
        assert await cache.get("k", nothing) is nothing
        await cache.set("k", None)
        assert await cache.get("k", nothing) is None
        assert await cache.exists("k") is True
        assert await cache.get_many(["k", "absent"]) == {"k": None}
        assert await cache.delete("k") is True
        assert await cache.get("k", nothing) is nothing

    async def test_a_miss_gives_the_default(self, cache: Cache) -> None:
        """A miss gives None, or the very object passed as default."""
        assert await cache.get("absent") is None
        default: list[int] = []
        assert await cache.get("absent", default) is default

    async def test_typed_decoding(self, cache: Cache, config: CacheConfig) -> None:
        """``type=`` gives the value as that type; one that does not fit is a miss, for this reader only."""
        if config.codec not in {"msgpack", "json"}:
            pytest.skip("the codec does not convert")
        await cache.set("point", Point(1, 2))
        for _ in range(2):
            assert await cache.get("point", type=Point) == Point(1, 2)
            assert await cache.get("point") == {"x": 1, "y": 2}
        assert await cache.get("point", "default", type=list[int]) == "default"
        await cache.set("moment", dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
        assert await cache.get("moment", type=dt.datetime) == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
        assert await cache.get_many(["point"], type=Point) == {"point": Point(1, 2)}

    async def test_type_is_not_confused(self, cache: Cache, config: CacheConfig) -> None:
        """One value read as several types in turn is each time of the type asked for."""
        if config.codec not in {"msgpack", "json"}:
            pytest.skip("the codec does not convert")
        await cache.set("n", 1)
        await cache.set("f", [1, 2])
        for _ in range(2):
            assert type(await cache.get("n", type=int)) is int
            assert type(await cache.get("n", type=float)) is float
            assert type(await cache.get("n")) is int
            assert await cache.get("f", type=tuple[int, ...]) == (1, 2)
            assert await cache.get("f", type=list[float]) == [1.0, 2.0]
            assert await cache.get("n", "miss", type=str) == "miss"

    async def test_nobody_shares_mutable_values(self, cache: Cache, config: CacheConfig) -> None:
        """Changing what was stored, or what was read, changes nothing for anyone else."""
        self.structured(config)
        value: dict[str, Any] = {"list": [1], "dict": {"a": 1}}
        await cache.set("k", value)
        value["list"].append("changed after set")
        for _ in range(2):
            got = await cache.get("k")
            assert got == {"list": [1], "dict": {"a": 1}}
            got["list"].append("changed after get")
            got["dict"].clear()
        many = await cache.get_many(["k"])
        many["k"]["list"].append("changed after get_many")
        assert await cache.get("k") == {"list": [1], "dict": {"a": 1}}

    async def test_nobody_shares_loaded_values(self, cache: Cache, config: CacheConfig) -> None:
        """The same for ``get_or_set``: not the loader's own object, and not the other callers'."""
        self.structured(config)
        source = {"list": [1]}

        async def load() -> dict[str, list[int]]:
            return source

        first = await cache.get_or_set("k", load)
        first["list"].append(2)
        second = await cache.get_or_set("k", load)
        assert second == {"list": [1]}
        second["list"].append(3)
        source["list"].append(4)
        assert await cache.get("k") == {"list": [1]}

    async def test_nested_immutables_hide_no_mutables(self, cache: Cache, config: CacheConfig) -> None:
        """A list inside a tuple is as safe as any."""
        if config.codec != "pickle":
            pytest.skip("needs a codec that keeps tuples")
        await cache.set("k", (1, [2]))
        (await cache.get("k"))[1].append(3)
        assert await cache.get("k") == (1, [2])

    async def test_too_large_values_are_refused(self, config: CacheConfig) -> None:
        """Over ``max_value_bytes`` ``set`` returns False and the old value is gone."""
        async with self.cache_type(config.but(max_value_bytes=1000, compression=False)) as cache:
            for write in (cache.set, self.set_one_of_many(cache)):
                assert await write("k", b"x" * 500 if config.codec == "raw" else "x" * 500) is True
                assert await write("k", b"x" * 2000 if config.codec == "raw" else "x" * 2000) is False
                assert await cache.get("k") is None
                assert await cache.exists("k") is False

    @staticmethod
    def set_one_of_many(cache: Cache) -> Any:
        """Return ``set_many`` in the shape of ``set``."""

        async def write(key: str, value: Any) -> bool:
            return await cache.set_many({key: value})

        return write

    async def test_too_large_results_are_returned(self, config: CacheConfig) -> None:
        """``get_or_set`` hands out what is too large to keep, and computes it again the next time."""
        large = b"x" * 2000 if config.codec == "raw" else "x" * 2000
        runs = 0

        async def load() -> Any:
            nonlocal runs
            runs += 1
            return large

        async with self.cache_type(config.but(max_value_bytes=1000, compression=False)) as cache:
            assert await cache.get_or_set("k", load) == large
            assert await cache.get_or_set("k", load) == large
            assert runs == 2

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    async def test_bad_keys(self, watched: Cache, spy: Spy, key: Any) -> None:
        """A key that is no text is a TypeError, one that no store could hold a ValueError; before any I/O."""
        error = ValueError if isinstance(key, str) else TypeError
        asked = len(spy.calls)

        async def load(*_: object) -> Any:
            pytest.fail("the loader must not run")

        for call in (
            lambda: watched.get(key),
            lambda: watched.set(key, b"v"),
            lambda: watched.add(key, b"v"),
            lambda: watched.delete(key),
            lambda: watched.exists(key),
            lambda: watched.touch(key, 60),
            lambda: watched.ttl(key),
            lambda: watched.incr(key),
            lambda: watched.get_many([key]),
            lambda: watched.set_many({key: b"v"}),
            lambda: watched.delete_many([key]),
            lambda: watched.get_or_set(key, load),
            lambda: watched.get_or_set_many([key], load),
        ):
            with pytest.raises(error):
                await call()
        assert len(spy.calls) == asked

    @pytest.mark.parametrize(
        "key", ["a" * 10_000, "a b\r\n\x00", "😀", "e\u0301", " ", "*"], ids=lambda key: ascii(key)[:9]
    )
    async def test_awkward_keys(self, cache: Cache, key: str) -> None:
        """Any non-empty text is a key."""
        await cache.set(key, b"v" if self.options.get("codec") == "raw" else "v")
        assert await cache.exists(key) is True
        assert await cache.get_many([key, key + "x"]) == {key: await cache.get(key)}
        assert await cache.delete(key) is True
