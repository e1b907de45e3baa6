"""The application of the model: it answers, and fails, as planned, and keeps a book of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields as dataclass_fields
from itertools import count
from typing import Any, cast

from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import ticks
from tests.http_middleware.rfc_answers import ranges
from tests.http_middleware.rfc_messages import Fields, Request, Response, bare, date, items

__all__ = ["Brief", "Exchange", "Origin", "Plan"]


class Brief:
    """A dataclass that names only what is not as usual: histories are read by people."""

    def __repr__(self) -> str:
        each = (
            (one.name, getattr(self, one.name), one.default) for one in dataclass_fields(cast("Any", self))
        )
        shown = ", ".join(f"{name}={value!r}" for name, value, default in each if value != default)
        return f"{type(self).__name__}({shown})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Tell hypothesis."""
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Plan(Brief):
    """How to answer one request. Points in time are relative to the moment of the answer."""

    control: tuple[str, ...] = ()
    targeted: tuple[str, ...] = ()
    """CDN-Cache-Control."""
    status: int = 200
    new: bool = True
    """There is a new version of what is asked for."""
    etag: str = ""
    """``strong`` or ``weak``, where the version is a new one."""
    modified: bool = False
    """With Last-Modified, where the version is a new one."""
    vary: str = ""
    """Where the version is a new one."""
    dated: int | None = None
    expires: int | str | None = None
    age: int | None = None
    mistaken: bool = False
    """Whoever names an entity tag is told that another one is what they have."""
    ranges: bool = False
    """Range is honoured."""
    set_cookie: bool = False
    location: str = ""
    content_location: str = ""
    delay: float = 0.0
    chunked: bool = False
    """The body comes in two messages."""
    failure: str = ""
    """``raises`` before the head; ``breaks`` after some of the body; ``ends`` without the last message;
    ``short`` and ``long``: not of the length that was stated."""


@dataclass(frozen=True)
class Version:
    """The state of a resource."""

    number: int
    etag: str
    modified: str
    vary: str
    body: bytes


@dataclass
class Exchange:
    """One request that reached the application, and what became of it; no response if it raised at once."""

    request: Request
    response: Response | None = None
    chunked: bool = False
    """Its head left before its end was known: what it says of storing is a guess."""
    go: asyncio.Event = field(default_factory=asyncio.Event)


class FailedByPlanError(Exception):
    """What the application raises."""


class Origin:
    """An ASGI application that waits before each answer until it is let go."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.plans: Sequence[Plan] = ()
        self.waiting: deque[Exchange] = deque()
        self.running = 0
        self.calls = 0
        self.numbers = count(1)
        self.versions: dict[tuple[str, str | None], Version] = {}

    async def let_go(self, task: asyncio.Future[Any]) -> list[Exchange]:
        """Let only those through without which ``task`` does not end, and return them."""
        gone: list[Exchange] = []
        while True:
            for _ in range(50):
                if task.done():
                    return gone
                await asyncio.sleep(0)
            if self.waiting:
                gone.append(self.waiting.popleft())
                gone[-1].go.set()

    async def let_all_go(self) -> list[Exchange]:
        """Let the others through."""
        gone: list[Exchange] = []
        await ticks()
        while self.running:
            while self.waiting:
                gone.append(self.waiting.popleft())
                gone[-1].go.set()
            await ticks()
        return gone

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer by plan: the first one for the first request of a step, the next for the next."""
        query = scope["query_string"].decode()
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        request = Request(scope["method"], scope["path"] + (f"?{query}" if query else ""), fields)
        exchange = Exchange(request)
        plan, self.plans = self.plans[0], self.plans[1:] or self.plans
        self.waiting.append(exchange)
        self.running += 1
        self.calls += 1
        try:
            await exchange.go.wait()
            await self._answer(exchange, plan, send)
        finally:
            self.running -= 1

    async def _answer(self, exchange: Exchange, plan: Plan, send: Any) -> None:
        began = self.clock()
        self.clock.advance(plan.delay)
        if plan.failure == "raises":
            raise FailedByPlanError
        status, fields, content = self._content(exchange.request, plan)
        head = (*fields, *self._fields(plan))
        body = b"" if exchange.request.method == "HEAD" or status == 304 else content
        sent, length = body, len(content)
        if body and plan.failure:
            sent = body + b"!" if plan.failure == "long" else body[:4]
        if status != 304 and plan.failure != "ends":
            head += (("content-length", str(length)),)
        complete = sent == body and not (body and plan.failure)
        now = self.clock()
        exchange.response = Response(status, head, sent, began, now, complete=complete)
        exchange.chunked = plan.chunked
        wire = [(name.encode(), value.encode("latin-1")) for name, value in head]
        await send({"type": "http.response.start", "status": status, "headers": wire})
        cut = bool(body) and plan.failure in ("breaks", "ends")
        if plan.chunked or cut:
            await send({"type": "http.response.body", "body": sent[:3], "more_body": True})
            sent = sent[3:]
        await send({"type": "http.response.body", "body": sent, "more_body": cut})
        if body and plan.failure == "breaks":
            raise FailedByPlanError

    def _content(self, request: Request, plan: Plan) -> tuple[int, Fields, bytes]:
        serial = next(self.numbers)
        told: Fields = (("x-serial", str(serial)),)
        if request.method not in ("GET", "HEAD") or plan.status not in (200, 203):
            validators: Fields = (("etag", f'"e{serial}"'),) if plan.etag else ()
            return plan.status, told + validators, b"%d answered %d" % (serial, plan.status)
        version = self._version(request, plan, serial)
        for name in ("etag", "modified", "vary"):
            value = getattr(version, name)
            told += (("last-modified" if name == "modified" else name, value),) if value else ()
        if plan.mistaken and request.get("if-none-match") is not None:
            return 304, (("x-serial", str(serial)), ("etag", f'"m{serial}"')), b""
        if self._unchanged(request, version):
            return 304, told, b""
        told += (("content-type", "text/plain"),)
        spans = self._spans(request, version) if plan.ranges else None
        if spans is None or len(spans) > 1:
            return plan.status, told, version.body
        total = len(version.body)
        if not spans:
            return 416, (*told[:1], ("content-range", f"bytes */{total}")), b"no such part"
        first, last = spans[0]
        return (
            206,
            (*told, ("content-range", f"bytes {first}-{last}/{total}")),
            version.body[first : last + 1],
        )

    def _version(self, request: Request, plan: Plan, serial: int) -> Version:
        place = (request.url, request.get("x-lang"))
        if plan.new or place not in self.versions:
            etag = {"": "", "strong": f'"v{serial}"', "weak": f'W/"v{serial}"'}[plan.etag]
            modified = date(1_699_999_000 + serial) if plan.modified else ""  # each version has its own
            body = f"{serial:03}|{request.url}|{request.get('x-lang')}".encode()
            self.versions[place] = Version(serial, etag, modified, plan.vary, body)
        return self.versions[place]

    @staticmethod
    def _unchanged(request: Request, version: Version) -> bool:
        wanted = request.get("if-none-match")
        if wanted is not None:
            return wanted == "*" or (bool(version.etag) and bare(version.etag) in map(bare, items(wanted)))
        return bool(version.modified) and request.get("if-modified-since") == version.modified

    @staticmethod
    def _spans(request: Request, version: Version) -> list[tuple[int, int]] | None:
        wanted, condition = request.get("range"), request.get("if-range")
        if wanted is None or request.method != "GET" or not version.etag.startswith('"'):
            return None
        return ranges(wanted, len(version.body)) if condition in (None, version.etag) else None

    def _fields(self, plan: Plan) -> Fields:
        now = self.clock()
        dated = now + (plan.dated or 0)
        expires = plan.expires if isinstance(plan.expires, str) else date(dated + (plan.expires or 0))
        pairs = (
            ("date", plan.dated is not None, date(dated)),
            ("cache-control", bool(plan.control), ", ".join(plan.control)),
            ("cdn-cache-control", bool(plan.targeted), ", ".join(plan.targeted)),
            ("expires", plan.expires is not None, expires),
            ("age", plan.age is not None, str(plan.age)),
            ("set-cookie", plan.set_cookie, f"c={self.calls}"),
            ("location", bool(plan.location), plan.location),
            ("content-location", bool(plan.content_location), plan.content_location),
        )
        return tuple((name, value) for name, there, value in pairs if there)
