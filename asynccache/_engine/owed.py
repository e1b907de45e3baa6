"""Invalidations that a failing store still owes us: kept until they can be replayed. Pure data.

Until then a key that is `covered` must be treated as absent, whatever the store says. Every debt carries
the moment it was made (a serial number); what succeeds settles only debts that are older than itself::

    set k ─────────────── succeeds: settles nothing, since the delete came after it began
          delete k fails
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Owed"]


class Owed:
    """Keys and prefixes to be removed, the last debt of each, the oldest first.

    Args:
        limit: The most that is remembered. Beyond it the oldest is forgotten and counted in ``lost``: that
            key may serve an outdated value until it expires.
    """

    __slots__ = ("_keys", "_limit", "_prefixes", "_starts", "lost", "now", "pending")

    def __init__(self, limit: int = 65_536) -> None:
        self._limit = limit
        self._keys: OrderedDict[str, int] = OrderedDict()
        self._prefixes: OrderedDict[str, int] = OrderedDict()
        self._starts: tuple[str, ...] = ()
        self.now = 0
        """The serial number of the latest debt."""
        self.pending = False
        """Whether anything is owed."""
        self.lost = 0

    def __len__(self) -> int:
        return len(self._keys) + len(self._prefixes)

    def __repr__(self) -> str:
        return f"<Owed {len(self._keys)} keys, {len(self._prefixes)} prefixes, {self.lost} lost>"

    def add(self, key: str) -> None:
        """Owe the removal of ``key``."""
        self._remember(self._keys, key)

    def add_prefix(self, prefix: str) -> None:
        """Owe the removal of every key that starts with ``prefix``; smaller debts are part of it."""
        self.settle_prefix(prefix, self.now)
        self._remember(self._prefixes, prefix)

    def covers(self, key: str) -> bool:
        """Return True if ``key`` must be treated as absent."""
        return key in self._keys or key.startswith(self._starts)

    def settle(self, key: str, upto: int) -> None:
        """Note that ``key`` was removed or replaced by an operation that began when `now` was ``upto``."""
        if self._keys.get(key, upto + 1) <= upto:
            del self._keys[key]
            self.pending = len(self) > 0

    def settle_prefix(self, prefix: str, upto: int) -> None:
        """Note the same of every key that starts with ``prefix``."""
        for debts in (self._keys, self._prefixes):
            for name in [name for name, made in debts.items() if made <= upto and name.startswith(prefix)]:
                del debts[name]
        self._update()

    def prefixes(self) -> list[str]:
        """Return the prefixes owed, the oldest first."""
        return list(self._prefixes)

    def keys(self) -> list[str]:
        """Return the keys owed, the oldest first."""
        return list(self._keys)

    def _remember(self, debts: OrderedDict[str, int], name: str) -> None:
        self.now += 1
        debts[name] = self.now
        debts.move_to_end(name)
        while len(self) > self._limit:
            (self._keys or self._prefixes).popitem(last=False)
            self.lost += 1
        self._update()

    def _update(self) -> None:
        self._starts = tuple(self._prefixes)
        self.pending = bool(self._keys or self._prefixes)
