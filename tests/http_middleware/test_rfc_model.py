"""Random histories in ``rfc9111`` mode against the reference: never what it forbids, always what it demands.

Each history enables a few features only, so that they meet each other often. The same histories are played
each time. To look for others, run this file with ``ASYNCCACHE_TEST_EXAMPLES=20000`` and ``--timeout=0``.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings, strategies as st

from asynccache import HTTPConfig
from tests.http_middleware.rfc_messages import Fields
from tests.http_middleware.rfc_origin import Plan
from tests.http_middleware.rfc_world import Ask, Wait, World

ASKED_FOR = os.environ.get("ASYNCCACHE_TEST_EXAMPLES")
search = settings(
    max_examples=int(ASKED_FOR or "800"),
    derandomize=ASKED_FOR is None,  # whoever changes one thing is not told of another
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class Theme(NamedTuple):
    """Features that have something to say to each other."""

    told: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()
    """Parts of every plan."""


DIRECTIVES = {
    "s-maxage": ("s-maxage=0", "s-maxage=10"),
    "no-cache": ("no-cache",),
    "no-store": ("no-store",),
    "private": ("private",),
    "public": ("public",),
    "must-revalidate": ("must-revalidate",),
    "proxy-revalidate": ("proxy-revalidate",),
    "must-understand": ("must-understand",),
    "stale-while-revalidate": ("stale-while-revalidate=5", "stale-while-revalidate=20"),
    "stale-if-error": ("stale-if-error=5", "stale-if-error=60"),
}
LIFETIMES = (("max-age=10",), ("max-age=10", "max-age=5", "max-age=0"), ("",))
PLANS: dict[str, tuple[Any, ...]] = {
    "targeted": (
        ("max-age=5",),
        ("must-revalidate",),
        ("no-store",),
        ("max-age=10", "stale-while-revalidate=5"),
        ("private",),
    ),
    "status": (203, 404, 500, 503, 302, 599, 501),
    "new": (False, False),
    "etag": ("strong", "weak"),
    "modified": (True,),
    "vary": ("x-lang", "x-kind, X-Lang", "cookie", "*"),
    "dated": (0, -4, 4),
    "expires": (0, 10, -5, "0"),
    "age": (0, 3, 20),
    "mistaken": (True,),
    "ranges": (True,),
    "set_cookie": (True,),
    "delay": (0.5, 3.0),
    "chunked": (True,),
    "failure": ("raises", "breaks", "ends", "short", "long"),
}
ASKED = {
    "max-age": ("max-age=0", "max-age=3"),
    "max-stale": ("max-stale", "max-stale=5"),
    "min-fresh": ("min-fresh=4",),
    "no-cache": ("no-cache",),
    "no-store": ("no-store",),
    "only-if-cached": ("only-if-cached",),
    "stale-if-error": ("stale-if-error=30",),
}
FIELDS = {
    "x-lang": ("de", "fr"),
    "x-kind": ("a",),
    "cookie": ("user=1", "user=2"),
    "authorization": ("Basic YTpi",),
    "x-api-key": ("k",),
    "pragma": ("no-cache",),
    "if-none-match": ("@tag", "@weak", "@tags", '"none"', "*"),
    "if-modified-since": ("@modified", "Fri, 01 Jan 2100 00:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
    "range": (
        "bytes=0-3",
        "bytes=4-",
        "bytes=-5",
        "bytes=999-",
        "bytes=0-1,4-5",
        "bytes=2-6",
        "bytes=0-8,0-8",
    ),
    "if-range": ("@tag", "@weak", "@modified", '"none"'),
    "if-match": ("*",),
}
THEMES = (
    Theme(),
    Theme(plans=("etag",), fields=("if-none-match",)),
    Theme(plans=("modified",), fields=("if-modified-since",)),
    Theme(plans=("etag", "new")),
    Theme(plans=("modified", "new")),
    Theme(plans=("mistaken", "new"), fixed=(("etag", "strong"),)),
    Theme(told=("no-store", "private"), plans=("etag", "new")),
    Theme(told=("must-revalidate", "public"), fields=("authorization", "cookie")),
    Theme(plans=("vary",), fields=("x-lang", "x-kind")),
    Theme(plans=("etag", "new"), fields=("x-lang",), fixed=(("vary", "x-lang"),)),
    Theme(plans=("expires", "dated")),
    Theme(plans=("expires", "targeted")),
    Theme(told=("stale-if-error",), plans=("failure",)),
    Theme(told=("stale-if-error",), plans=("status",)),
    Theme(told=("stale-while-revalidate",), plans=("etag", "new")),
    Theme(fields=("range", "if-range"), fixed=(("etag", "strong"),)),
    Theme(plans=("new",), fields=("range", "if-range"), fixed=(("etag", "strong"), ("ranges", True))),
    Theme(fields=("range",), fixed=(("etag", "strong"), ("ranges", True), ("new", False))),
    Theme(plans=("etag", "new"), asked=("no-cache", "max-age"), methods=("HEAD",)),
    Theme(methods=("POST", "PUT")),
)
METHODS = ("HEAD", "POST", "PUT", "DELETE", "OPTIONS")
URLS = ("/a", "/b", "/a?b")
LOCATIONS = ("", "/a", "http://shop.test/b", "http://other.test/a", "http://shop.test:81/a", "//other.test/a")
WAITS = (1.0, 1.0, 0.5, 3.0, 3.0, 5.0, 9.0, 10.0, 10.0, 30.0, 100.0, -2.0)
SWITCHES = ("heuristic", "stale_on_error", "store_set_cookie", "share_with_cookies", "private")

Features = list[str]


@cache
def one_of(*values: Any) -> st.SearchStrategy[Any]:
    """Return the same strategy for the same values: to make one costs more than to draw from it."""
    return st.sampled_from(values)


@cache
def usually(default: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw the default as often as all others together."""
    return one_of(*(default,) * len(others), *others)


@cache
def some(*names: str) -> st.SearchStrategy[Features]:
    return st.lists(st.sampled_from(names), max_size=2).map(lambda drawn: sorted(set(drawn)))


def mixed(draw: st.DrawFn, values: dict[str, tuple[str, ...]], enabled: Features) -> tuple[str, ...]:
    """Draw directives: each enabled one is there every other time."""
    return tuple(filter(None, (draw(usually("", *values[name])) for name in enabled)))


@st.composite
def configs(draw: st.DrawFn) -> HTTPConfig:
    switches: dict[str, Any] = dict.fromkeys(draw(some(*SWITCHES)), True)
    honour = draw(one_of(True, True, False))
    keep = draw(one_of(3600.0, 3600.0, 10.0, 0.0))
    return HTTPConfig(mode="rfc9111", honour_client_directives=honour, keep_stale=keep, **switches)


@st.composite
def histories(draw: st.DrawFn) -> list[Ask | Wait]:
    """Draw the features of a history, and then its steps."""
    lifetimes = draw(one_of(*LIFETIMES))
    theme: Theme = draw(one_of(*THEMES))
    fixed: dict[str, Any] = dict(theme.fixed)
    told = sorted({*theme.told, *draw(some(*DIRECTIVES))})
    planned = sorted({*theme.plans, *draw(some(*PLANS))} - fixed.keys())
    asked = sorted({*theme.asked, *draw(some(*ASKED))})
    named = sorted({*theme.fields, *draw(some(*FIELDS))})
    methods = ("GET",) * 5 + theme.methods + tuple(draw(some(*METHODS)))
    urls = draw(one_of(URLS[:1], URLS[:1], URLS))

    def plan(draw: st.DrawFn) -> Plan:
        control = (draw(one_of(*lifetimes)), *mixed(draw, DIRECTIVES, told))
        parts = {name: draw(usually(getattr(Plan, name), *PLANS[name])) for name in planned}
        return Plan(control=tuple(filter(None, control)), **parts, **fixed)

    @st.composite
    def steps(draw: st.DrawFn) -> Ask | Wait:
        if draw(one_of(False, False, False, True)):
            return Wait(draw(one_of(*WAITS)))
        method = draw(one_of(*methods))
        fields: Fields = ()
        if method in ("GET", "HEAD") and (control := mixed(draw, ASKED, asked)):
            fields = (("cache-control", ", ".join(control)),)
        for name in named:
            value = draw(usually("", *FIELDS[name]))
            fields += ((name, value),) if value else ()
        if all(name != "range" for name, _ in fields):
            fields = tuple(pair for pair in fields if pair[0] != "if-range")
        body = draw(one_of(*(b"",) * 9, b"q")) if method == "GET" else b""
        first = plan(draw)
        if method not in ("GET", "HEAD", "OPTIONS"):
            first = Plan(
                status=draw(one_of(200, 200, 302, 404, 500)),
                control=first.control,
                location=draw(one_of(*LOCATIONS)),
                content_location=draw(one_of("", *URLS)),
            )
        return Ask(method, draw(one_of(*urls)), fields, body, (first, plan(draw)))

    return draw(st.lists(steps(), min_size=3, max_size=15))


@search
@given(config=configs(), history=histories())
def test_every_answer_is_what_the_rfc_says(config: HTTPConfig, history: list[Ask | Wait]) -> None:
    """Nothing is served that must not be, and everything that has to be."""
    asyncio.run(World(config).play(history))
