"""An application under attack, behind the middleware in either mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from asynccache import CachePolicy, HTTPConfig
from tests.http_middleware.asgi_client import Answer
from tests.http_middleware.tiny_apps import Site, respond

__all__ = [
    "ALICE",
    "BOB",
    "CREDENTIALS",
    "MODES",
    "PUBLIC",
    "Asked",
    "Said",
    "Target",
    "bodies",
    "said",
    "stale",
    "validated",
]

MODES = ("marked", "rfc9111")
SHARED = HTTPConfig(mode="rfc9111")

ALICE = ("cookie", "session=alice")
BOB = ("cookie", "session=bob")
PUBLIC = "public, max-age=10"
CREDENTIALS = [
    ("authorization", "Bearer alice"),
    ALICE,
    ("x-api-key", "alice"),
    ("x-auth-token", "alice"),
    ("private-token", "alice"),
]


class Asked(NamedTuple):
    """A request as the application sees it."""

    method: str
    path: str
    raw_path: str
    query: str
    body: bytes
    fields: list[tuple[str, str]]
    run: int

    def get(self, name: str, default: str = "") -> str:
        """Return what the application takes for the value of a field: its last line."""
        values = [value for key, value in self.fields if key == name]
        return values[-1] if values else default


class Said(NamedTuple):
    """A response of the application."""

    body: str
    fields: list[tuple[str, str]]
    status: int


def said(body: object = "", status: int = 200, fields: Iterable[tuple[str, str]] = (), **more: str) -> Said:
    """Return a response; ``cache_control`` is the field Cache-Control."""
    named = [(name.replace("_", "-"), value) for name, value in more.items()]
    return Said(str(body), [*fields, *named], status)


class Target:
    """An application that answers what ``respond`` says, and can be cached for a minute.

    In ``marked`` mode its policy says so; in ``rfc9111`` mode the response does, unless it says
    something itself.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Said],
        mode: str = "rfc9111",
        *,
        policy: CachePolicy | None = None,
        http: HTTPConfig | None = None,
        reads_body: bool = False,
    ) -> None:
        self.asked: list[Asked] = []
        self._answer = answer
        self._says_how_long = mode == "rfc9111"
        self._reads_body = reads_body
        policy = (policy or CachePolicy(ttl=60)) if mode == "marked" else None
        self.site = Site(self._app, policy, http=http or (SHARED if mode == "rfc9111" else None))
        self.clock = self.site.clock
        self.cache = self.site.cache

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = self._reads_body
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        received = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        raw, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        asked = Asked(scope["method"], scope["path"], raw, query, body, received, len(self.asked) + 1)
        self.asked.append(asked)
        answer = self._answer(asked)
        fields = list(answer.fields)
        names = {name.lower() for name, _ in fields}
        if self._says_how_long and names.isdisjoint({"cache-control", "expires", "cdn-cache-control"}):
            fields.append(("cache-control", "max-age=60"))
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        body = b"" if asked.method == "HEAD" else answer.body.encode("utf-8", "surrogateescape")
        if asked.method == "HEAD" or answer.status in (204, 304) or "content-length" in names:
            await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
            await send({"type": "http.response.body", "body": body})
        else:
            await respond(send, body, answer.status, encoded)

    @property
    def runs(self) -> int:
        """How often the application was asked."""
        return len(self.asked)

    async def get(self, target: str = "/page", *fields: tuple[str, str], **more: Any) -> Answer:
        """Send a GET and return its answer."""
        return await self.site.get(target, fields, **more)

    async def ask(self, method: str, target: str = "/page", *fields: tuple[str, str], **more: Any) -> Answer:
        """Send a request and return its answer."""
        return await self.site.client.request(method, target, fields, **more)


def bodies(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def validated(news: Said, *, head: bool = False, reads_body: bool = False) -> Target:
    """Return an application with a page for all; ``news`` answers the question whether it still holds."""

    def answer(asked: Asked) -> Said:
        if asked.method == "HEAD" if head else asked.get("if-none-match") == '"v"':
            fields = [(name, value.format(asked=asked)) for name, value in news.fields]
            return news._replace(fields=fields)
        return said("page", etag='"v"', cache_control=PUBLIC)

    return Target(answer, reads_body=reads_body)


async def stale(target: Target) -> None:
    """Have the page stored, and wait until it has to be validated."""
    assert (await target.get()).cache_status.endswith("; stored")
    target.clock.advance(20)
