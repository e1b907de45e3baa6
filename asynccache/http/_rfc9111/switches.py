"""`Switches`: where RFC 9111 leaves a cache a choice, or where this one is more careful than it has to be."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Switches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """The choices of `asynccache.HTTPConfig`, where they are explained."""

    store_set_cookie: bool = False
    share_with_cookies: bool = False
    heuristic: bool = False
    stale_on_error: bool = False
    honour_client_directives: bool = True
    private: bool = False
    keep_stale: float = 3600.0
    targeted: tuple[str, ...] = ("cdn-cache-control",)
