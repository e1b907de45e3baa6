"""Stores whose methods block: the least there is, and one that has everything."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from math import inf

from asynccache.errors import BackendError

__all__ = ["Everything", "FiveMethods"]


class FiveMethods:
    """What most people write: ``get``, ``set``, ``delete``, ``exists``, ``health_check``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.values: dict[str, tuple[bytes, float]] = {}

    def get(self, key: str) -> bytes | None:
        value, expires = self.values.get(key, (None, inf))
        return value if self.clock() < expires else None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.values[key] = (value, inf if ttl is None else self.clock() + ttl)

    def delete(self, key: str) -> bool:
        there = self.get(key) is not None
        self.values.pop(key, None)
        return there

    def exists(self, key: str) -> bool:
        return self.get(key) is not None

    def health_check(self) -> bool:
        return True


class Everything(FiveMethods):
    """The same with every optional method; thread-safe by a lock around each of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.lock = threading.RLock()
        self.tokens = count(1)
        self.leases: dict[str, tuple[str, float]] = {}
        self.versions: dict[str, str] = {}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.lock:
            self.leases.pop(key, None)
            self.versions[key] = str(next(self.tokens))
            super().set(key, value, ttl)

    def delete(self, key: str) -> bool:
        with self.lock:
            self.leases.pop(key, None)
            return super().delete(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        with self.lock:
            found = {key: self.get(key) for key in keys}
            return {key: value for key, value in found.items() if value is not None}

    def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        with self.lock:
            for key, value in items.items():
                self.set(key, value, ttl)
            return {*()}

    def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        with self.lock:
            return {key for key in keys if self.delete(key)}

    def touch(self, key: str, ttl: float | None) -> bool:
        with self.lock:
            value = self.get(key)
            if value is not None:
                FiveMethods.set(self, key, value, ttl)
            return value is not None

    def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        with self.lock:
            absent = self.get(key) is None
            if absent:
                self.set(key, value, ttl)
            return absent

    def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        with self.lock:
            there = self.get(key)
            try:
                value = (initial if there is None else int(there)) + delta
            except ValueError:
                raise BackendError("not an integer", key=key) from None
            if not -(2**63) <= value < 2**63:
                raise BackendError("does not fit in 64 bits", key=key)
            expires = self.values[key][1] if there is not None else inf
            self.set(key, b"%d" % value, ttl)
            if there is not None:
                self.values[key] = (b"%d" % value, expires)
            return value

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        with self.lock:
            value = self.get(key)
            return None if value is None else (value, self.versions[key])

    def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        with self.lock:
            same = self.get(key) is not None and self.versions[key] == version
            if same:
                self.set(key, value, ttl)
            return same

    def clear(self, prefix: str) -> None:
        with self.lock:
            for key in [key for key in {**self.values, **self.leases} if key.startswith(prefix)]:
                self.delete(key)

    def acquire_lease(self, key: str, ttl: float) -> str | None:
        with self.lock:
            if key in self.leases and self.clock() < self.leases[key][1]:
                return None
            self.leases[key] = (str(next(self.tokens)), self.clock() + ttl)
            return self.leases[key][0]

    def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        with self.lock:
            held, expires = self.leases.get(key, ("", 0.0))
            if not token or held != token or self.clock() >= expires:
                return False
            self.set(key, value, ttl)
            return True

    def release_lease(self, key: str, token: str) -> None:
        with self.lock:
            if self.leases.get(key, ("", 0.0))[0] == token:
                del self.leases[key]
