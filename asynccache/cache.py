"""`Cache`: the facade. One object per application and namespace, with one meaning on every store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast, overload

from asynccache import events
from asynccache._engine.entry import COUNTER, MISSING, Entry
from asynccache._engine.expiry import Lifetime, age, is_fresh
from asynccache._engine.loading import Job
from asynccache._engine.report import CacheCapabilities, CacheStats
from asynccache._lifecycle import Lifecycle
from asynccache.errors import ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import DEFAULT, CachePolicy, Default, Seconds, seconds, tag_names

__all__ = ["Cache", "CacheCapabilities", "CacheStats"]

T = TypeVar("T")

Ttl = Seconds | None | Default

_NUMBERS: Final = frozenset({int, float})
_REMEMBERED_TTLS: Final = 256
_SEEN_KEYS: Final = 8192


class Cache(Lifecycle):
    """Values under keys, with a time to live, tags and a namespace; computed once where they are missing.

    Args:
        config: Settings; a store or its URL stands for ``CacheConfig(backend=...)``.

    >>> async def example() -> None:
    ...     async with Cache(CacheConfig(backend="memory://")) as cache:
    ...         await cache.set("k", {"a": 1}, ttl=60, tags=["t"])
    ...         print(await cache.get("k"))
    """

    # -- reading ------------------------------------------------------------------------------------

    @overload
    async def get(self, key: str, default: None = None, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, default: T, *, type: type[T]) -> T: ...
    @overload
    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any: ...
    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        """Return the value under ``key``, or ``default`` if there is none.

        Args:
            key: A non-empty string.
            default: What a miss returns. Pass an object of your own to tell a miss from a stored None.
            type: What to decode to (any type msgspec or pydantic knows); a value that does not fit is a miss.

        Raises:
            InvalidKeyError: the key is empty or not encodable. A key that is no str is a TypeError.
        """
        # The path of a hit in this process: nothing here may await, allocate a task or take a lock.
        if self._local is None or key.__class__ is not str:
            return await self._get_from_store(key, default, type)
        entry = self._seen.get(key)
        if entry is None:
            entry = self._local.get_entry(self._prefix + key)
            if entry is None:
                if not key or not key.isascii():
                    check_key(key)
                self._tally.misses += 1
                if self._observed:
                    self.entries.emit(events.Miss(self._prefix + key))
                return default
            entry = self._remembered(key, entry)
        elif (entry.stamps and not self._alive(entry)) or not (
            entry.created <= self._clock() < entry.fresh_until
        ):
            entry = self._remembered(key, self._local.get_entry(self._prefix + key))
        elif entry.hits < 8:
            entry.hits += 2
        if entry is not None:
            value = entry.value if entry.value_type is type else MISSING
            if value is MISSING:
                value = self.coder.value_of(entry, type)
            if value is not MISSING:
                self._tally.hits += 1
                if self._observed:
                    self.entries.emit(events.Hit(entry.key, self._clock() - entry.created))
                return value
        self._note_miss(key)
        return default

    def _remembered(self, key: str, entry: Entry | None) -> Entry | None:
        """Return what a store in this process has under ``key`` if it is fresh, and find it faster next time.

        The store kills what it drops, so an entry remembered here never outlives a removal.
        """
        if entry is None or (entry.stamps and not self._alive(entry)):
            return None
        if not entry.created <= self._clock() < entry.fresh_until:
            return None
        if len(self._seen) >= _SEEN_KEYS:
            self._seen.clear()
        self._seen[key] = entry
        return entry

    async def _get_from_store(self, key: str, default: Any, type: Any) -> Any:
        full = self._full(key)
        why: dict[str, str] = {}
        entry = await self.entries.find(full, (), why)
        value = self._fresh_value(entry, type)
        if value is MISSING:
            self._note_miss(key, why.get(full, "absent" if entry is None else "expired"))
            return default
        return value

    async def get_many(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:
        """Return the values found among ``keys``; what is missing is left out.

        One round trip where the store can.
        """
        names = self._names(keys)
        why: dict[str, str] = {}
        found = await self.entries.find_many([self._prefix + name for name in names], (), why)
        values: dict[str, Any] = {}
        for name in names:
            value = self._fresh_value(found.get(self._prefix + name), type)
            if value is MISSING:
                full = self._prefix + name
                self._note_miss(name, why.get(full, "expired" if full in found else "absent"))
            else:
                values[name] = value
        return values

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` holds a value that `get` would return."""
        entry = await self.entries.find(self._full(key))
        return entry is not None and is_fresh(entry, self._clock())

    async def ttl(self, key: str) -> float | None:
        """Return the seconds ``key`` has left; None if it never expires or is not there (see `exists`).

        None also for a plain number where the store itself counts: it carries no end of its own.
        """
        entry = await self.entries.find(self._full(key))
        if entry is None or entry.codec == COUNTER or not is_fresh(entry, self._clock()):
            return None
        left = entry.fresh_until - self._clock()
        return left if left < float("inf") else None

    # -- writing ------------------------------------------------------------------------------------

    async def set(self, key: str, value: Any, ttl: Ttl = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        """Store ``value`` under ``key``, replacing what was there.

        Args:
            key: A non-empty string.
            value: Anything the codec can write; None is a value like any other.
            ttl: Seconds or a timedelta, more than 0; None for ever; left out: ``default_ttl``.
            tags: Names to invalidate it by.

        Returns:
            False if it was refused (too large) or the store failed; then nothing older is left there either.

        Raises:
            CodecError: the codec cannot write it.
            ConfigurationError: the ttl or a tag is wrong (a ValueError).
        """
        if tags != () or self._stamped:
            entry = await self._new_entry(key, value, ttl, tags)
            return False if entry is None else await self.entries.write(entry)
        plain = key.__class__ is str and key and key.isascii()
        full = self._prefix + (key if plain else check_key(key))
        entry = self.coder.entry(full, value, self._lifetime(ttl))
        if self._local is not None and len(entry.payload) <= self._max_bytes:
            return self.entries.write_now(entry)  # in this process: nothing to await
        return await self.entries.write(entry)

    async def set_many(
        self, items: Mapping[str, Any], ttl: Ttl = DEFAULT, *, tags: Iterable[str] = ()
    ) -> bool:
        """Store all ``items``; True if every one was stored. One round trip where the store can."""
        if not isinstance(items, Mapping):
            raise TypeError(f"items must be a mapping of keys to values, not {items!r}")
        names = tag_names(tags)
        fulls = {self._full(key): value for key, value in items.items()}
        life = self._lifetime(ttl)
        stamps = await self.entries.stamps(names)
        if stamps is None:
            await self.entries.remove(list(fulls))
            return False
        entries = [self._encode(full, value, life, stamps) for full, value in fulls.items()]
        return not await self.entries.write_many(entries)

    async def add(self, key: str, value: Any, ttl: Ttl = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        """Store ``value`` only if ``key`` holds nothing; True if it was stored.

        Atomic, or refused with an error.
        """
        entry = await self._new_entry(key, value, ttl, tags)
        return False if entry is None else await self.entries.add(entry)

    async def touch(self, key: str, ttl: Ttl = DEFAULT) -> bool:
        """Give the value under ``key`` a new time to live from now on; False if there is none."""
        return await self.entries.touch(self._full(key), self._lifetime(ttl))

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: Ttl = DEFAULT) -> int:
        """Add ``delta`` to the integer under ``key`` and return the sum, atomically.

        Args:
            key: A non-empty string.
            delta: May be negative.
            initial: What an absent counter starts from; the result is then ``initial + delta``.
            ttl: Of a counter that is created; an existing one keeps its expiry.

        Raises:
            BackendError: the store failed or holds something else, whatever ``fail_open`` says.
            ConfigurationError: the store cannot count atomically.
        """
        for name, number in (("delta", delta), ("initial", initial)):
            if type(number) is not int:
                raise ConfigurationError(f"{name} must be an int, not {number!r}")
        life = self._lifetime(ttl).ttl
        return await self._counting.increment(
            self._full(key), delta, initial, None if life == float("inf") else life
        )

    # -- removing -----------------------------------------------------------------------------------

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there.

        Whatever is being computed for it will not be stored.
        """
        return bool(await self.entries.remove((self._full(key),)))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove ``keys``; return how many were there."""
        fulls = [self._prefix + name for name in self._names(keys)]
        return await self.entries.remove(fulls) if fulls else 0

    async def invalidate_tags(self, *tags: str, soft: bool = False) -> bool:
        """Make everything stored with one of ``tags`` unusable at once, however much that is.

        Args:
            tags: At least one.
            soft: Make it stale instead: served within its stale windows while it is refreshed.

        Returns:
            False if the store failed.
        """
        names = tag_names(tags)
        if not names:
            raise ConfigurationError("tags must name at least one tag")
        if not isinstance(soft, bool):
            raise ConfigurationError(f"soft must be True or False, not {soft!r}")
        return await self.entries.invalidate_tags(names, soft=soft)

    async def clear(self) -> bool:
        """Remove everything in this namespace, and nothing else; False if the store failed."""
        return await self.entries.clear()

    # -- computing ----------------------------------------------------------------------------------

    async def get_or_set(
        self,
        key: str,
        load: Callable[[], Awaitable[T]],
        ttl: Ttl = DEFAULT,
        *,
        tags: Iterable[str] = (),
        type: type[T] | Any = None,
        policy: CachePolicy | None = None,
    ) -> T:
        """Return the value under ``key``; if there is none, ``await load()`` once for everyone and store it.

        Args:
            key: A non-empty string.
            load: Called without arguments. It runs in a task of the cache: a caller's cancellation does not
                stop it
                while others wait. What it raises reaches every caller and is not cached.
            ttl: As for `set`.
            tags: As for `set`.
            type: As for `get`.
            policy: Stale windows, early refresh and so on; ``ttl`` and ``tags`` given beside it win.
        """
        if policy is None and self._local is not None and key.__class__ is str:
            entry = self._seen.get(key)
            if entry is None or entry.stamps or not entry.created <= self._clock() < entry.fresh_until:
                entry = self._remembered(key, self._local.get_entry(self._prefix + key))
            elif entry.hits < 8:
                entry.hits += 2
            if entry is not None and entry.value_type is type and entry.value is not MISSING:
                self._tally.hits += 1
                if self._observed:
                    self.entries.emit(events.Hit(entry.key, self._clock() - entry.created))
                return cast("T", entry.value)
        full = self._full(key)
        if not callable(load):
            raise ConfigurationError(f"load must be callable, not {load!r}")
        life = self._lifetime(ttl, policy)
        names = tag_names(tags) or (() if policy is None else tuple(policy.tags))
        store_if = None if policy is None else policy.store_if
        job = Job(full, load, life, names, type, store_if)
        return await self.loader.load(job)  # type: ignore[no-any-return]

    async def get_or_set_many(
        self,
        keys: Iterable[str],
        load: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        ttl: Ttl = DEFAULT,
        *,
        tags: Iterable[str] = (),
        type: Any = None,
    ) -> dict[str, T]:
        """Return the values under ``keys``; those that are missing come from ``await load(missing)``.

        Keys that ``load`` leaves out of its answer are left out here too. Callers that miss the same keys
        at the
        same time share one call.
        """
        names = self._names(keys)
        if not callable(load):
            raise ConfigurationError(f"load must be callable, not {load!r}")
        labels = tag_names(tags)
        life = self._lifetime(ttl)
        found = await self.get_many(names, type=type)
        missing = [name for name in names if name not in found]
        if missing:
            fulls = {name: self._prefix + name for name in missing}
            loaded = await self._bulk.load(fulls, load, life, labels)
            found |= {name: value.take(type) for name, value in loaded.items()}
        return {name: found[name] for name in names if name in found}

    # -- helpers ------------------------------------------------------------------------------------

    def _full(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _names(self, keys: Iterable[str]) -> list[str]:
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise TypeError(f"keys must be a collection of strings, not {keys!r}")
        return list(dict.fromkeys(check_key(key) for key in keys))

    def _lifetime(self, ttl: Ttl, policy: CachePolicy | None = None) -> Lifetime:
        if policy is None:
            if ttl is DEFAULT:
                return self._default_lifetime
            known = self._lifetimes.get(ttl) if ttl.__class__ in _NUMBERS else None  # not bool: True equals 1
            if known is None:
                known = Lifetime.plain(None if ttl is None else seconds(ttl, "ttl"))
                if ttl.__class__ in _NUMBERS and len(self._lifetimes) < _REMEMBERED_TTLS:
                    self._lifetimes[ttl] = known
            return known
        if not isinstance(policy, CachePolicy):
            raise ConfigurationError(f"policy must be a CachePolicy, not {policy!r}")
        return Lifetime.of(policy if ttl is DEFAULT else policy.but(ttl=ttl), self.default_ttl)

    async def _new_entry(self, key: str, value: Any, ttl: Ttl, tags: Iterable[str]) -> Entry | None:
        full = self._full(key)
        life = self._lifetime(ttl)
        names = () if tags == () else tag_names(tags)
        stamps = await self.entries.stamps(names)
        if stamps is None:
            await self.entries.remove((full,))
            return None
        return self._encode(full, value, life, stamps)

    def _encode(
        self, full: str, value: Any, life: Lifetime, stamps: tuple[tuple[str, str, str], ...]
    ) -> Entry:
        return self.coder.entry(full, value, life, stamps)

    def _fresh_value(self, entry: Entry | None, type: Any) -> Any:
        if entry is None or not is_fresh(entry, self._clock()):
            return MISSING
        value = self.coder.value_of(entry, type)
        if value is not MISSING:
            self._tally.hits += 1
            if self._observed:
                self.entries.emit(events.Hit(entry.key, age(entry, self._clock())))
        return value

    def _note_miss(self, key: str, reason: str = "absent") -> None:
        self._tally.misses += 1
        if self._observed:
            self.entries.emit(events.Miss(self._prefix + key, reason))
