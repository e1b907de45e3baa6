# ruff: noqa: S101  (asserts are what a test consists of)
"""Tags and namespaces: what they reach, and what they leave alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynccache.cache import Cache
from asynccache.policy import CachePolicy
from asynccache.testing._conformance.facade import Facade

__all__ = ["FacadeInvalidating"]


class FacadeInvalidating(Facade):
    """``invalidate_tags``, ``namespace`` and ``clear``."""

    def text(self, text: str) -> Any:
        """Return ``text`` as something the codec can write."""
        return text.encode() if self.options.get("codec") == "raw" else text

    async def test_tags(self, cache: Cache) -> None:
        """A tag takes with it everything stored under it, alone or among others, and nothing else."""
        v = self.text("v")
        await cache.set("a", v, tags=["x"])
        await cache.set("ab", v, tags=["y", "x"])
        await cache.set("b", v, tags=["y"])
        await cache.set("none", v)
        await cache.set("similar", v, tags=["x2", "X", " x", "x,y"])
        assert await cache.invalidate_tags("x") is True
        assert await cache.get_many(["a", "ab", "b", "none", "similar"]) == {"b": v, "none": v, "similar": v}
        assert await cache.get("a") is None
        assert await cache.exists("ab") is False
        assert await cache.ttl("a") is None

    async def test_tagged_again(self, cache: Cache) -> None:
        """What is stored under a tag after its invalidation is live, until the next one."""
        for round_ in range(3):
            await cache.set("k", self.text(str(round_)), tags=["t"])
            assert await cache.get("k") == self.text(str(round_))
            await cache.invalidate_tags("t")
            assert await cache.get("k") is None

    async def test_retagging(self, cache: Cache) -> None:
        """The tags of the last ``set`` count, not those of the value it replaced."""
        await cache.set("k", self.text("1"), tags=["old"])
        await cache.set("k", self.text("2"), tags=["new"])
        await cache.invalidate_tags("old")
        assert await cache.get("k") == self.text("2")
        await cache.invalidate_tags("new")
        assert await cache.get("k") is None

    async def test_several_tags_at_once(self, cache: Cache) -> None:
        """Several tags can be invalidated in one call, unknown ones among them."""
        for name in "abc":
            await cache.set(name, self.text(name), tags=[name])
        assert await cache.invalidate_tags("a", "b", "unknown") is True
        assert await cache.get_many(["a", "b", "c"]) == {"c": self.text("c")}

    async def test_tags_are_no_keys(self, cache: Cache) -> None:
        """A tag and a key of the same name do not meet."""
        await cache.set("t", self.text("value"), tags=["t"])
        assert await cache.delete("t") is True
        await cache.set("other", self.text("v"), tags=["t"])
        await cache.set("t", self.text("value"))
        assert await cache.get("other") == self.text("v")
        await cache.invalidate_tags("t")
        assert await cache.get("t") == self.text("value")
        assert await cache.get("other") is None

    @pytest.mark.parametrize(
        "tag", ["a" * 10_000, "a b\r\n", "é😀", "*", "a:b"], ids=lambda tag: ascii(tag)[:20]
    )
    async def test_awkward_tags(self, cache: Cache, tag: str) -> None:
        """Any non-empty text is a tag."""
        await cache.set("k", self.text("v"), tags=[tag])
        await cache.invalidate_tags(tag + "x", "x" + tag)
        assert await cache.get("k") == self.text("v")
        await cache.invalidate_tags(tag)
        assert await cache.get("k") is None

    async def test_tagged_numbers(self, cache: Cache) -> None:
        """A number with tags is invalidated like anything else."""
        if self.options.get("codec") == "raw":
            pytest.skip("the raw codec takes bytes only")
        await cache.set("n", 5, tags=["t"])
        assert await cache.get("n") == 5
        await cache.invalidate_tags("t")
        assert await cache.get("n") is None

    async def test_soft_invalidation(self, cache: Cache) -> None:
        """Softly invalidated, a value with a stale window is served once more while it is refreshed."""
        policy = CachePolicy(ttl=60, stale_while_revalidate=60, tags=["t"])
        runs = 0

        async def load() -> Any:
            nonlocal runs
            runs += 1
            return self.text(f"run {runs}")

        async def ask() -> Any:
            return await cache.get_or_set("k", load, policy=policy)

        assert await ask() == self.text("run 1")
        await cache.invalidate_tags("t", soft=True)
        assert await ask() == self.text("run 1")
        async with asyncio.timeout(10):
            while await cache.get("k") != self.text("run 2"):  # noqa: ASYNC110  (the refresh is not ours to signal)
                await asyncio.sleep(0.001)
        assert await ask() == self.text("run 2")
        assert runs == 2

    async def test_soft_invalidation_without_a_window(self, cache: Cache) -> None:
        """Without a stale window, and for a plain ``get``, soft is as good as gone."""
        await cache.set("k", self.text("v"), tags=["t"])
        await cache.invalidate_tags("t", soft=True)
        assert await cache.get("k") is None
        await cache.set("k", self.text("new"), tags=["t"])
        assert await cache.get("k") == self.text("new")

    async def test_hard_after_soft(self, cache: Cache) -> None:
        """A hard invalidation after a soft one ends the stale window as well."""
        policy = CachePolicy(ttl=60, stale_while_revalidate=60, stale_if_error=60, tags=["t"])

        async def old() -> Any:
            return self.text("old")

        async def new() -> Any:
            return self.text("new")

        await cache.get_or_set("k", old, policy=policy)
        await cache.invalidate_tags("t", soft=True)
        await cache.invalidate_tags("t")
        assert await cache.get_or_set("k", new, policy=policy) == self.text("new")

    async def test_namespaces_are_apart(self, cache: Cache) -> None:
        """One key in five namespaces is five keys, however the names and keys are put together."""
        spaces = {
            "root": (cache, "a:b:k"),
            "a": (cache.namespace("a"), "b:k"),
            "a/b": (cache.namespace("a").namespace("b"), "k"),
            "a:b": (cache.namespace("a:b"), "k"),
            "ab": (cache.namespace("ab"), "k"),
            "a%3Ab": (cache.namespace("a%3Ab"), "k"),
            "A": (cache.namespace("A"), "b:k"),
        }
        for name, (space, key) in spaces.items():
            await space.set(key, self.text(name))
        for name, (space, key) in spaces.items():
            assert await space.get(key) == self.text(name)
        for name, (space, key) in spaces.items():
            assert await space.delete(key) is True, name

    async def test_clear_is_exact(self, cache: Cache) -> None:
        """Clearing a namespace clears it and those inside it; its parent and its siblings stay."""
        a, b, ab = cache.namespace("a"), cache.namespace("b"), cache.namespace("ab")
        inside = a.namespace("x")
        everyone = {"root": cache, "a": a, "b": b, "ab": ab, "inside": inside}
        for name, space in everyone.items():
            await space.set("k", self.text(name))
            await space.set("tagged", self.text(name), tags=["t"])
        assert await a.clear() is True
        for name, space in everyone.items():
            wanted = None if name in {"a", "inside"} else self.text(name)
            assert await space.get("k") == wanted, name
            assert await space.get("tagged") == wanted, name
        for space in (a, inside):  # a cleared namespace is an ordinary one again
            await space.set("k", self.text("again"))
            assert await space.get("k") == self.text("again")
        await cache.clear()
        for name, space in everyone.items():
            assert await space.get("k") is None, name

    async def test_tags_belong_to_their_namespace(self, cache: Cache) -> None:
        """Invalidating a tag in one namespace leaves the same tag in others alone."""
        a, b = cache.namespace("a"), cache.namespace("b")
        for space in (cache, a, b):
            await space.set("k", self.text("v"), tags=["t"])
        await a.invalidate_tags("t")
        assert await a.get("k") is None
        assert await b.get("k") == self.text("v")
        assert await cache.get("k") == self.text("v")

    async def test_clear_leaves_others_in_the_store(self, cache: Cache, backend: Any) -> None:
        """What somebody else keeps in the same store survives."""
        await backend.set(self.key("not ours"), b"v")
        await backend.set(self.mark, b"v")
        await cache.set("k", self.text("v"))
        await cache.clear()
        assert await backend.get(self.mark) == b"v"
        await backend.delete(self.mark)
        await backend.delete(self.key("not ours"))
