"""The real middleware beside the reference: every answer is one that the reference permits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from asynccache import Cache, CacheConfig, HTTPConfig, InMemoryBackend
from asynccache.http import CacheMiddleware
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Answer, Client
from tests.http_middleware.rfc_answers import Expected, answers, still_good
from tests.http_middleware.rfc_messages import Fields, Request, Response, Stored, Verdict, bare, items
from tests.http_middleware.rfc_origin import Brief, Exchange, Origin, Plan
from tests.http_middleware.rfc_reference import Decision, Reference

__all__ = ["Ask", "Wait", "World"]

MUST, NO = Verdict.MUST, Verdict.NO
ORIGIN = "http://shop.test"
CONDITIONS = {"if-none-match", "if-modified-since", "range", "if-range"}
OWN = {"age", "cache-status", "content-length", "content-range", "content-type", "date", "set-cookie"}
IN_A_304 = {"cache-control", "etag", "expires", "vary"}  # RFC 9110 section 15.4.5


@dataclass(frozen=True, repr=False)
class Ask(Brief):
    """A request. ``@tag`` and the like in its fields stand for what its URL said last."""

    method: str
    url: str
    fields: Fields = ()
    body: bytes = b""
    plans: tuple[Plan, ...] = (Plan(),)


@dataclass(frozen=True)
class Wait:
    """Time passes, or the clock is set back."""

    seconds: float


class World:
    """One middleware, its application, the reference, and a client that checks."""

    def __init__(self, http: HTTPConfig) -> None:
        self.clock = FakeClock()
        self.origin = Origin(self.clock)
        self.reference = Reference(http)
        backend = InMemoryBackend(clock=self.clock)
        self.cache = Cache(CacheConfig(clock=self.clock, http=http, backend=backend))
        self.client = Client(CacheMiddleware(self.origin, cache=self.cache))
        self.last: dict[str, Response] = {}

    async def play(self, steps: list[Ask | Wait]) -> None:
        """Do it all."""
        for step in steps:
            if isinstance(step, Wait):
                self.clock.set(self.clock() + step.seconds)
            else:
                await self.ask(step)
        await self.cache.aclose()

    def request(self, ask: Ask) -> Request:
        """Fill in what the fields refer to."""
        last = self.last.get(ask.url)
        etag = (last and last.etag) or '"none"'
        modified = (last and last.modified) or "Sun, 06 Nov 1994 08:49:37 GMT"
        known = {"@tag": etag, "@weak": f"W/{bare(etag)}", "@tags": f'"none", {etag}', "@modified": modified}
        fields = tuple((name, known.get(value, value)) for name, value in ask.fields)
        length: Fields = (("content-length", str(len(ask.body))),) if ask.body else ()
        return Request(ask.method, ask.url, fields + length, ask.body)

    async def ask(self, ask: Ask) -> None:
        """Ask, and compare."""
        request, now = self.request(ask), self.clock()
        decision = self.reference.decide(request, now)
        self.origin.plans = ask.plans
        ongoing = self.client.start(request.url, request.fields, method=request.method, body=request.body)
        foreground = await self.origin.let_go(ongoing.task)
        error = ongoing.task.exception()
        heads = [message for message in ongoing.messages if message["type"] == "http.response.start"]
        answer = Answer(ongoing.messages) if heads else None
        seen = Seen(self, request, decision, foreground, answer, error)
        if foreground:
            seen.forwarded()
        else:
            seen.from_store()
        background = await self.origin.let_all_go()
        if background or seen.expects_refresh:
            seen.refreshed(background)
        for exchange in foreground + background:
            if exchange.response is not None and exchange.response.etag:
                self.last[request.url] = exchange.response


class Seen:
    """What happened to one request, to be judged."""

    def __init__(
        self,
        world: World,
        request: Request,
        decision: Decision,
        foreground: list[Exchange],
        answer: Answer | None,
        error: BaseException | None,
    ) -> None:
        self.reference = world.reference
        self.now = world.clock()
        self.request = request
        self.decision = decision
        self.foreground = foreground
        self.answer = answer
        self.error = error
        said = answer.all("cache-status") if answer is not None else []
        self.status = said[-1] if said else ""
        self.may_refresh = self.expects_refresh = False

    def need(self, holds: object, what: str, *about: object) -> None:
        """Fail with the whole story."""
        if not holds:
            story = [what, *about, self.request, self.decision, *self.foreground, self.answer]
            if self.answer is not None:
                story.append(self.answer.raw)
            story += [self.error, "stored:", *self.reference.of(self.request.url)]
            raise AssertionError("\n".join(map(str, story)))

    # -- without the application ------------------------------------------------------------------------

    def from_store(self) -> None:
        """It is something that may be served, and says so."""
        self.need(self.error is None and self.answer is not None, "neither answered nor forwarded")
        assert self.answer is not None
        if self.answer.status == 504 and self.decision.only_if_cached:
            self.need(not self.decision.served, "504 although there is something")
            self.need("; hit" not in self.status, "a hit of nothing")
            return
        self.need("; hit" in self.status and "; fwd" not in self.status, "a hit does not say so")
        chosen = [stored for stored in self.decision.serve if not self.differs(stored)]
        about = [(stored, self.differs(stored)) for stored in self.decision.serve]
        self.need(chosen, "served what must not be", *about)
        age = float(self.answer.header("age") or -1)
        # In whole seconds.
        chosen = [stored for stored in chosen if -1 < self.reference.age(stored.response, self.now) - age < 1]
        self.need(chosen, "wrong Age", *about)
        ttl = re.search(r"; ttl=(-?\d+)", self.status)
        known = [self.reference.left(stored.response, self.now) for stored in chosen]
        self.need(ttl and any(abs(int(ttl[1]) - left) <= 1 for left in known), "wrong ttl")
        left = {self.reference.left(stored.response, self.now) for stored in chosen}
        self.need(min(left) > 0 or "stale" in self.status, "stale, and does not say so")
        control = [self.reference.control(stored.response) for stored in chosen]
        self.may_refresh = min(left) <= 0
        asked = self.reference.asked(self.request)
        promised = not {"only-if-cached", "max-stale"} & asked.keys()
        self.expects_refresh = (
            promised
            and max(left) < 0
            and all(
                stored.certain
                and -self.reference.left(stored.response, self.now)
                < float(c.get("stale-while-revalidate", 0))
                for stored, c in zip(chosen, control, strict=True)
            )
        )

    def refreshed(self, background: list[Exchange]) -> None:
        """One request repeats the client's, and its answer is learned."""
        self.need(not self.foreground and self.may_refresh, "asked again for nothing", *background)
        self.need(background and all(map(self.mistaken, background[:-1])), "not asked once", *background)
        self.request = replace(self.request, method="GET")
        for exchange in background:
            self.repeats(exchange)
            self.learn(exchange, claimed=None)

    # -- with it ----------------------------------------------------------------------------------------

    def forwarded(self) -> None:
        """It had to be, with the right fields, and the answer is what became of it."""
        self.need(not self.decision.served, "not served from the store", *self.decision.serve)
        self.need(not self.decision.only_if_cached, "forwarded only-if-cached")
        for exchange in self.foreground:
            self.repeats(exchange)
        self.validates(self.foreground[0].request)
        last = self.foreground[-1].response
        for exchange in self.foreground[:-1]:
            self.learn(exchange, claimed=None)
        if last is None or self.answer is None or self.error is not None:
            self.failed(last)
            self.learn(self.foreground[-1], claimed=None)
            return
        self.need("; fwd=" in self.status and "; hit" not in self.status, "forwarding is not said")
        reason = re.search(r"; fwd=([a-z-]+)", self.status)
        self.need(reason and reason[1] in self.decision.reasons, "wrong reason")
        status = re.search(r"; fwd-status=(\d+)", self.status)
        told = int(status[1]) if status else self.answer.status
        self.need(told == last.status, "wrong fwd-status")
        self.judge(last)

    def judge(self, last: Response) -> None:
        """The answer is the application's, or one that it permits."""
        if last.status == 304:
            fresh = self.reference.freshened(self.request, last, aside=len(self.foreground) > 1)
            ours = not self.of_client(last) and not self.mistaken(self.foreground[-1])
            fits = [stored for stored in fresh if not self.differs(stored, last)]
            self.need(fits or (not self.passes(last) and not ours), "a 304 led to the wrong answer", *fresh)
            return
        if last.status == 206 and self.foreground[-1].request.get("range") != self.request.get("range"):
            self.learn(self.foreground[-1], claimed=None)
            made = self.reference.whole(self.request)
            self.need([stored for stored in made if not self.differs(stored, last)], "not made of its parts")
            return
        if last.failed:
            chosen = [stored for stored in self.decision.stand_in if not self.differs(stored)]
            if chosen:
                return
            self.need(not self.decision.rescued, "nothing stands in for an error", *self.decision.stand_in)
        difference = self.passes(last)
        if difference and last.status == 200 and self.request.method == "GET":
            difference = self.differs(Stored(self.request, last), last)
        self.need(not difference, "not what the application answered", difference)
        verdict = self.storing(last)
        claimed = "; stored" in self.status
        early = self.foreground[-1].chunked
        if last.complete:
            self.need(claimed or early or verdict is not MUST, "not stored")
            self.need(not claimed or verdict is not NO, "stored what must not be")
        self.learn(self.foreground[-1], claimed=None if early and not claimed else claimed)

    def storing(self, last: Response) -> Verdict:
        verdict = self.reference.storing(self.request, last)
        more = self.reference.varies_by_more(self.request.url, last)
        return min(verdict, Verdict.MAY) if more else verdict

    def failed(self, last: Response | None) -> None:
        """The application raised, or broke off."""
        self.need(self.answer or self.error is not None, "no answer")
        if last is not None:
            self.need(not last.complete or self.request.method == "HEAD", "failed without a reason")
            return
        chosen = [stored for stored in self.decision.stand_in if self.answer and not self.differs(stored)]
        self.need(
            chosen or not self.decision.rescued, "nothing stands in for an exception", *self.decision.stand_in
        )
        if not chosen and self.error is None:
            self.need(self.answer and self.answer.status in (500, 502, 503, 504), "an answer from nowhere")

    def of_client(self, last: Response) -> bool:
        return still_good(last, self.request) is not False

    def mistaken(self, exchange: Exchange) -> bool:
        """Whether the application said that what the client has is good, and did not mean it."""
        response = exchange.response
        return response is not None and response.status == 304 and (response.etag or "").startswith('"m')

    def learn(self, exchange: Exchange, *, claimed: bool | None) -> None:
        """Tell the reference."""
        response = exchange.response
        if response is None:
            return
        if response.status == 304:
            self.reference.freshened(self.request, response)
            return
        self.reference.invalidated(self.request, response, [ORIGIN])
        self.reference.received(self.request, response, claimed=claimed)

    # -- comparing --------------------------------------------------------------------------------------

    def repeats(self, exchange: Exchange) -> None:
        """The request to the application is the client's, but for conditions and ranges."""
        sent = exchange.request
        self.need(sent.url == self.request.url, "another URL", sent)
        methods = {self.request.method}
        if exchange not in self.foreground:
            methods = {"GET"}  # who asks for a HEAD only is served from what a GET has brought
        self.need(sent.method in methods, "another method", sent)
        mine = {pair for pair in self.request.fields if pair[0] not in CONDITIONS}
        theirs = {pair for pair in sent.fields if pair[0] not in CONDITIONS | {"host"}}
        self.need(mine == theirs, "other fields", sent)
        known = [stored.response for stored in self.reference.stored if stored.request.url == sent.url]
        tags = {response.etag for response in known} | set(items(self.request.get("if-none-match")))
        self.need(set(items(sent.get("if-none-match"))) <= tags, "a foreign entity tag", sent)
        dates = {response.modified for response in known} | {self.request.get("if-modified-since"), None}
        self.need(sent.get("if-modified-since") in dates, "a foreign date", sent)
        if sent.get("range") not in (None, self.request.get("range")):
            # RFC 9111 section 3.4: the rest of a part, of the same strong entity tag
            parts = {response.strong for response in known if response.status == 206} - {None}
            self.need(sent.get("if-range") in parts, "another range", sent)
        else:
            self.need(sent.get("if-range") in (None, self.request.get("if-range")), "another If-Range", sent)

    def validates(self, sent: Request) -> None:
        """The validators of what is stored are sent."""
        if self.decision.validate is None:
            return
        stored = self.decision.validate.response
        if stored.etag is not None:
            self.need(stored.etag in items(sent.get("if-none-match")), "the entity tag is not sent", sent)
        elif stored.modified is not None:
            self.need(sent.get("if-modified-since") == stored.modified, "the date is not sent", sent)

    def passes(self, response: Response) -> str:
        """Say how the answer differs from the application's; "" for not at all."""
        assert self.answer is not None
        body = b"" if self.request.method == "HEAD" else response.body
        if (self.answer.status, self.answer.body) != (response.status, body):
            return f"{self.answer.status} instead of {response.status}, or another body"
        ignored = {"cache-status", "date"}
        mine = sorted((n, v) for n, v in response.fields if n not in ignored)
        theirs = sorted((n.decode(), v.decode()) for n, v in self.answer.raw if n.decode() not in ignored)
        return "" if mine == theirs else f"other fields: {theirs}"

    def differs(self, stored: Stored, said: Response | None = None) -> str:
        """Say how the answer differs from all that may be made of ``stored``; "" if it is one of them.

        Args:
            stored: What is stored.
            said: What the application has said to this request: its cookies are for this client.
        """
        mine = () if said is None else said.fields
        cookies = {value for name, value in mine if name == "set-cookie"}
        made = answers(stored, self.request)
        found = [self.differs_from(stored.response, expected, cookies) for expected in made]
        return "" if "" in found else "; ".join(found) or "no answer can be made of it"

    def differs_from(self, response: Response, expected: Expected, cookies: set[str]) -> str:
        answer = self.answer
        assert answer is not None
        if answer.status != expected.status:
            return f"status {answer.status} instead of {expected.status}"
        if not set(answer.all("set-cookie")) <= cookies:
            return "somebody's cookie"
        if expected.spans:
            if parts := self.differs_in_parts(expected):
                return parts
        elif answer.body != (b"" if self.request.method == "HEAD" else expected.body):
            return f"body {answer.body!r} instead of {expected.body!r}"
        if answer.header("content-range") != expected.content_range:
            return "another Content-Range"
        if expected.status == 416:
            return ""
        mine = {name: value for name, value in response.fields if name not in OWN}
        theirs = {n.decode(): v.decode() for n, v in answer.raw if n.decode() not in OWN}
        if expected.status == 304:
            needed = {name: value for name, value in mine.items() if name in IN_A_304}
            wrong = {n: v for n, v in theirs.items() if mine.get(n) != v} | {
                n: v for n, v in needed.items() if theirs.get(n) != v
            }
            return f"304 with {wrong}" if wrong else ""
        return "" if mine == theirs else f"fields {theirs} instead of {mine}"

    def differs_in_parts(self, expected: Expected) -> str:
        """Read a multipart/byteranges."""
        assert self.answer is not None
        parts = re.findall(rb"bytes (\d+)-(\d+)/(\d+)\r\n\r\n(.*?)\r\n--", self.answer.body)
        read = tuple((int(first), int(last)) for first, last, _, _ in parts)
        if read != expected.spans:
            return f"parts {read} instead of {expected.spans}"
        right = all(
            content == expected.body[int(first) : int(last) + 1] and int(total) == len(expected.body)
            for first, last, total, content in parts
        )
        return "" if right else "wrong parts"
