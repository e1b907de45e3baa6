"""The stores, found by URL. A store's module, and so its driver, is imported when first asked for."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import signature
from typing import Any, Final

from asynccache._engine.clock import Clock
from asynccache._engine.urls import parse_size
from asynccache.errors import ConfigurationError, MissingDependencyError
from asynccache.protocols import CacheBackendProtocol

__all__ = ["from_url", "parse_size", "register_scheme", "schemes"]

_SCHEMES: Final[dict[str, str]] = {
    "memory": "asynccache.backends.memory:InMemoryBackend",
    "sqlite": "asynccache.backends.sqlite:SQLiteBackend",
    "redis": "asynccache.backends.redis:RedisBackend",
    "rediss": "asynccache.backends.redis:RedisBackend",
    "redis+unix": "asynccache.backends.redis:RedisBackend",
    "redis+sentinel": "asynccache.backends.redis:RedisBackend",
    "rediss+sentinel": "asynccache.backends.redis:RedisBackend",
    "redis+cluster": "asynccache.backends.redis:RedisBackend",
    "rediss+cluster": "asynccache.backends.redis:RedisBackend",
    "valkey": "asynccache.backends.redis:RedisBackend",
    "valkeys": "asynccache.backends.redis:RedisBackend",
    "memcached": "asynccache.backends.memcached:MemcachedBackend",
    "memcacheds": "asynccache.backends.memcached:MemcachedBackend",
    "postgresql": "asynccache.backends.postgres:PostgresBackend",
    "postgres": "asynccache.backends.postgres:PostgresBackend",
    "mongodb": "asynccache.backends.mongodb:MongoDBBackend",
    "mongodb+srv": "asynccache.backends.mongodb:MongoDBBackend",
}
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_TARGET: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def from_url(url: str, *, clock: Clock | None = None, **options: Any) -> CacheBackendProtocol:
    """Return the store that ``url`` describes, such as ``memory://?max_bytes=64mb``.

    Args:
        url: The scheme names the store, the rest is the store's own to read.
        clock: Tells the time, for stores that judge by it themselves when a value expires.
        options: Further arguments of the store, for what a URL cannot say.

    Raises:
        ConfigurationError: the scheme or an option is unknown or malformed. Passwords are never shown.
        MissingDependencyError: the store's driver is not installed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a store's URL must be a str, not {type(url).__name__}")
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ConfigurationError(f"a store's URL begins with one of {_known()}")
    target = _SCHEMES.get(scheme)
    if target is None:
        raise ConfigurationError(f"no store for {scheme}://: a store's URL begins with one of {_known()}")
    store = _load(scheme, target)
    if clock is not None and "clock" in signature(store).parameters:
        options["clock"] = clock
    backend: CacheBackendProtocol = store.from_url(url, **options)
    return backend


def register_scheme(scheme: str, target: str) -> None:
    """Make ``from_url`` find a store of your own.

    Args:
        scheme: What stands before ``://``, in lower case.
        target: ``"module:Class"``, imported at the first use; the class offers ``from_url(url, **options)``.

    Raises:
        ConfigurationError: an argument is malformed, or the scheme means another store already.
    """
    if not _matches(_SCHEME, scheme):
        raise ConfigurationError(f"scheme must be lower-case letters, digits, + . -, not {scheme!r}")
    if not _matches(_TARGET, target):
        raise ConfigurationError(f'target must be "module:Class", not {target!r}')
    if _SCHEMES.setdefault(scheme, target) != target:
        raise ConfigurationError(f"scheme {scheme} is taken by {_SCHEMES[scheme]}")


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def schemes() -> tuple[str, ...]:
    """Return the schemes of all stores known so far."""
    return tuple(sorted(_SCHEMES))


def _known() -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes())


def _load(scheme: str, target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        store = getattr(import_module(module), name)
    except MissingDependencyError:
        raise
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"the store for {scheme}:// cannot be imported from {target}") from exc
    if not callable(getattr(store, "from_url", None)):
        raise ConfigurationError(f"the store for {scheme}://, {target}, has no from_url")
    return store
