"""Who may fill what, for a store that lives in this process (Nishtala et al., NSDI 2013)."""

from __future__ import annotations

from itertools import count
from typing import Final

__all__ = ["LeaseBook"]

_PURGE_AT: Final = 1024


class LeaseBook:
    """The unexpired leases. Tokens are unique for the life of the book."""

    __slots__ = ("_limit", "_tokens", "held")

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, float]] = {}
        """(token, expiry) by key."""
        self._tokens = count(1)
        self._limit = _PURGE_AT

    def acquire(self, key: str, until: float, now: float) -> str | None:
        """Return a fresh token, or None while somebody holds the lease on ``key``."""
        lease = self.held.get(key)
        if lease is not None and now < lease[1]:
            return None
        if len(self.held) >= self._limit:
            self._purge(now)
        token = str(next(self._tokens))
        self.held[key] = (token, until)
        return token

    def end(self, key: str, token: str, now: float) -> bool:
        """End the lease if ``token`` holds it; True if it did and the lease had not expired."""
        lease = self.held.get(key)
        if lease is None or lease[0] != token:
            return False
        del self.held[key]
        return now < lease[1]

    def void(self, key: str) -> None:
        """End whatever lease there is on ``key``."""
        self.held.pop(key, None)

    def void_prefix(self, prefix: str) -> None:
        """End every lease on a key that starts with ``prefix``."""
        for key in [key for key in self.held if key.startswith(prefix)]:
            del self.held[key]

    def _purge(self, now: float) -> None:
        """Drop the leases of holders that never came back; doubling the limit keeps this cheap on average."""
        for key in [key for key, (_, until) in self.held.items() if until <= now]:
            del self.held[key]
        self._limit = max(_PURGE_AT, 2 * len(self.held))
