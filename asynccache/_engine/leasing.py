"""`Leasing`: who may fill what, across processes, as far as the store keeps leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final

from asynccache._engine.access import Access
from asynccache.errors import BackendError

__all__ = ["UNLEASED", "Lease", "Leasing"]


@dataclass(slots=True, eq=False)
class Lease:
    """The right to fill a key, or the lack of it."""

    token: str | None = None
    """None: what is computed must not be stored."""
    held_by_other: bool = False
    lost: bool = False
    """Whether the store refused the fill: the key was written or removed meanwhile, or the lease ran out."""
    over: bool = False
    """Whether there is nothing left to give back."""

    def end(self, *, filled: bool) -> None:
        """Note the store's answer to a fill, which ends the lease whatever it is."""
        self.over = True
        self.lost = not filled


UNLEASED: Final = Lease("")
"""For stores without leases: the runs of this process are all there is to guard against."""
_FAILED: Final = Lease()
_HELD: Final = Lease(held_by_other=True)


class Leasing:
    """Takes leases and gives them back."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def acquire(self, key: str) -> Lease:
        """Return the right to fill ``key``, where nobody else has it.

        A caller that is cancelled meanwhile leaves no lease behind, for which others would wait in vain.
        """
        access = self._access
        if access.leasing is None:
            return UNLEASED
        if access.local is not None:  # it never waits
            return await self._take(key)
        taking = asyncio.ensure_future(self._take(key))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            access.chores.add(self._return(key, taking))
            raise

    async def _return(self, key: str, taking: Awaitable[Lease]) -> None:
        await self.release(key, await taking)

    async def _take(self, key: str) -> Lease:
        access = self._access
        if access.leasing is None:
            return UNLEASED
        try:
            token = await access.leasing.acquire_lease(key, access.lease_ttl)
        except BackendError as error:
            access.failed("acquire_lease", key, error)
            return _FAILED
        return _HELD if token is None else Lease(token)

    async def release(self, key: str, lease: Lease) -> None:
        """Give a lease back, unless a fill has ended it.

        A caller that is cancelled meanwhile leaves no lease behind here either.
        """
        access = self._access
        if not lease.token or access.leasing is None or lease.over:
            return
        lease.over = True
        releasing = access.leasing.release_lease(key, lease.token)
        giving = access.attempt("release_lease", key, releasing, None)
        await (giving if access.local is not None else access.chores.see_through(giving))

    async def release_all(self, leases: Mapping[str, Lease]) -> None:
        """Do the same for several, by key."""
        giving = asyncio.gather(*(self.release(key, lease) for key, lease in leases.items()))
        await self._access.chores.see_through(giving)
