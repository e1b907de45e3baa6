"""`ResponseCache`: stored responses by URL and variant, on top of the cache's entries.

Under a URL's key stands its response or, where responses differ by request fields or by user, a `VaryIndex`
from which the variants' keys are made. An index is never rewritten: a new one has a new generation, so that
removing the key of a URL removes all its variants for good, whatever other processes are about to store.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, NamedTuple

from asynccache import events
from asynccache._engine.coding import Coder
from asynccache._engine.entry import Entry
from asynccache._engine.expiry import Lifetime
from asynccache._engine.runs import Run
from asynccache._engine.store import EntryStore, Lease
from asynccache._engine.tags import Stamp
from asynccache.cache import Cache
from asynccache.http import rules
from asynccache.http._bounded import BoundedDict
from asynccache.http._rfc9111.fields import Headers
from asynccache.http._rfc9111.selection import (
    ACCEPT_LANGUAGE,
    MAX_VARIANTS,
    preferred_language,
    variant_digest,
)
from asynccache.http._rfc9111.stored import Stored, StoredResponse, VaryIndex

__all__ = ["Found", "ResponseCache", "Wanted"]

_INDEX_TTL: Final = 86400.0
"""Seconds an index lives at least; its variants become unreachable with it."""
_REMEMBERED_URLS: Final = 4096
_REMEMBERED_TAGS: Final = 16_384
_LEARNED_TAGS: Final = 32
"""Tags remembered of one URL; beyond that the latest only."""


class Wanted(NamedTuple):
    """Which response is asked for."""

    url: str
    """Full key of the URL."""
    headers: Headers
    extra: tuple[str, ...] = ()
    """What else distinguishes it: see `asynccache.http.rules.user_key`."""
    names: tuple[bytes, ...] = ()
    """Request fields by which it is known to vary beforehand."""


class Found(NamedTuple):
    """What is stored for a `Wanted`."""

    key: str
    """Full key where the response is, or where a new one goes unless it varies otherwise."""
    entry: Entry | None = None
    response: StoredResponse | None = None
    vary: VaryIndex | None = None
    """What selects the variants, where responses of this URL vary."""
    root: Entry | None = None
    """The entry of that: without it no variant can be found any more."""


class ResponseCache:
    """Looks up, stores and removes responses. Whether one may be used is for others to decide."""

    def __init__(self, cache: Cache) -> None:
        self.store: EntryStore = cache.entries
        serializer = cache.config.but(codec="msgpack").serializer()
        self.coder: Coder = Coder(self.store, serializer)
        self._learned: BoundedDict[str, tuple[bytes, ...]] = BoundedDict(_REMEMBERED_URLS)
        self._tags: BoundedDict[tuple[str, tuple[str, ...]], tuple[str, ...]] = BoundedDict(_REMEMBERED_TAGS)
        self.late_tags = False
        """Handlers of this process add tags, which nobody knows before they have run."""
        self._variants: BoundedDict[tuple[str, tuple[str, ...]], set[str]] = BoundedDict(_REMEMBERED_URLS)
        self._languages: BoundedDict[str, str] = BoundedDict(_REMEMBERED_URLS)
        """Keys of variants by their language and all that selects them but Accept-Language."""

    def url_key(self, url: str) -> str:
        """Return the full key of a URL named by `asynccache.http.rules.url_key`."""
        return self.store.namespace.http_prefix + url

    # -- tags ---------------------------------------------------------------------------------------

    def named(
        self, wanted: Wanted, tags: tuple[str, ...], asked: rules.Asked, scope: rules.Scope
    ) -> tuple[Wanted, tuple[str, ...]]:
        """Return what is wanted under its full key, and all the tags that it has or will have.

        Beside the policy's these are what handlers have added before (see `learn`), and the tag of the path,
        where the URL is not simply that (see `forget`).
        """
        wanted = wanted._replace(url=self.url_key(wanted.url))
        return wanted, self.expected(wanted, (*tags, *self._path_tags(wanted, asked, scope)))

    def _path_tags(self, wanted: Wanted, asked: rules.Asked, scope: rules.Scope) -> tuple[str, ...]:
        """Return the tag of the path of what is wanted, unless its URL is just the path."""
        simple = rules.plain_url(scope.get("scheme", "http"), asked.host, scope["path"])
        return () if wanted.url == self.url_key(simple) else (_path_tag(simple),)

    def expected(self, wanted: Wanted, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return ``tags`` and those that handlers have added before."""
        learned = self._tags.get((wanted.url, wanted.extra)) if self._tags else None
        return tuple(dict.fromkeys((*tags, *learned))) if learned else tags

    def learn(self, wanted: Wanted, tags: Sequence[str]) -> None:
        """Expect ``tags`` on the response from now on."""
        key = (wanted.url, wanted.extra)
        known = tuple(dict.fromkeys((*self._tags.get(key, ()), *tags)))
        self._tags[key] = known if len(known) <= _LEARNED_TAGS else tuple(tags)

    async def common_stamp(self) -> str | None:
        """Return what is another one after any tag was invalidated; None: nobody knows.

        In a store outside of this process it costs a round trip, so only once a handler has added tags.
        """
        wanted = self.late_tags or self.store.local is not None
        return await self.store.common_stamp() if wanted else None

    async def forget(self, origins: Iterable[tuple[str, str]], paths: Iterable[str]) -> bool:
        """Remove every response of some paths: all variants, all queries; False if the store failed.

        What was asked for by the path alone is under its own key. Everything else (with a query, or spelled
        with other escapes) has the path's tag: nobody could enumerate it.

        Args:
            origins: Schemes and hosts.
            paths: Decoded paths.
        """
        plain = [rules.plain_url(scheme, host, path) for scheme, host in origins for path in paths]
        urls = [url for url in dict.fromkeys(plain) if url]
        if not urls:
            return True
        await self.remove([self.url_key(url) for url in urls])
        return await self.store.invalidate_tags([_path_tag(url) for url in urls])

    # -- looking up ---------------------------------------------------------------------------------

    async def find(self, wanted: Wanted, tags: Sequence[str] = ()) -> Found:
        """Return what is stored. ``tags``: those it probably has, to fetch their stamps along with it."""
        store = self.store
        found = self._at_url(wanted, await store.find(wanted.url, tags))
        if found.vary is not None:
            found = self._at_variant(found, await store.find(found.key, tags))
        if found.entry is not None and len(found.entry.stamps) > len(tags) + len(store.generations):
            # Before routing, or by another process: read its tags in the same round trip from now on.
            names = store.tags_of(found.entry)
            if not set(names) <= set(tags):
                self.learn(wanted, names)
        return found

    async def find_language(self, found: Found, wanted: Wanted, tags: Sequence[str]) -> Found:
        """Return the variant in the language a request prefers to all others, where it has none of its own.

        That an application has a representation in just that language is known from what this process has
        stored (Content-Language).
        """
        language = preferred_language(wanted.headers) if self._languages else None
        if language is None or found.vary is None or ACCEPT_LANGUAGE not in found.vary.names:
            return found
        key = self._languages.get(_in_language(wanted, found.vary, language))
        if key is None:
            return found
        return self._at_variant(found, await self.store.find(key, tags))

    async def find_early(self, wanted: Wanted, asked: rules.Asked, scope: rules.Scope) -> Found:
        """Do the same before routing, when the policy's tags cannot be filled in."""
        if self.store.local is not None:
            return self.peek(wanted)
        return await self.find(wanted, self.expected(wanted, self._path_tags(wanted, asked, scope)))

    def peek(self, wanted: Wanted) -> Found:
        """Do the same without awaiting, in a store of this process."""
        found = self._at_url(wanted, self.store.peek(wanted.url))
        if found.vary is None:
            return found
        return self._at_variant(found, self.store.peek(found.key))

    def _at_url(self, wanted: Wanted, entry: Entry | None) -> Found:
        stored = None if entry is None else self.coder.value_of(entry, Stored)
        if isinstance(stored, VaryIndex):
            return Found(variant_key(wanted, stored), vary=stored, root=entry)
        if isinstance(stored, StoredResponse) and not wanted.extra:
            return Found(wanted.url, entry, stored)
        return Found(wanted.url)

    def _at_variant(self, found: Found, entry: Entry | None) -> Found:
        stored = None if entry is None else self.coder.value_of(entry, Stored)
        if isinstance(stored, StoredResponse):
            return found._replace(entry=entry, response=stored)
        return found

    # -- counting -----------------------------------------------------------------------------------

    def count_hit(self, entry: Entry, now: float, *, stale: bool) -> None:
        """Count a request that ``entry`` answers."""
        self.store.tally.hits += 1
        self.store.tally.stale_hits += stale
        if self.store.access.observers:
            self.store.emit(events.Hit(entry.key, now - entry.created, stale))

    def count_miss(self, key: str, why: str | None) -> None:
        """Count a request that nothing stored answers."""
        self.store.tally.misses += 1
        if self.store.access.observers:
            self.store.emit(events.Miss(key, why or "absent"))

    # -- storing ------------------------------------------------------------------------------------

    async def fill(
        self,
        found: Found,
        wanted: Wanted,
        entry: Entry,
        *,
        names: tuple[bytes, ...],
        run: Run,
        lease: Lease,
        language: bytes | None = None,
    ) -> bool:
        """Store a response that was produced because of ``found``; False if it is outdated or refused.

        Args:
            found: What the look-up before the response was produced had found.
            wanted: The request.
            entry: The response; its key is set here.
            names: The request fields by which the response varies.
            run: What an invalidation in this process voids.
            lease: What one in another process voids, taken on ``found.key`` before the response was produced.
            language: The language it is in, if others may have it for that (see `find_language`).
        """
        if found.vary is None:
            if not names and not wanted.extra:
                entry.key = wanted.url
                return await self.store.fill(entry, run, lease)
            names = tuple(sorted({*names, *self._learned.get(wanted.url, ())}))
            index = VaryIndex(names, secrets.token_hex(8))
            if not await self.store.fill(self._index_entry(wanted.url, index, entry), run, lease):
                return False
            # The new generation is nobody else's yet: a fresh lease on the variant is as good as one taken
            # before.
            key = variant_key(wanted, index)
            lease = await self.store.acquire(key)
            try:
                return await self._fill_variant(wanted, index, entry, run, lease, language=language)
            finally:
                await self.store.release(key, lease)
        if set(names) <= set(found.vary.names):
            return await self._fill_variant(wanted, found.vary, entry, run, lease, language=language)
        # It varies by more than was known. Without the index the next request starts over, with all the
        # names.
        self._learned[wanted.url] = tuple(sorted({*names, *found.vary.names}))
        await self.store.remove((wanted.url,))
        return False

    async def _fill_variant(
        self,
        wanted: Wanted,
        index: VaryIndex,
        entry: Entry,
        run: Run,
        lease: Lease,
        *,
        language: bytes | None,
    ) -> bool:
        entry.key = variant_key(wanted, index)
        if not self._has_room(wanted, entry.key) or not await self.store.fill(entry, run, lease):
            return False
        if language is not None and ACCEPT_LANGUAGE in index.names:
            self._languages[_in_language(wanted, index, language)] = entry.key
        return True

    def _has_room(self, wanted: Wanted, key: str) -> bool:
        """Count the variants of a URL (of one user): somebody may be trying out header values."""
        owner = (wanted.url, wanted.extra)
        variants = self._variants.get(owner)
        if variants is None:
            variants = self._variants[owner] = set()
        if len(variants) >= MAX_VARIANTS and key not in variants:
            if self.store.local is not None:
                variants.intersection_update([known for known in variants if self.store.peek(known)])
            if len(variants) >= MAX_VARIANTS:
                return False
        variants.add(key)
        return True

    def response_entry(
        self, response: StoredResponse, lifetime: Lifetime, stamps: tuple[Stamp, ...], seconds: float
    ) -> Entry:
        """Return a new entry of ``response``, without a key yet."""
        return self.coder.entry("", response, lifetime, stamps, seconds)

    def _index_entry(self, key: str, index: VaryIndex, variant: Entry) -> Entry:
        life = _INDEX_TTL if variant.expires == inf else max(_INDEX_TTL, variant.expires - variant.created)
        lifetime = Lifetime.plain(None if variant.expires == inf else life)
        # Without the variant's tags: one user's are not another's, and every variant answers for its own.
        return self.coder.entry(key, index, lifetime)

    # -- removing -----------------------------------------------------------------------------------

    async def remove(self, urls: Sequence[str]) -> None:
        """Remove every stored response of ``urls`` (full keys)."""
        local = self.store.local
        if local is not None:  # most unsafe requests are for URLs nobody ever stored anything of
            runs = self.store.runs
            urls = [url for url in urls if runs.concern(url) or local.get_entry(url) is not None]
        if urls:
            await self.store.remove(urls)


def variant_key(wanted: Wanted, index: VaryIndex) -> str:
    """Return the full key of the variant that answers a request."""
    return f"{wanted.url}|{index.generation}|{variant_digest(index.names, wanted.headers, wanted.extra)}"


def _in_language(wanted: Wanted, index: VaryIndex, language: bytes) -> str:
    """Return what a variant is apart from the languages that were asked for, and the one that it is in."""
    others = [field for field in wanted.headers if field[0] != ACCEPT_LANGUAGE]
    return variant_key(wanted._replace(headers=[*others, (ACCEPT_LANGUAGE, language)]), index)


def _path_tag(url: str) -> str:
    return f"url:{url}"
