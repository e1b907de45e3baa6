"""``dependency_overrides``: what is made with other dependencies is another response.

Starlette has no dependencies; a framework on top of it (FastAPI) lets tests replace them between two requests
for one URL. What an application has replaced by its first request is what it is made of: that is no part of
the key, so that processes share what they store.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

__all__ = ["overridden"]


class _Overrides:
    """Those of one application, at first and as last seen."""

    __slots__ = ("first", "last", "name")

    def __init__(self, overrides: dict[Any, Any]) -> None:
        self.first = self.last = overrides
        self.name: str | None = None


_SEEN: Final = "_asynccache_overrides"
"""Where an application keeps its own. They may refer to it: a dictionary of ours would keep both for ever."""


def overridden(application: Any) -> str | None:
    """Return what keeps responses apart from those made with other dependencies; None: nothing has to."""
    if not hasattr(application, "dependency_overrides"):
        return None
    overrides: dict[Any, Any] = application.dependency_overrides or {}  # some tests set None
    known: _Overrides | None = getattr(application, _SEEN, None)
    if known is None:
        known = _Overrides(dict(overrides))
        setattr(application, _SEEN, known)
    elif overrides != known.last:
        known.last = dict(overrides)
        # Not made of the functions' names: tests replace one by many of the same name.
        known.name = None if overrides == known.first else secrets.token_hex(8)
    return known.name
