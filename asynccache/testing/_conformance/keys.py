# ruff: noqa: S101  (asserts are what a test consists of)
"""Any key is a key, and two different keys never meet."""

from __future__ import annotations

from typing import Final

import pytest

from asynccache.protocols import CacheBackendProtocol, SupportsMany
from asynccache.testing._conformance.section import Section

__all__ = ["AWKWARD", "Keys"]

AWKWARD: Final[dict[str, tuple[str, ...]]] = {
    "case": ("key", "Key", "KEY"),
    "spaces": ("a", " a", "a ", "a  b", "a b", "ab", "a\tb", "a\u00a0b"),
    "percent": ("a%20b", "a+b", "a%2520b", "%", "%%", "a_b", "a%b"),
    "control": ("a\x00b", "a\x00", "a\nb", "a\rb", "a\r\nb", "\x01", "\x7f", "\x1f"),
    "unicode": (
        "é",
        "e\u0301",
        "\u212a",
        "K",
        "ß",
        "ss",
        "İ",
        "i̇",
        "😀",
        "👩\u200d👩\u200d👧",
        "日本",
        "\ufeffa",
    ),
    "slashes": ("a/b", "a//b", "a/./b", "../a", "a\\b", "a\\\\b", "/"),
    "colons": ("a:b", "a::b", ":a:b", "a:b:", ":"),
    "numbers": ("1", "01", "1.0", "+1", "-1", "0x1", "k-", "k45"),
    "glob": ("*", "?", "[a]", "a*", "{a}", "$1", "'", '"', "';--", "`a`"),
    "words": ("None", "null", "True", "__proto__", "$where", "_id"),
    "250_bytes": ("b" * 249, "b" * 250, "b" * 251, "é" * 125, "é" * 126),
    "10_000": ("c" * 10_000, "c" * 9_999 + "d", "d" + "c" * 9_999, "c" * 10_001, "😀" * 10_000),
    "memcached": ("a\r\nset b 0 0 1\r\nx", "b", "a\r\nflush_all\r\n", "a noreply"),
    "redis": ("*1\r\n$8\r\nFLUSHALL\r\n", "$-1\r\n"),
}
"""Groups of keys that some store, somewhere, has mistaken for each other or for something else."""


class Keys(Section):
    """Non-empty ``str`` of any Unicode."""

    @pytest.mark.parametrize("group", AWKWARD)
    async def test_awkward_keys_are_apart(self, backend: CacheBackendProtocol, group: str) -> None:
        """Every key of the group holds its own value, and deleting one leaves the others."""
        keys = AWKWARD[group]
        values = {key: f"{place}".encode() for place, key in enumerate(keys)}
        try:
            for key, value in values.items():
                assert await backend.set(key, value) is not False
            for key, value in values.items():
                assert await backend.get(key) == value
            for key in keys:
                assert await backend.delete(key) is True
                del values[key]
                assert await backend.get(key) is None
                for other, value in values.items():
                    assert await backend.get(other) == value
        finally:
            for key in keys:
                await backend.delete(key)

    async def test_awkward_keys_in_bulk(self, backend: CacheBackendProtocol) -> None:
        """The bulk forms keep them apart as well."""
        if not isinstance(backend, SupportsMany):
            pytest.skip("no SupportsMany")
        items = {self.key(key): key.encode() for group in AWKWARD.values() for key in group}
        assert not await backend.set_many(items)
        assert await backend.get_many(list(items)) == items
        for key, value in items.items():
            assert await backend.get(key) == value
        assert await backend.delete_many(list(items)) == items.keys()
        assert await backend.get_many(list(items)) == {}

    async def test_every_ascii_character(self, backend: CacheBackendProtocol) -> None:
        """Each of the 128 ASCII characters is a key of its own, alone and inside another key."""
        keys = [chr(code) for code in range(128)] + [self.key(f"a{chr(code)}b") for code in range(128)]
        try:
            for key in keys:
                await backend.set(key, key.encode())
            for key in keys:
                assert await backend.get(key) == key.encode()
        finally:
            for key in keys:
                await backend.delete(key)

    async def test_a_key_cannot_carry_a_command(self, backend: CacheBackendProtocol) -> None:
        """A key that spells the memcached protocol writes nothing but itself, however long it is."""
        victim = self.key("victim")
        await backend.set(victim, b"safe")
        for filler in ("", "é" * 126, "x" * 251):
            attack = f"{self.key('a')}{filler}\r\nset {victim} 0 0 4\r\nEVIL"
            await backend.set(attack, f"set {victim} 0 0 4\r\nEVIL\r\n".encode())
            await backend.get(attack)
            await backend.delete(attack)
            assert await backend.get(victim) == b"safe"
