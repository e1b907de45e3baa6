"""`CacheContext`: what a handler, while it runs, says about the response it is about to give."""

from __future__ import annotations

from asynccache._engine.expiry import Lifetime
from asynccache.policy import DEFAULT, CachePolicy, Default, Seconds, seconds, tag_names

__all__ = ["CacheContext"]


class CacheContext:
    """What is said about one response, beside the policy of its route.

    It speaks to the cache, not to the client: no header field changes. Where the response comes from the
    cache, or will not be stored anyway, nothing happens.
    """

    __slots__ = ("_tags", "_ttl", "stored")

    def __init__(self) -> None:
        self._ttl: float | Default | None = DEFAULT
        self._tags: dict[str, None] = {}
        self.stored: bool = True
        """False after `no_store`."""

    @property
    def ttl(self) -> Seconds | Default | None:
        """Seconds or a timedelta that this response is fresh; None: until it is invalidated.

        `asynccache.DEFAULT` as long as nothing was said: the policy decides.
        """
        return self._ttl

    @ttl.setter
    def ttl(self, value: Seconds | Default | None) -> None:
        self._ttl = value if value is None or isinstance(value, Default) else seconds(value, "ttl")

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags added so far; those of the policy are not among them."""
        return tuple(self._tags)

    def add_tags(self, *names: str) -> None:
        """Let this response be invalidated by ``names`` too.

        A tag only protects from what is invalidated after the cache has looked at it. So a response with a
        tag that the cache did not expect for its URL is not stored; the next one is.
        """
        self._tags.update(dict.fromkeys(tag_names(names)))

    def no_store(self) -> None:
        """Keep this response out of the cache."""
        self.stored = False

    def lifetime(self, policy: CachePolicy, default_ttl: float | None, usual: Lifetime) -> Lifetime:
        """Return how long the response lives: as ``usual`` under ``policy``, but for the ttl."""
        if isinstance(self._ttl, Default):
            return usual
        return Lifetime.of(policy.but(ttl=self._ttl), default_ttl)
