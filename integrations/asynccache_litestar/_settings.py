"""What Litestar's own ``ResponseCacheConfig`` says: honoured, or refused when the application is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from litestar import Request
from litestar.config.response_cache import ResponseCacheConfig
from litestar.types import HTTPScope

from asynccache import DEFAULT, ConfigurationError
from asynccache.policy import Default

__all__ = ["KeyBuilder", "ResponseSettings", "StatusFilter"]

KeyBuilder = Callable[[Request[Any, Any, Any]], str]
StatusFilter = Callable[[HTTPScope, int], bool]

_UNCHANGED: Final = ResponseCacheConfig()
_HONOURED: Final = {
    "ttl": "default_expiration",
    "key_builder": "key_builder",
    "status_filter": "cache_response_filter",
}
"""Our names and Litestar's."""


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """What an application has set; what it left as Litestar has it says nothing."""

    ttl: int | Default | None = DEFAULT
    """Seconds that ``cache=True`` stands for; left out: the cache's ``default_ttl``."""
    key_builder: KeyBuilder | None = None
    """Adds to every key."""
    status_filter: StatusFilter | None = None
    """May keep a response out of the store; told the scope and the status."""

    @classmethod
    def of(cls, config: ResponseCacheConfig, stores: object) -> Self:
        """Return the settings of an application.

        Args:
            config: Its ``response_cache_config``.
            stores: Its ``stores``.

        Raises:
            ConfigurationError: it names a store for responses, which are kept in the plugin's.
        """
        named = config.store != _UNCHANGED.store
        if named or (isinstance(stores, Mapping) and config.store in stores):
            raise ConfigurationError(
                f"CachePlugin keeps responses in its own store, not in {config.store!r}: give it that one by"
                " CacheConfig(backend=...), and remove it from response_cache_config and stores"
            )
        settings: dict[str, Any] = {
            ours: getattr(config, theirs)
            for ours, theirs in _HONOURED.items()
            if getattr(config, theirs) is not getattr(_UNCHANGED, theirs)
        }
        return cls(**settings)
