"""Random histories against a model that is obviously right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from asynccache import CachePolicy, InMemoryBackend
from asynccache.http import MarkedApp
from asynccache.testing import ChaosBackend
from tests.http_middleware.asgi_client import Answer
from tests.http_middleware.tiny_apps import Site, respond

TTL = 10.0
STALE = 5.0
URLS = ("/a", "/b", "/a?x=1", "/v")
USERS = ("alice", "bob")
LANGUAGES = ("de", "fr")


@dataclass(frozen=True)
class Produced:
    """One run of the handler: for whom, when it began, and what had been invalidated by then."""

    url: str
    user: str
    language: str
    began: float
    epoch: int


class World:
    """The application, and what is known about it."""

    def __init__(self, *, remote: bool, stale: float) -> None:
        self.produced: list[Produced] = []
        self.epochs: dict[str, int] = dict.fromkeys(URLS, 0)
        self.stale = stale
        policy = CachePolicy(
            ttl=TTL,
            stale_while_revalidate=stale,
            tags=("all",),
            vary_on=user_of,
        )
        marked = MarkedApp(self.handle, policy)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await (marked if scope["method"] in ("GET", "HEAD") else self.write)(scope, receive, send)

        more: dict[str, Any] = {"backend": ChaosBackend(InMemoryBackend())} if remote else {}
        self.site = Site(app, None, **more)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with the number of what is written into the book."""
        sent = fields(scope)
        url = target(scope)
        self.produced.append(
            Produced(url, sent["x-user"], sent["accept-language"], self.site.clock(), self.epochs[url])
        )
        body = b"%d" % (len(self.produced) - 1)
        await asyncio.sleep(0)
        await respond(send, body, headers=[(b"vary", b"accept-language")] if url == "/v" else [])

    async def write(self, scope: Any, receive: Any, send: Any) -> None:
        """Succeed."""
        await respond(send, b"written")

    async def ask(self, method: str, url: str, user: str, language: str) -> None:
        """Ask, and check the answer against the book."""
        epoch, began = self.epochs[url], self.site.clock()
        headers = [("x-user", user), ("accept-language", language)]
        answer = await self.site.client.request(method, url, headers)
        if method not in ("GET", "HEAD"):
            self.epochs[url] += 1
            return
        if method == "GET":
            self.check(answer, url, user, language, epoch, began)

    def check(self, answer: Answer, url: str, user: str, language: str, epoch: int, asked: float) -> None:
        """It was produced for the same URL, user and variant, is not too old, and not invalidated."""
        made = self.produced[int(answer.text)]
        assert (made.url, made.user) == (url, user)
        assert url != "/v" or made.language == language
        assert made.epoch >= epoch
        age = asked - made.began
        assert age < TTL + self.stale
        assert age < TTL or "stale" in answer.cache_status

    async def step(self, action: tuple[Any, ...]) -> None:
        """Do one thing."""
        kind, *rest = action
        if kind == "ask":
            await self.ask(*rest)
        elif kind == "together":
            await asyncio.gather(*(self.ask("GET", *one) for one in rest[0]))
        elif kind == "wait":
            self.site.clock.advance(rest[0])
        else:
            await (
                self.site.cache.invalidate_tags("all") if kind == "invalidate" else self.site.cache.clear()
            )
            for url in URLS:
                self.epochs[url] += 1


def fields(scope: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in scope["headers"]}


def user_of(scope: Any) -> str:
    return fields(scope)["x-user"]


def target(scope: Any) -> str:
    query = scope["query_string"].decode()
    return str(scope["path"]) + (f"?{query}" if query else "")


who = st.tuples(st.sampled_from(URLS), st.sampled_from(USERS), st.sampled_from(LANGUAGES))
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "PUT"])
actions = st.one_of(
    st.tuples(st.just("ask"), methods, *(st.sampled_from(values) for values in (URLS, USERS, LANGUAGES))),
    st.tuples(st.just("together"), st.lists(who, min_size=2, max_size=6)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, TTL / 2, TTL - 0.001, TTL, TTL + STALE])),
    st.tuples(st.sampled_from(["invalidate", "clear"])),
)


@pytest.mark.parametrize("stale", [0.0, STALE], ids=["fresh", "stale"])
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
@settings(max_examples=60, deadline=None)
@given(history=st.lists(actions, max_size=30))
def test_every_answer_is_one_that_was_due(history: list[tuple[Any, ...]], remote: bool, stale: float) -> None:
    """An answer was made for the same URL, user and variant, in time, and not before a write."""

    async def play() -> None:
        world = World(remote=remote, stale=stale)
        for action in history:
            await world.step(action)
            await world.site.idle()
        assert world.site.at_rest
        await world.site.cache.aclose()

    asyncio.run(play())
