"""The sections of the conformance suites. Private: use the classes in `asynccache.testing.conformance`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_NEEDED: Final = ("pytest", "pytest_asyncio")

for _name in _NEEDED:
    if find_spec(_name) is None:
        raise ImportError(
            f"asynccache's conformance suites need {_name}: pip install pytest pytest-asyncio",
            name=_name,
        )
