"""What a stored response is good for (RFC 9111 sections 4, 4.2.4 and 5.2, RFC 5861, RFC 8246)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.directives import NO_WISHES, Wishes, told, wishes
from asynccache.http._rfc9111.freshness import terms
from asynccache.http._rfc9111.policy import Use, decide, refuses, stands_in, withheld
from asynccache.http._rfc9111.stored import StoredResponse, Terms
from asynccache.http._rfc9111.switches import Switches

NOW = 1_700_000_000.0
SERVE, REFRESH, VALIDATE = Use.SERVE, Use.SERVE_AND_REFRESH, Use.VALIDATE


def terms_of(value: bytes, *, private: bool = False) -> Terms:
    """Return what a Cache-Control allows."""
    headers = [(b"cache-control", value)]
    said, targeted = told(headers)
    switches = Switches(private=private)
    return terms(said, headers, NOW, targeted=targeted, heuristic=False, switches=switches)


def asking(value: bytes) -> Wishes:
    """Return what a request with a Cache-Control wishes."""
    return wishes([(b"cache-control", value)])


@pytest.mark.parametrize(
    "response,age,use",
    [
        (b"max-age=60", 0, SERVE),
        (b"max-age=60", 59.9, SERVE),
        (b"max-age=60", 60, VALIDATE),  # fresh is lifetime > age
        (b"max-age=60", 61, VALIDATE),
        (b"max-age=0", 0, VALIDATE),
        (b"", 0, VALIDATE),
        (b"max-age=60, no-cache", 0, VALIDATE),
        (b'max-age=60, no-cache="x-user"', 0, SERVE),
        (b'max-age=60, no-cache="x-user", no-cache', 0, VALIDATE),
        (b"max-age=60, must-revalidate", 59, SERVE),
        (b"max-age=60, s-maxage=10", 10, VALIDATE),
        (b"max-age=10, s-maxage=60", 59, SERVE),
        (b"max-age=60, no-store", 0, SERVE),  # nothing is stored, or must-understand allowed it
    ],
)
def test_fresh_responses_are_served(response: bytes, age: float, use: Use) -> None:
    """What is fresh answers, unless no-cache wants it validated each time (sections 4 and 4.2)."""
    decision = decide(terms_of(response), age, NO_WISHES)

    assert decision.use is use
    assert decision.forward == (None if use is SERVE else "stale")


@pytest.mark.parametrize(
    "request_value,age,use,forward",
    [
        (b"no-cache", 0, VALIDATE, "request"),
        (b"no-cache, max-stale", 0, VALIDATE, "request"),
        (b"no-cache", 60, VALIDATE, "stale"),  # "request" is said of what is fresh (RFC 9211 section 2.2)
        (b"max-age=5", 5, SERVE, None),
        (b"max-age=5", 6, VALIDATE, "request"),
        (b"max-age=5", 60, VALIDATE, "stale"),
        (b"max-age=0", 0, SERVE, None),
        (b"max-age=0", 0.001, VALIDATE, "request"),
        (b"max-age=5, max-stale", 6, VALIDATE, "request"),
        (b"max-age=100", 60, VALIDATE, "stale"),
        (b"min-fresh=20", 40, SERVE, None),
        (b"min-fresh=20", 40.1, VALIDATE, "request"),
        (b"min-fresh=20", 70, VALIDATE, "stale"),
        (b"min-fresh=20, max-stale", 70, VALIDATE, "stale"),
        (b"min-fresh=soon", 0, VALIDATE, "request"),
        (b"max-stale=10", 59, SERVE, None),
        (b"max-stale=10", 70, SERVE, None),
        (b"max-stale=10", 70.1, VALIDATE, "stale"),
        (b"max-stale", 1e9, SERVE, None),
        (b"max-stale=soon", 60.1, VALIDATE, "stale"),
        (b"max-age=100, max-stale=10", 70, SERVE, None),
        (b"no-store", 0, SERVE, None),  # which is about this request's response, not the stored one
        (b"only-if-cached", 0, SERVE, None),
        (b"only-if-cached", 60, VALIDATE, "stale"),
    ],
)
def test_requests_limit_what_they_take(
    request_value: bytes, age: float, use: Use, forward: str | None
) -> None:
    """Each request directive of section 5.2.1, for a response that is fresh for a minute."""
    assert decide(terms_of(b"max-age=60"), age, asking(request_value)) == (use, forward)


@pytest.mark.parametrize(
    "response", [b"must-revalidate", b"proxy-revalidate", b"s-maxage=60", b"no-cache", b"s-maxage=soon"]
)
def test_no_client_loosens_what_the_origin_forbids(response: bytes) -> None:
    """Directives against stale responses outweigh max-stale and every window (section 4.2.4)."""
    said = terms_of(b"max-age=60, stale-while-revalidate=600, stale-if-error=600, " + response)
    lenient = Switches(stale_on_error=True)

    assert decide(said, 61, asking(b"max-stale")).use is VALIDATE
    assert decide(said, 61, NO_WISHES).use is VALIDATE
    assert not stands_in(said, 61, asking(b"stale-if-error=600"), lenient)


@pytest.mark.parametrize("response", [b"max-age=60, proxy-revalidate", b"max-age=60, s-maxage=5"])
def test_a_private_cache_is_not_meant_by_directives_for_shared_ones(response: bytes) -> None:
    """Neither s-maxage nor proxy-revalidate concerns it (sections 5.2.2.8 and 5.2.2.10)."""
    said = terms_of(response, private=True)

    assert decide(said, 59, NO_WISHES).use is SERVE
    assert decide(said, 70, asking(b"max-stale")).use is SERVE


@pytest.mark.parametrize(
    "age,use",
    [(0, SERVE), (599, SERVE), (600, REFRESH), (629.9, REFRESH), (630, VALIDATE), (1e9, VALIDATE)],
)
def test_example_of_rfc_5861_section_3(age: float, use: Use) -> None:
    """Fresh for 600 seconds, and for another 30 it may be served while it is validated."""
    assert decide(terms_of(b"max-age=600, stale-while-revalidate=30"), age, NO_WISHES).use is use


@pytest.mark.parametrize(
    "request_value,use",
    [
        (b"", REFRESH),
        (b"max-stale", REFRESH),
        (b"max-stale=10", REFRESH),
        (b"max-stale=4", VALIDATE),
        (b"max-age=3600", VALIDATE),
        (b"max-age=3600, max-stale", REFRESH),
        (b"min-fresh=0", VALIDATE),
        (b"no-cache", VALIDATE),
    ],
)
def test_a_client_that_wants_it_fresh_gets_nothing_stale(request_value: bytes, use: Use) -> None:
    """Max-age without max-stale, or min-fresh, rules out what is stale (section 5.2.1.1)."""
    said = terms_of(b"max-age=60, stale-while-revalidate=30")

    assert decide(said, 65, asking(request_value)).use is use


@pytest.mark.parametrize(
    "response,request_value,age,stands",
    [
        (b"max-age=600, stale-if-error=1200", b"", 900, True),  # the example: 900 seconds old, error, served
        (b"max-age=600, stale-if-error=1200", b"", 1799, True),
        (b"max-age=600, stale-if-error=1200", b"", 1800, False),
        (b"max-age=600", b"", 601, False),
        (b"max-age=600", b"stale-if-error=60", 659, True),
        (b"max-age=600", b"stale-if-error=60", 660, False),
        (b"max-age=600, stale-if-error=10", b"stale-if-error=60", 659, True),
        (b"max-age=600, stale-if-error=60", b"stale-if-error=10", 659, True),
        (b"max-age=600, stale-if-error", b"", 601, False),
        (b"max-age=600, stale-if-error=soon", b"", 601, False),
        (b"max-age=600, stale-while-revalidate=60", b"", 601, False),
        (b"max-age=600", b"no-cache", 599, True),
    ],
)
def test_examples_of_rfc_5861_section_4(
    response: bytes, request_value: bytes, age: float, stands: bool
) -> None:
    """In place of an error a stale response is served for as long as the origin or the client allows."""
    assert stands_in(terms_of(response), age, asking(request_value), Switches()) is stands


def test_stale_on_error_by_configuration() -> None:
    """An agreement outside the protocol allows what the response does not (RFC 9111 section 4.2.4)."""
    assert stands_in(terms_of(b"max-age=60"), 1e9, NO_WISHES, Switches(stale_on_error=True))


@pytest.mark.parametrize("request_value", [b"", b"no-cache", b"max-age=0"])
def test_immutable_changes_nothing_for_a_shared_cache(request_value: bytes) -> None:
    """Clients need not reload what is fresh; those who do are answered as ever (RFC 8246 section 2)."""
    with_it, without = terms_of(b"max-age=60, immutable"), terms_of(b"max-age=60")

    assert with_it == without
    assert decide(with_it, 61, asking(request_value)).use is VALIDATE


AUTHORIZATION, COOKIE = b"authorization", b"cookie"


@pytest.mark.parametrize(
    "response,shared,credentials,varies_by,reason",
    [
        (b"max-age=60", False, (), (), None),
        (b"max-age=60", False, (AUTHORIZATION,), (), "authorization"),
        (b"max-age=60", False, (COOKIE,), (), "cookie"),
        (b"max-age=60", False, (b"x-api-key",), (), "x-api-key"),
        (b"max-age=60", False, (COOKIE, AUTHORIZATION), (COOKIE,), "authorization"),
        (b"max-age=60", False, (COOKIE,), (COOKIE,), None),
        (b"max-age=60", False, (AUTHORIZATION,), (AUTHORIZATION,), "authorization"),
        (b"public, max-age=60", True, (AUTHORIZATION, COOKIE, b"x-api-key"), (), None),
        (b"max-age=60, must-revalidate", False, (AUTHORIZATION,), (), None),
        (b"max-age=60, must-revalidate", False, (COOKIE,), (), "cookie"),
        (b"max-age=60, proxy-revalidate", False, (AUTHORIZATION,), (), "authorization"),
    ],
)
def test_credentials_withhold_what_is_not_shared(
    response: bytes, shared: bool, credentials: tuple[bytes, ...], varies_by: tuple[bytes, ...], reason: str
) -> None:
    """Who says who they are gets what is meant for all, or varies by just that (section 3.5, and beyond)."""
    stored = StoredResponse(200, (), b"", b"", shared, False, NOW, 0.0, terms=terms_of(response))

    assert withheld(stored, credentials, varies_by, Switches()) == reason
    assert withheld(stored, credentials, varies_by, Switches(private=True)) is None


def test_cookies_may_be_shared_by_configuration() -> None:
    """The switch is about cookies and the like, never about Authorization (section 3.5)."""
    stored = StoredResponse(200, (), b"", b"", False, False, NOW, 0.0, terms=terms_of(b"max-age=60"))
    switches = Switches(share_with_cookies=True)

    assert withheld(stored, (COOKIE, b"x-api-key"), (), switches) is None
    assert withheld(stored, (AUTHORIZATION,), (), switches) == "authorization"


def test_a_marked_routes_response_has_no_terms() -> None:
    """It says nothing of validation, so credentials withhold it."""
    stored = StoredResponse(200, (), b"", b"", False, False, NOW, 0.0)

    assert withheld(stored, (AUTHORIZATION,), (), Switches()) == "authorization"


@pytest.mark.parametrize(
    "asked,age,left,refused",
    [
        (b"", 10, 50, False),
        (b"no-cache", 0, 60, True),
        (b"no-store", 0, 60, True),
        (b"max-age=10", 10, 50, False),
        (b"max-age=10", 11, 49, True),
        (b"min-fresh=50", 10, 50, False),
        (b"min-fresh=50", 11, 49, True),
        (b"max-stale=5", 70, -10, False),
        (b"only-if-cached", 10, 50, False),
    ],
)
def test_clients_refuse_what_a_policy_would_serve(
    asked: bytes, age: float, left: float, refused: bool
) -> None:
    """In the marked mode, if they are heeded; how stale it may be is the policy's alone (section 5.2.1)."""
    assert refuses(asking(asked), age, left) is refused


SECONDS = st.integers(0, 200)
TERMS = st.builds(
    Terms, SECONDS.map(float), st.booleans(), st.booleans(), SECONDS.map(float), SECONDS.map(float)
)
WISHES = st.builds(
    Wishes,
    no_cache=st.booleans(),
    max_age=st.none() | SECONDS,
    min_fresh=st.none() | SECONDS,
    max_stale=st.none() | SECONDS,
)


@given(TERMS, st.floats(0, 500), WISHES)
def test_what_is_served_keeps_every_rule(said: Terms, age: float, asked: Wishes) -> None:
    """Whatever the numbers, a served response breaks no directive of either side (sections 4.2.4 and 5.2)."""
    use, forward = decide(said, age, asked)

    assert (use is VALIDATE) is (forward is not None)
    if use is VALIDATE:
        return
    stale_for = age - said.lifetime
    assert not said.always
    assert not asked.no_cache
    assert asked.max_age is None or age <= asked.max_age
    assert asked.min_fresh is None or said.lifetime - age >= asked.min_fresh
    if stale_for >= 0:
        assert not said.strict
        assert asked.max_age is None or asked.max_stale is not None
        assert stale_for < said.stale_while_revalidate or asked.max_stale is not None
        assert asked.max_stale is None or stale_for <= asked.max_stale
    else:
        assert use is SERVE


@given(TERMS, st.floats(0, 500), st.floats(0, 500), WISHES)
def test_no_response_improves_with_age(said: Terms, age: float, more: float, asked: Wishes) -> None:
    """What has to be validated now has to be later."""
    if decide(said, age, asked).use is VALIDATE:
        assert decide(said, age + more, asked).use is VALIDATE


@given(TERMS, st.floats(0, 500))
def test_whoever_wishes_nothing_gets_all_that_is_fresh(said: Terms, age: float) -> None:
    """The cache is not more careful than the response asks it to be."""
    if age < said.lifetime and not said.always:
        assert decide(said, age, NO_WISHES).use is SERVE
