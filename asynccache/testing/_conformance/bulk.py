# ruff: noqa: S101  (asserts are what a test consists of)
"""The bulk forms mean exactly what a loop over the single ones would."""

from __future__ import annotations

import pytest

from asynccache.protocols import CacheBackendProtocol, SupportsClear, SupportsMany
from asynccache.testing._conformance.section import Section

__all__ = ["Clearing", "Many"]


class Many(Section):
    """`SupportsMany`."""

    @pytest.fixture
    def many(self, backend: CacheBackendProtocol) -> SupportsMany:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsMany):
            pytest.skip("no SupportsMany")
        return backend

    async def test_bulk_and_single_forms_agree(
        self, backend: CacheBackendProtocol, many: SupportsMany
    ) -> None:
        """What one form writes the other reads and deletes."""
        await backend.set(self.key("a"), b"1")
        assert await many.set_many({self.key("b"): b"", self.key("c"): b"3"}) == set()
        assert await backend.get(self.key("b")) == b""
        keys = [self.key("c"), self.key("a"), self.key("b")]
        assert await many.get_many(keys) == {keys[0]: b"3", keys[1]: b"1", keys[2]: b""}
        assert await many.delete_many(keys[:2]) == set(keys[:2])
        assert await backend.get(self.key("a")) is None
        assert await backend.get(self.key("b")) == b""

    async def test_absent_keys_are_left_out(self, backend: CacheBackendProtocol, many: SupportsMany) -> None:
        """``get_many`` returns what it found and no more; ``delete_many`` names what was there."""
        await backend.set(self.key("b"), b"2")
        keys = [self.key(name) for name in "abc"]
        assert await many.get_many(keys) == {self.key("b"): b"2"}
        assert await many.delete_many(keys) == {self.key("b")}
        assert await many.get_many(keys) == {}
        assert await many.delete_many(keys) == set()

    async def test_duplicate_keys(self, backend: CacheBackendProtocol, many: SupportsMany) -> None:
        """A key named twice is one key."""
        await backend.set(self.key("a"), b"1")
        await backend.set(self.key("b"), b"2")
        keys = [self.key(name) for name in ("a", "b", "a", "absent", "absent", "a")]
        assert await many.get_many(keys) == {self.key("a"): b"1", self.key("b"): b"2"}
        assert await many.delete_many(keys) == {self.key("a"), self.key("b")}

    async def test_nothing(self, many: SupportsMany) -> None:
        """No keys and no items are fine, and do nothing."""
        assert await many.get_many([]) == {}
        assert await many.set_many({}) == set()
        assert await many.delete_many([]) == set()

    async def test_a_thousand(self, many: SupportsMany) -> None:
        """A thousand keys at once keep their own values, whatever the order they are asked in."""
        items = {self.key(f"{number}"): f"value {number}".encode() for number in range(1000)}
        assert await many.set_many(items) == set()
        assert await many.get_many(list(reversed(items))) == items
        assert await many.delete_many(list(items)) == items.keys()
        assert await many.get_many(list(items)) == {}

    async def test_set_many_replaces(self, backend: CacheBackendProtocol, many: SupportsMany) -> None:
        """``set_many`` overwrites what is there."""
        await backend.set(self.key("a"), b"old and longer")
        await many.set_many({self.key("a"): b"new", self.key("b"): b"2"})
        assert await backend.get(self.key("a")) == b"new"


NEIGHBOURS = (
    "app",
    "ap",
    "app2:x",
    "App:x",
    "xapp:x",
    "app;x",
    "app :x",
    "app%3Ax",
    "äpp:x",
    "ap_:x",
    "ap%:x",
)


class Clearing(Section):
    """`SupportsClear`."""

    @pytest.fixture
    def clearing(self, backend: CacheBackendProtocol) -> SupportsClear:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsClear):
            pytest.skip("no SupportsClear")
        return backend

    async def fill_and_clear(
        self,
        backend: CacheBackendProtocol,
        clearing: SupportsClear,
        prefix: str,
        inside: list[str],
        outside: list[str],
    ) -> None:
        """Set all keys, clear ``prefix``, and check that exactly ``inside`` is gone."""
        for name in inside + outside:
            await backend.set(self.key(name), name.encode())
        await clearing.clear(self.key(prefix))
        for name in inside:
            assert await backend.get(self.key(name)) is None, name
        for name in outside:
            assert await backend.get(self.key(name)) == name.encode(), name
        for name in inside:  # a cleared key is an ordinary key again
            await backend.set(self.key(name), b"again")
            assert await backend.get(self.key(name)) == b"again", name

    async def test_clear_is_exact(self, backend: CacheBackendProtocol, clearing: SupportsClear) -> None:
        """Everything under the prefix goes, long and strange keys too; its neighbours stay."""
        inside = [
            "app:",
            "app:x",
            "app::x",
            "app:a b\n\x00",
            "app:" + "l" * 300,
            "app:" + "é" * 10_000,
            "app:😀",
        ]
        await self.fill_and_clear(backend, clearing, "app:", inside, list(NEIGHBOURS))

    async def test_clear_of_a_deeper_prefix(
        self, backend: CacheBackendProtocol, clearing: SupportsClear
    ) -> None:
        """A longer prefix leaves what is under the shorter one."""
        await self.fill_and_clear(
            backend, clearing, "app::", ["app::x", "app::"], ["app:x", "app:", "app:x::y"]
        )

    @pytest.mark.parametrize(
        "prefix, outside",
        [
            ("a*b:", ["aXb:k", "ab:k", "a*c:k", "a"]),
            ("a?b:", ["aXb:k", "ab:k"]),
            ("a[xy]b:", ["axb:k", "ayb:k", "a[x]b:k"]),
            ("a\\b:", ["ab:k", "a\\\\b:k"]),
            ("a%b:", ["aXb:k", "ab:k", "aXXb:k"]),
            ("a_b:", ["aXb:k", "a\\_b:k"]),
            ("a.b^$(|):", ["aXb^$(|):k", "a.b:k"]),
            ("[", ["a", "\\["]),
            ("*", ["a", "\\*"]),
            ("\\", ["a", "/"]),
            ("é:", ["e\u0301:k", "É:k", "e:k"]),
            ("a\r\nb:", ["a:k", "ab:k", "a"]),
            ("p" * 300 + ":", ["p" * 299 + ":k", "p" * 301 + ":k"]),
        ],
        ids=ascii,
    )
    async def test_prefix_is_no_pattern(
        self, backend: CacheBackendProtocol, clearing: SupportsClear, prefix: str, outside: list[str]
    ) -> None:
        """Characters that mean something in globs, SQL or regular expressions mean themselves."""
        await self.fill_and_clear(
            backend, clearing, prefix, [prefix, f"{prefix}k", f"{prefix}{prefix}"], outside
        )

    async def test_clear_of_nothing(self, backend: CacheBackendProtocol, clearing: SupportsClear) -> None:
        """Clearing a prefix without keys is fine, twice too."""
        await backend.set(self.key("k"), b"v")
        await clearing.clear(self.key("none:"))
        await clearing.clear(self.key("none:"))
        assert await backend.get(self.key("k")) == b"v"

    async def test_clear_of_a_thousand(self, backend: CacheBackendProtocol, clearing: SupportsClear) -> None:
        """More keys than a store lists at once are all removed."""
        for number in range(1200):
            await backend.set(self.key(f"many:{number}"), b"v")
        await backend.set(self.key("other"), b"v")
        await clearing.clear(self.key("many:"))
        left = [number for number in range(1200) if await backend.get(self.key(f"many:{number}")) is not None]
        assert left == []
        assert await backend.get(self.key("other")) == b"v"
