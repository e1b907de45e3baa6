"""What requests that change something make worthless, end to end (RFC 9111 section 4.4)."""

from __future__ import annotations

import pytest

from asynccache import InMemoryBackend
from asynccache.testing import ChaosBackend
from tests.e2e_http.web import Asked, Page, Play, Web, says
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"


def changing(*fields: str, status: int = 200) -> Play:
    """Answer safe requests with something fresh, others with this."""

    async def play(wire: Wire, asked: Asked) -> None:
        safe = asked.method in ("GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND")
        await (says(FRESH) if safe else says(*fields, status=status))(wire, asked)

    return play


async def still_there(page: Page) -> bool:
    """Return whether what was stored for a page still answers."""
    return (await page.get()).hit


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "MKCOL"])
@pytest.mark.parametrize("status", [200, 201, 204, 303])
async def test_a_change_makes_what_is_stored_worthless(web: Web, method: str, status: int) -> None:
    """RFC 9111 section 4.4: any unsafe method that is answered with a 2xx or 3xx."""
    page = web.page(changing(status=status))
    await page.get()

    changed = await page.get(method=method, body=b"")
    assert (changed.status, changed.cache_status) == (status, "asynccache; fwd=method")
    assert not await still_there(page)


async def test_so_does_a_method_that_nobody_knows(web: Web) -> None:
    """RFC 9111 section 4.4: unless it is known to be safe. httptools lets none pass that it does not know."""
    page = web.page(changing())
    await page.get()

    reply = await page.get(method="FROBNICATE", body=b"")
    assert reply.status == (200 if web.http == "h11" else 400)
    assert await still_there(page) is (web.http == "httptools")


@pytest.mark.parametrize("status", [400, 404, 409, 412, 500, 503])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_change_that_failed_changes_nothing(web: Web, method: str, status: int) -> None:
    """RFC 9111 section 4.4: only a non-error response invalidates."""
    page, other = web.page(changing()), web.page(changing())
    page.then(changing(f"Location: {other.path}", status=status))
    for each in (page, other):
        await each.get()

    assert (await page.get(method=method, body=b"x")).status == status
    assert await still_there(page)
    assert await still_there(other)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
async def test_safe_methods_change_nothing(web: Web, method: str) -> None:
    """RFC 9110 section 9.2.1, RFC 9111 section 4.4."""
    page = web.page(changing())
    await page.get()

    assert (await page.get(method=method)).text == "2"
    assert await still_there(page)


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    "target, named",
    [
        ("{path}", True),
        ("http://shop.test{path}", True),
        ("HTTP://SHOP.TEST:80{path}", True),
        ("//shop.test{path}", True),
        ("{path}#part", True),
        ("/x/..{path}", True),
        ("http://other.test{path}", False),
        ("//other.test{path}", False),
        ("https://shop.test{path}", False),
        ("http://shop.test:8080{path}", False),
        ("{path}/", False),
        ("{path}?a", False),
    ],
)
async def test_so_is_what_it_names_on_the_same_origin(web: Web, field: str, target: str, named: bool) -> None:
    """RFC 9111 section 4.4: Location and Content-Location, never those of another origin."""
    page, other = web.page(changing()), web.page(changing())
    page.then(changing(f"{field}: {target.format(path=other.path)}", status=201))
    await other.get()

    await page.get(method="POST", body=b"")
    assert await still_there(other) is not named


async def test_all_variants_of_it_are_worthless(web: Web) -> None:
    """RFC 9111 section 4.4: all stored responses with the target URI."""

    async def vary(wire: Wire, asked: Asked) -> None:
        fields = [FRESH, "Vary: X-A"] if asked.method == "GET" else []
        await says(*fields)(wire, asked)

    page = web.page(vary)
    for value in ("1", "2"):
        await page.get(f"X-A: {value}")

    await page.get("X-A: 1", method="PUT", body=b"")
    for value in ("1", "2"):
        assert not (await page.get(f"X-A: {value}")).hit


async def test_other_queries_of_it_are_not(web: Web) -> None:
    """RFC 9111 section 4.4: the target URI, with its query."""
    page = web.page(changing())
    for query in ("?a=1", "?a=2"):
        await page.get(query=query)

    await page.get(method="DELETE", query="?a=1")
    assert (await page.get(query="?a=2")).hit
    assert not (await page.get(query="?a=1")).hit


async def test_the_answer_to_a_change_is_nobodys_answer(web: Web) -> None:
    """RFC 9111 section 2: what POST is answered is not stored, whatever it says."""
    page = web.page(says(FRESH, "Content-Location: /elsewhere"))

    texts = [(await page.get(method="POST", body=b"a")).text for _ in range(2)]
    assert [*texts, (await page.get()).text] == ["1", "2", "3"]


async def test_what_was_asked_before_the_change_is_not_stored_after_it(web: Web) -> None:
    """RFC 9111 section 4.4: a GET that began earlier may bring what the change has made worthless."""

    async def play(wire: Wire, asked: Asked) -> None:
        if asked.number == 1:  # a GET, during which somebody else posts
            await page.get(method="POST", body=b"")
        await says(FRESH)(wire, asked)

    page = web.page(play)
    slow = await page.get()

    assert (slow.text, "stored" in slow.cache_status) == ("1", False)
    assert (await page.get()).text == "3"


async def test_who_has_read_the_answer_to_a_change_gets_nothing_older(web: Web) -> None:
    """RFC 9111 section 4.4: also if the store takes its time, and on another connection."""
    page = web.page(changing())
    slow = ChaosBackend(InMemoryBackend(clock=web.clock), latency=(0.01, 0.01))

    async with web.cached(backend=slow) as port:
        await page.get(port=port)
        assert (await page.get(port=port)).hit
        await page.get(method="PUT", body=b"", port=port)
        assert not (await page.get(port=port)).hit
