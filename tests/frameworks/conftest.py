"""Every test that asks for ``spelling`` runs in all of them; for ``public``, in both kinds of policy."""

from __future__ import annotations

import pytest

from tests.frameworks.framework_apps import SPELLINGS, Spelling


@pytest.fixture(params=SPELLINGS, ids=[spelling.name for spelling in SPELLINGS])
def spelling(request: pytest.FixtureRequest) -> Spelling:
    """One way to write an application."""
    chosen: Spelling = request.param
    return chosen


@pytest.fixture(params=[False, True], ids=["not-public", "public"])
def public(request: pytest.FixtureRequest) -> bool:
    """Whether the route's policy is public."""
    chosen: bool = request.param
    return chosen
