"""Which of several stored responses answers, end to end (RFC 9111 section 4.1)."""

from __future__ import annotations

import pytest

from tests.e2e_http.web import Asked, Web, says
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"


async def test_each_value_of_the_field_that_vary_names_has_its_response(web: Web) -> None:
    """RFC 9111 section 4.1."""
    page = web.page(says(FRESH, "Vary: Accept-Language"))

    first = [await page.get(f"Accept-Language: {tongue}") for tongue in ("de", "fr")]
    again = [await page.get(f"Accept-Language: {tongue}") for tongue in ("de", "fr")]
    without = [await page.get(), await page.get()]

    assert [reply.text for reply in first + again + without] == ["1", "2", "1", "2", "3", "3"]
    assert first[1].cache_status == "asynccache; fwd=vary-miss; stored"
    assert all(reply.hit for reply in again)


@pytest.mark.parametrize(
    "one, other, same",
    [
        (["Accept-Language: de, fr"], ["Accept-Language: de,fr"], True),
        (["Accept-Language: de, fr"], ["Accept-Language: de", "Accept-Language: fr"], True),
        (["Accept-Language: DE"], ["Accept-Language: de"], True),
        (["Accept-Language:   de"], ["Accept-Language: de  "], True),
        (["Accept-Language: de, fr"], ["Accept-Language: fr, de"], False),
        (["Accept-Language: de"], ["Accept-Language: de, fr"], False),
        (["Accept-Language:"], [], False),
    ],
)
async def test_what_means_the_same_selects_the_same(
    web: Web, one: list[str], other: list[str], same: bool
) -> None:
    """RFC 9111 section 4.1: whitespace, several lines and case are no difference where a field is a list."""
    page = web.page(says(FRESH, "Vary: accept-language"))

    await page.get(*one)
    assert (await page.get(*other)).text == ("1" if same else "2")
    assert (await page.get(*one)).text == "1"


async def test_text_with_commas_is_compared_as_it_is(web: Web) -> None:
    """RFC 9111 section 4.1: only what is known to be a list may be written in another way."""
    page = web.page(says(FRESH, "Vary: User-Agent"))

    replies = [await page.get(f"User-Agent: {name}") for name in ("a, b", "a,b", "A, b", "a, b")]
    assert [reply.text for reply in replies] == ["1", "2", "3", "1"]


@pytest.mark.parametrize("vary", [["X-A, X-B"], ["X-A", "X-B"], ["x-a,, ,X-B"], ["X-B", "X-A, X-A"]])
async def test_all_fields_have_to_match_also_where_vary_has_several_lines(web: Web, vary: list[str]) -> None:
    """RFC 9110 section 12.5.5 and section 5.2: lines of a field are one list."""
    page = web.page(says(FRESH, *(f"Vary: {line}" for line in vary)))

    await page.get("X-A: 1", "X-B: 1")
    replies = [
        await page.get("X-A: 1", "X-B: 2"),
        await page.get("X-A: 2", "X-B: 1"),
        await page.get("X-A: 1"),
        await page.get("X-B: 1", "X-A: 1", "X-C: 1"),
    ]
    assert [reply.text for reply in replies] == ["2", "3", "4", "1"]


@pytest.mark.parametrize("vary", [["*"], ["X-A, *"], ["X-A", "*"]])
async def test_what_varies_by_everything_answers_nobody_else(web: Web, vary: list[str]) -> None:
    """RFC 9111 section 4.1: a Vary with ``*`` never matches."""
    page = web.page(says(FRESH, *(f"Vary: {line}" for line in vary)))

    assert (await page.get()).cache_status == "asynccache; fwd=uri-miss; detail=vary-any"
    assert (await page.get()).text == "2"


async def test_vary_may_begin_to_name_another_field(web: Web) -> None:
    """RFC 9111 section 4.1: what is stored under the former Vary answers nobody whom it does not fit."""
    page = web.page(says(FRESH, "Vary: X-A"), says(FRESH, "Vary: X-A, X-B"))

    asked = [("1", "1"), ("2", "1"), ("2", "2"), ("2", "1"), ("2", "2"), ("2", "1")]
    replies = [await page.get(f"X-A: {one}", f"X-B: {other}") for one, other in asked]

    # The second is not stored, and says so: by then it was too late to learn by what it varies.
    assert replies[1].cache_status == "asynccache; fwd=vary-miss"
    assert [reply.text for reply in replies] == ["1", "2", "3", "4", "3", "4"]
    assert [reply.hit for reply in replies[4:]] == [True, True]


async def test_a_variant_is_asked_for_with_its_own_validator(web: Web) -> None:
    """RFC 9111 section 4.3.1: the validator of the response that the request selects."""

    async def tongue(wire: Wire, asked: Asked) -> None:
        tag = f'ETag: "{asked.get("accept-language")}"'
        status = 304 if asked.get("if-none-match") else 200
        await says("Cache-Control: max-age=10", "Vary: Accept-Language", tag, status=status)(wire, asked)

    page = web.page(tongue)

    for name in ("de", "fr"):
        await page.get(f"Accept-Language: {name}")
    web.clock.advance(10)
    replies = [await page.get(f"Accept-Language: {name}") for name in ("fr", "de", "it")]

    assert [reply.text for reply in replies] == ["2", "1", "5"]
    assert [asked.get("if-none-match") for asked in page.asked[2:]] == ['"fr"', '"de"', ""]


async def test_many_variants_do_not_fill_the_store(web: Web) -> None:
    """RFC 9111 section 7: values are the clients' choice, so their number has a bound; answers stay right."""
    page = web.page(says(FRESH, "Vary: X-A"))

    for number in range(70):
        assert (await page.get(f"X-A: {number}")).text == str(number + 1)
    hits = 0
    for number in range(70):
        reply = await page.get(f"X-A: {number}")
        hits += reply.hit
        assert reply.text == (str(number + 1) if reply.hit else str(len(page.asked)))
    assert hits <= 32
