"""Every test that asks for ``spelling`` runs in all of them; for ``public``, in both kinds of policy.

All spellings run on a store in memory. On a remote store a row depends on what the store gives back, not on
how the application is written; so each framework runs there in its two main spellings.
"""

from __future__ import annotations

import dataclasses
import secrets

import pytest

from asynccache import PostgresBackend, RedisBackend
from tests.frameworks.framework_apps import SPELLINGS, Spelling
from tests.frameworks.framework_stores import Store

REMOTE = ("redis", "postgres")
MAIN = (
    *("fastapi-decorator", "fastapi-drop-in"),
    *("starlette-decorator", "starlette-drop-in"),
    *("litestar-handler", "litestar-cache-option"),
)
BY_NAME = {spelling.name: spelling for spelling in SPELLINGS}
PLACES = [(name, store) for store in REMOTE for name in MAIN]
EVERYWHERE = [*[(name, None) for name in BY_NAME], *PLACES]
FASTAPI = [(name, store) for name, store in EVERYWHERE if name.startswith("fastapi-")]
KNOWING = [*FASTAPI, *[(name, store) for name, store in EVERYWHERE if name.startswith("litestar-")]]


@pytest.fixture(params=SPELLINGS, ids=[spelling.name for spelling in SPELLINGS])
def spelling_in_memory(request: pytest.FixtureRequest) -> Spelling:
    """One way to write an application, for what only the store in memory can show."""
    chosen: Spelling = request.param
    return chosen


@pytest.fixture(scope="session")
def places() -> dict[str, str]:
    """The URL of each store: one database or table for all, since each test has a namespace of its own."""
    return {}


@pytest.fixture(
    params=[*[(name, None) for name in BY_NAME], *PLACES],
    ids=[*BY_NAME, *[f"{name}-on-{store}" for name, store in PLACES]],
)
def spelling(request: pytest.FixtureRequest) -> Spelling:
    """One way to write an application, on a store that holds nothing yet."""
    return _placed(request)


@pytest.fixture(params=FASTAPI, ids=[name if kind is None else f"{name}-on-{kind}" for name, kind in FASTAPI])
def fastapi_spelling(request: pytest.FixtureRequest) -> Spelling:
    """One way to write an application in FastAPI, which knows what endpoints and dependencies declare."""
    return _placed(request)


@pytest.fixture(params=KNOWING, ids=[name if kind is None else f"{name}-on-{kind}" for name, kind in KNOWING])
def knowing_spelling(request: pytest.FixtureRequest) -> Spelling:
    """One way to write an application in a framework that knows what endpoints declare to read."""
    return _placed(request)


def _placed(request: pytest.FixtureRequest) -> Spelling:
    name, kind = request.param
    if kind is None:
        return BY_NAME[name]
    urls: dict[str, str] = request.getfixturevalue("places")
    if kind not in urls:
        urls[kind] = request.getfixturevalue(f"{kind}_server").fresh_url()
    url, namespace = urls[kind], secrets.token_hex(4)
    if kind == "redis":
        store = Store(lambda _: RedisBackend(url, timeout=30, connect_timeout=30), namespace)
    else:
        store = Store(
            lambda clock: PostgresBackend.from_url(url, timeout=30, connect_timeout=30, clock=clock),
            namespace,
        )
    return dataclasses.replace(BY_NAME[name], store=store)


@pytest.fixture(params=[False, True], ids=["not-public", "public"])
def public(request: pytest.FixtureRequest) -> bool:
    """Whether the route's policy is public."""
    chosen: bool = request.param
    return chosen
