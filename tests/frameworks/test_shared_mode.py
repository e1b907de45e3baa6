"""``mode="rfc9111"`` in front of any application: the same requests, the same answers, byte by byte."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.frameworks.shared_apps import INSTALLATIONS, REFERENCE, Run, serve
from tests.http_middleware.asgi_client import Answer, ticks

Expected = list[tuple[int, str, str]]
Scenario = Callable[[Run], Awaitable[Expected]]

MISS = "fwd=uri-miss; stored"


async def fresh(run: Run) -> Expected:
    """What is fresh is served until it is not."""
    for seconds in (0, 4, 6):
        run.clock.advance(seconds)
        await run.ask("/fresh")
    return [(200, MISS, "fresh 1"), (200, "hit; ttl=6", "fresh 1"), (200, "fwd=stale; stored", "fresh 2")]


async def validation(run: Run) -> Expected:
    """What is stale is validated, and clients validate their copies."""
    await run.ask("/validated")
    await run.ask("/validated", if_none_match='"v"')
    run.clock.advance(20)
    await run.ask("/validated")
    run.clock.advance(20)
    await run.ask("/validated", if_none_match='"v"')
    return [
        (200, MISS, "valid 1"),
        (304, "hit; ttl=10", ""),
        (200, "fwd=stale; fwd-status=304; stored", "valid 1"),
        (304, "fwd=stale; fwd-status=304; stored", ""),
    ]


async def variants(run: Run) -> Expected:
    """What varies is kept apart."""
    for language in ("de", "fr", "de", "fr"):
        await run.ask("/language", accept_language=language)
    return [
        (200, MISS, "in de"),
        (200, "fwd=vary-miss; stored", "in fr"),
        (200, "hit; ttl=10", "in de"),
        (200, "hit; ttl=10", "in fr"),
    ]


async def invalidation(run: Run) -> Expected:
    """A POST makes worthless what its Location names."""
    await run.ask("/items/1")
    await run.ask("/items", "POST")
    await run.ask("/items/1")
    return [(200, MISS, "item 1"), (200, "fwd=method", "made 1"), (200, MISS, "item 2")]


async def parts(run: Run) -> Expected:
    """Parts are cut from the whole."""
    await run.ask("/digits")
    await run.ask("/digits", range="bytes=2-4")
    await run.ask("/digits", range="bytes=-2")
    await run.ask("/digits", range="bytes=20-")
    await run.ask("/digits", range="bytes=2-4", if_range='"other"')
    return [
        (200, MISS, "0123456789"),
        (206, "hit; ttl=10", "234"),
        (206, "hit; ttl=10", "89"),
        (416, "hit; ttl=10", ""),
        (200, "hit; ttl=10", "0123456789"),
    ]


async def stale_while_revalidate(run: Run) -> Expected:
    """The stale is served at once, and made anew behind it."""
    await run.ask("/lenient")
    run.clock.advance(20)
    await run.ask("/lenient")
    await ticks(200)
    await run.ask("/lenient")
    return [
        (200, MISS, "lenient 1"),
        (200, "hit; ttl=-10; detail=stale", "lenient 1"),
        (200, "hit; ttl=10", "lenient 2"),
    ]


async def stale_if_error(run: Run) -> Expected:
    """The stale stands in for a handler that raises; the cache sees the error, or a 500 made of it."""
    await run.ask("/fragile")
    run.clock.advance(20)
    run.shop.broken = True
    await run.ask("/fragile")
    run.shop.broken = False
    await run.ask("/fragile")
    return [
        (200, MISS, "fragile 1"),
        (200, "fwd=stale; detail=stale-if-error", "fragile 1"),
        (200, "fwd=stale; stored", "fragile 3"),
    ]


async def set_cookie(run: Run) -> Expected:
    """A session is its client's."""
    await run.ask("/login")
    await run.ask("/login")
    missed = "fwd=uri-miss; detail=set-cookie"
    return [(200, missed, "session 1"), (200, missed, "session 2")]


async def credentials(run: Run) -> Expected:
    """Who says who he is gets no other's page, and nobody gets his, unless it says that it is for all."""
    await run.ask("/me", authorization="alice")
    await run.ask("/me")
    await run.ask("/me", authorization="bob")
    await run.ask("/me", cookie="session=1")
    await run.ask("/shared", authorization="alice")
    await run.ask("/shared", cookie="session=1")
    return [
        (200, "fwd=uri-miss; detail=authorization", "1 for alice None"),
        (200, MISS, "2 for None None"),
        (200, "fwd=bypass; detail=authorization", "3 for bob None"),
        (200, "fwd=bypass; detail=cookie", "4 for None session=1"),
        (200, MISS, "shared 1"),
        (200, "hit; ttl=10", "shared 1"),
    ]


async def head(run: Run) -> Expected:
    """A HEAD is answered from what a GET has stored, and stores nothing."""
    await run.ask("/fresh", "HEAD")
    await run.ask("/fresh")
    await run.ask("/fresh", "HEAD")
    return [(200, "fwd=uri-miss", ""), (200, MISS, "fresh 2"), (200, "hit; ttl=10", "")]


async def streaming(run: Run) -> Expected:
    """A stream is passed on part by part, and stored when it is whole."""
    ongoing = run.client.start("/stream")
    start, first, *_ = await ongoing.until(2)
    assert (start["status"], first["body"]) == (200, b"one ")
    assert not ongoing.task.done()
    run.shop.gate.set()
    await run.end(ongoing)
    await run.ask("/stream")
    # The head had left before it was known whether it would be stored.
    return [(200, "fwd=uri-miss", "one two 1"), (200, "hit; ttl=10", "one two 1")]


async def tags(run: Run) -> Expected:
    """What Cache-Tag names can be invalidated."""
    for _ in range(2):
        await run.ask("/tagged")
    await run.ask("/sold", "POST")
    await run.ask("/tagged")
    return [
        (200, MISS, "tagged 1"),
        (200, "hit; ttl=10", "tagged 1"),
        (200, "fwd=method", "sold 1"),
        (200, MISS, "tagged 2"),
    ]


async def afterwards(run: Run) -> Expected:
    """A background task is the handler's: a hit has none."""
    await run.ask("/lasting")
    await run.ask("/lasting")
    assert run.shop.afterwards == 1
    return [(200, MISS, "lasting 1"), (200, "hit; ttl=10", "lasting 1")]


async def wishes(run: Run) -> Expected:
    """Clients have a say."""
    await run.ask("/fresh", cache_control="only-if-cached")
    await run.ask("/fresh")
    await run.ask("/fresh", cache_control="no-cache")
    return [
        (504, "detail=only-if-cached", ""),
        (200, MISS, "fresh 1"),
        (200, "fwd=request; stored", "fresh 2"),
    ]


async def policies(run: Run) -> Expected:
    """A policy of the route does nothing."""
    await run.ask("/silent")
    await run.ask("/silent")
    missed = "fwd=uri-miss; detail=no-lifetime"
    return [(200, missed, "silent 1"), (200, missed, "silent 2")]


SCENARIOS: list[Scenario] = [
    fresh,
    validation,
    variants,
    invalidation,
    parts,
    stale_while_revalidate,
    stale_if_error,
    set_cookie,
    credentials,
    head,
    streaming,
    tags,
    afterwards,
    wishes,
    policies,
]


def shown(answer: Answer) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return everything of an answer in which applications must not differ."""
    fields = [(name.lower(), re.sub(rb"; fwd-status=500", b"", value)) for name, value in answer.raw]
    return answer.status, sorted(fields), answer.body


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("name", INSTALLATIONS)
async def test_the_same_in_front_of_all(name: str, scenario: Scenario) -> None:
    """Status, fields, bytes and Cache-Status are those of the application without a framework."""
    async with serve(INSTALLATIONS[name]) as run:
        expected = await scenario(run)
    async with serve(REFERENCE) as reference:
        await scenario(reference)

    said = [answer.cache_status.replace("; fwd-status=500", "") for answer in run.answers]
    told = [(answer.status, text, answer.text) for answer, text in zip(run.answers, said, strict=True)]
    assert told == [(status, f"asynccache; {text}", body) for status, text, body in expected]
    assert [shown(answer) for answer in run.answers] == [shown(answer) for answer in reference.answers]
    assert run.shop.runs == reference.shop.runs


WITH_POLICIES = [
    "fastapi-drop-in",
    "fastapi-middleware",
    "starlette-drop-in",
    "starlette-middleware",
    "litestar-plugin",
]


@pytest.mark.parametrize("name", WITH_POLICIES)
async def test_one_warning_says_that_policies_do_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wrote ``cache=60`` counts on it."""
    with caplog.at_level(logging.WARNING, "asynccache"):
        async with serve(INSTALLATIONS[name]) as run:
            for _ in range(3):
                await run.ask("/silent")

    warnings: list[Any] = [record.getMessage() for record in caplog.records]
    advice = "policies of routes do nothing there: send Cache-Control"
    assert warnings == [f"GET /silent is not cached under its policy: mode='rfc9111'; {advice}"]


ROUTED = [name for name in WITH_POLICIES if not name.startswith("litestar")]


@pytest.mark.parametrize("name", ROUTED)
async def test_a_route_can_be_invalidated_by_its_name(name: str) -> None:
    """Every query and every variant of it; other routes stay."""
    async with serve(INSTALLATIONS[name]) as run:
        targets = ["/language", "/language?page=2", "/fresh"]
        for hit in (False, True):
            assert [(await run.ask(target)).hit for target in targets] == [hit] * 3
        await run.ask("/renamed", "POST")
        assert [(await run.ask(target)).hit for target in targets] == [False, False, True]
