# ruff: noqa: S101  (asserts are what a test consists of)
"""What is stored comes back, byte for byte, and nothing else does."""

from __future__ import annotations

from typing import Final

import pytest

from asynccache.protocols import CacheBackendProtocol
from asynccache.testing._conformance.section import Section

__all__ = ["Values"]

MIB: Final = 1024 * 1024

PAYLOADS: Final = {
    "every_byte": bytes(range(256)),
    "empty": b"",
    "nul": b"\x00",
    "newlines": b"\r\n\r\n",
    "not_utf8": b"\xff\xfe\x80",
    "number": b"42",
    "number_with_zeros": b"007",
    "word_none": b"None",
    "memcached_reply": b"VALUE session:admin 0 4\r\nEVIL\r\nEND\r\n",
    "redis_reply": b"$4\r\nEVIL\r\n",
    "64_kib": bytes(range(256)) * 256,
}


class Values(Section):
    """``get``, ``set``, ``delete``."""

    max_value_bytes: int | None = None
    """The largest value the store takes, if it is limited: one byte more must be refused."""

    async def test_absent_key_gives_none(self, backend: CacheBackendProtocol) -> None:
        """A key that was never set gives None."""
        assert await backend.get(self.key("never")) is None

    @pytest.mark.parametrize("name", PAYLOADS)
    async def test_value_comes_back(self, backend: CacheBackendProtocol, name: str) -> None:
        """Any bytes come back as they were, as ``bytes``."""
        assert await backend.set(self.key("k"), PAYLOADS[name]) is not False
        value = await backend.get(self.key("k"))
        assert value == PAYLOADS[name]
        assert type(value) is bytes

    async def test_large_value_comes_back(self, backend: CacheBackendProtocol) -> None:
        """A value of 1 MiB comes back as it was, unless the store's limit is smaller."""
        size = MIB if self.max_value_bytes is None else min(MIB, self.max_value_bytes)
        value = (bytes(range(251)) * (size // 251 + 1))[:size]
        assert await backend.set(self.key("large"), value) is not False
        found = await backend.get(self.key("large"))
        same = found == value  # not in the assert: pytest would write out how a megabyte differs
        assert same, f"{size} bytes came back as {None if found is None else len(found)} others"

    async def test_too_large_value_is_refused(self, backend: CacheBackendProtocol) -> None:
        """A value over the store's limit makes ``set`` return False, and the old value is gone."""
        if self.max_value_bytes is None:
            pytest.skip("max_value_bytes is not set: the store has no limit to test")
        await backend.set(self.key("k"), b"old")
        assert await backend.set(self.key("k"), b"x" * (self.max_value_bytes + 1)) is False
        assert await backend.get(self.key("k")) is None

    async def test_set_replaces(self, backend: CacheBackendProtocol) -> None:
        """The last value set is the one that is read, whether it is longer or shorter."""
        for value in (b"first", b"second value", b"", b"3"):
            await backend.set(self.key("k"), value)
            assert await backend.get(self.key("k")) == value

    async def test_reading_does_not_consume(self, backend: CacheBackendProtocol) -> None:
        """A value can be read any number of times."""
        await backend.set(self.key("k"), b"v")
        assert [await backend.get(self.key("k")) for _ in range(3)] == [b"v"] * 3

    async def test_delete_removes(self, backend: CacheBackendProtocol) -> None:
        """``delete`` returns True and the value is gone."""
        await backend.set(self.key("k"), b"v")
        assert await backend.delete(self.key("k")) is True
        assert await backend.get(self.key("k")) is None

    async def test_delete_tells_that_nothing_was_there(self, backend: CacheBackendProtocol) -> None:
        """``delete`` returns False for a key that was never set, or is deleted already."""
        assert await backend.delete(self.key("never")) is False
        await backend.set(self.key("k"), b"v")
        await backend.delete(self.key("k"))
        assert await backend.delete(self.key("k")) is False

    async def test_delete_of_an_empty_value(self, backend: CacheBackendProtocol) -> None:
        """An empty value counts as being there."""
        await backend.set(self.key("k"), b"")
        assert await backend.delete(self.key("k")) is True

    async def test_delete_leaves_others(self, backend: CacheBackendProtocol) -> None:
        """``delete`` removes the one key only."""
        for name in ("k", "k1", "kk"):
            await backend.set(self.key(name), name.encode())
        await backend.delete(self.key("k"))
        assert await backend.get(self.key("k1")) == b"k1"
        assert await backend.get(self.key("kk")) == b"kk"

    async def test_set_after_delete(self, backend: CacheBackendProtocol) -> None:
        """A deleted key can be set again at once."""
        await backend.set(self.key("k"), b"old")
        await backend.delete(self.key("k"))
        await backend.set(self.key("k"), b"new")
        assert await backend.get(self.key("k")) == b"new"
