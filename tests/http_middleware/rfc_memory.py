"""What a cache may have stored by now (RFC 9111 sections 3, 4.1, 4.3.4, 4.3.5 and 4.4).

OURS marks our own choices, which are stricter than the RFCs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from asynccache import HTTPConfig
from tests.http_middleware.rfc_answers import combined
from tests.http_middleware.rfc_messages import (
    Fields,
    Request,
    Response,
    Stored,
    Verdict,
    bare,
    items,
    without,
)
from tests.http_middleware.rfc_reading import Reading

__all__ = ["PRECONDITIONS", "Memory"]

NO, MAY, MUST = Verdict.NO, Verdict.MAY, Verdict.MUST

UNDERSTOOD: Final = {200, 203, 204, 206, 300, 301, 302, 304, 307, 308, 404, 405, 410, 414, 500, 501, 503}
SAFE: Final = {"GET", "HEAD", "OPTIONS", "TRACE"}  # RFC 9110 section 9.2.1
PRECONDITIONS: Final = ("if-match", "if-unmodified-since")
SECRETS: Final = ("cookie", "x-api-key")
HOP_BY_HOP: Final = {"connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"}


class Memory(Reading):
    """All that was ever stored, or may have been."""

    def __init__(self, config: HTTPConfig) -> None:
        super().__init__(config)
        self.stored: list[Stored] = []
        self.varies: dict[str, list[set[str]]] = {}
        """What each response of a URL has named in Vary."""

    # -- section 3: what may be stored ------------------------------------------------------------------

    def storing(self, request: Request, response: Response) -> Verdict:
        """Whether a response is stored."""
        control = self.control(response)
        if not self._represents(request, response):
            return NO
        if not response.complete or response.status in (304, 416):  # OURS: a 416 is about one request
            return NO
        if any(request.get(name) is not None for name in PRECONDITIONS):  # OURS: the origin's alone
            return min(MAY, self.storing(without(request, PRECONDITIONS), response))
        if response.status == 206:  # section 3.3: as the 200 it is a part of would be, or not at all
            return min(MAY, self.storing(request, replace(response, status=200)))
        if "must-understand" in control:  # section 5.2.2.3
            if response.status not in UNDERSTOOD:
                return NO
        elif "no-store" in control:  # section 5.2.2.5
            return NO
        if "no-store" in self.asked(request):  # section 5.2.1.5
            return NO
        if self.shared and "private" in control:  # section 5.2.2.7
            return NO
        if response.get("set-cookie") is not None and not self.config.store_set_cookie:  # OURS
            return NO
        if not self.may_have(request, response):
            return NO
        if self.explicit(response) is None and self.heuristic(response) is None:
            # OURS: not stored, unless a directive says that it may be, or that it is validated each time
            said = {"no-cache", "s-maxage" if self.shared else "private"}
            return NO if said.isdisjoint(control) else min(MAY, self._useful(response, control))
        if "*" in items(response.get("vary")):  # section 4.1: never matches
            return MAY
        return self._useful(response, control)

    def _represents(self, request: Request, response: Response) -> bool:
        """Whether the response is what a GET would get."""
        if request.method == "POST":  # RFC 9110 section 9.3.3: if it says so, and how long it is fresh
            itself = response.status == 200 and response.get("content-location") == request.url
            return itself and self.explicit(response) is not None
        return request.method == "GET" and not request.body  # OURS: one with a body is nobody else's

    def _useful(self, response: Response, control: dict[str, str]) -> Verdict:
        """OURS: what can never be used is not stored."""
        validator = response.etag is not None or response.modified is not None
        fresh = self.left(response, response.response_time) > 0
        windows = not {"stale-while-revalidate", "stale-if-error"}.isdisjoint(control)
        if -self.left(response, response.response_time) >= max(self.keep, *self._windows(control)):
            return NO  # OURS: it would be gone at once
        if validator or (fresh and "no-cache" not in control):
            return MUST
        return MAY if windows or fresh or self.config.stale_on_error else NO

    def may_have(self, request: Request, response: Response) -> bool:
        """Whether whoever sends ``request`` may share ``response`` with others; asked of both sides.

        Args:
            request: One that led to the response, or that it could answer.
            response: The response.
        """
        if not self.shared:
            return True
        # Section 3.5, for storing. OURS: the same for being answered with what is stored.
        known = request.get("authorization") is not None
        if known and not self.explicitly_shared(response, "must-revalidate"):
            return False
        if self.config.share_with_cookies or self.explicitly_shared(response):
            return True
        # OURS: whoever sends a cookie or a key may be somebody.
        varies = [name.lower() for name in items(response.get("vary"))]
        return all(request.get(name) is None or name in varies for name in SECRETS)

    # -- section 4.1: which stored responses could be chosen --------------------------------------------

    @staticmethod
    def same_variant(stored: Stored, request: Request) -> bool:
        """All fields that the stored Vary nominates are those of the request it was stored for."""
        varies = [name.lower() for name in items(stored.response.get("vary"))]
        return all(name != "*" and stored.request.get(name) == request.get(name) for name in varies)

    def surely(self, stored: Stored, request: Request) -> bool:
        """Whether it must be found for a request. OURS: a URL varies by all its responses have named."""
        varies = self.varies.get(stored.request.url, [])
        same = all(stored.request.get(name) == request.get(name) for name in set[str]().union(*varies))
        return stored.certain and same and self.may_have(request, stored.response)

    def of(self, url: str) -> list[Stored]:
        """Return everything of a URL that was not invalidated."""
        return [stored for stored in self.stored if stored.request.url == url and not stored.invalid]

    def matching(self, request: Request) -> list[Stored]:
        """Return all that could be chosen, in order of arrival."""
        return [
            stored
            for stored in self.of(request.url)
            if self.same_variant(stored, request) and self.may_have(request, stored.response)
        ]

    def whole(self, request: Request) -> list[Stored]:
        """Return those of them that are complete."""
        return [stored for stored in self.matching(request) if stored.response.status != 206]

    def kept(self, stored: Stored, now: float) -> bool:
        """Whether it is surely still there. OURS: not for ever, but as long as it may be served stale."""
        control = self.control(stored.response)
        return -self.left(stored.response, now) < max(self.keep, *self._windows(control))

    @staticmethod
    def _windows(control: dict[str, str]) -> list[float]:
        return [float(control.get(name, 0)) for name in ("stale-while-revalidate", "stale-if-error")]

    # -- what is learned from an answer -----------------------------------------------------------------

    def received(self, request: Request, response: Response, *, claimed: bool | None) -> None:
        """Take note of a response that answers ``request`` by itself.

        Args:
            request: The client's request.
            response: What the application answered to it.
            claimed: What Cache-Status says about storing; it settles what the cache was free to decide.
        """
        if request.method == "HEAD" and response.status == 200:
            self._seen_by_head(request, response)
        verdict = self.storing(request, response)
        if verdict:
            if self.varies_by_more(request.url, response):
                verdict = MAY
                for stored in self.of(request.url):
                    stored.certain = False
            self.varies.setdefault(request.url, []).append(_names(response))
        if verdict is MAY and claimed is not None:
            verdict = MUST if claimed else NO
        if request.method == "GET" and not (response.failed and verdict is NO):
            # Of what is older a cache may keep what it likes, whether it keeps this or not.
            for stored in self.of(request.url):
                stored.certain = stored.certain and not self.same_variant(stored, request)
        if verdict is not NO:
            self.stored.append(Stored(request, response, certain=verdict is MUST))
        if verdict is not NO and response.status == 206:
            parts = [stored for stored in self.of(request.url) if self.same_variant(stored, request)]
            self.stored += combined(parts)

    def varies_by_more(self, url: str, response: Response) -> bool:
        """OURS: where a response names more than was known, the URL starts over, with all the names.

        What is known is what one of those before it has named: which of them, depends on what is still kept.
        """
        names = _names(response)
        return any(not names <= before for before in self.varies.get(url, ()) if before)

    def _seen_by_head(self, request: Request, response: Response) -> None:
        """Section 4.3.5: a HEAD's 200 SHOULD update what it fits; what it does not fit SHOULD be stale.

        OURS: it fits by its validators, not by having none: a page may change and keep its length.
        """
        for stored in self.matching(request):
            stored.certain = False
            old = stored.response
            pairs = ((response.etag, old.etag), (response.modified, old.modified))
            received = [(new, was) for new, was in pairs if new is not None]
            same = bool(received) and all(new == was for new, was in received)
            if same and response.get("content-length") in (None, str(len(old.body))):
                updated = self._updated(stored, request, response)
                updated.certain = False
                self.stored.append(updated)

    def freshened(self, request: Request, response: Response, *, aside: bool = False) -> list[Stored]:
        """Take note of a 304 and return what it says is good (section 4.3.4); the first is the best.

        Args:
            request: The client's request.
            response: The 304.
            aside: The cache may have asked without a thought of what it has.
        """
        known = [stored for stored in self.stored if stored.request.url == request.url]
        named = [stored for stored in known if self._named(stored.response, response)]
        fresh: list[Stored] = []
        aside = aside or request.method == "HEAD" or bool(request.body)
        aside = aside or any(request.get(name) is not None for name in PRECONDITIONS)
        for stored in reversed(named):
            updated = self._updated(stored, request, response)
            fresh.append(updated)
            if stored.invalid:
                continue
            # The response it is now is held to section 3 like any other.
            anyone = self.storing(Request("GET", request.url), updated.response)
            this = self.storing(replace(request, method="GET"), updated.response)
            stored.certain = False
            another = not self.same_variant(stored, request)
            if aside or another or not self.kept(stored, response.request_time):
                updated.certain = False  # it may be just the client's own copy that is good
            elif anyone is NO or this is not NO:
                self.stored.remove(stored)
            if this is not NO:
                updated.certain = updated.certain and this is MUST
                self.stored.append(updated)
        return fresh

    @staticmethod
    def _named(stored: Response, response: Response) -> bool:
        if response.etag is not None:
            return stored.etag is not None and bare(stored.etag) == bare(response.etag)
        return response.modified is not None and stored.modified == response.modified

    def _updated(self, stored: Stored, request: Request, response: Response) -> Stored:
        """Section 3.2: each field of the new response replaces those of its name, but for Content-Length."""
        new: Fields = tuple(
            (name, value)
            for name, value in response.fields
            if name not in {"content-length", "set-cookie", *HOP_BY_HOP}
        )
        # Age and Date belong to a message: they are those of the new one, or of its arrival.
        replaced = {name for name, _ in new} | {"age", "date"}
        fields = tuple(pair for pair in stored.response.fields if pair[0] not in replaced) + new
        times = (response.request_time, response.response_time)
        updated = replace(stored.response, fields=fields, request_time=times[0], response_time=times[1])
        same = self.same_variant(stored, request)
        return Stored(stored.request if same else request, updated, certain=stored.certain and same)

    def invalidated(self, request: Request, response: Response, hosts: Iterable[str]) -> None:
        """Section 4.4: a successful unsafe request invalidates its URI and what it names of its origin."""
        if request.method in SAFE or not 200 <= response.status < 400:
            return
        named = {request.url}
        for value in filter(None, (response.get("location"), response.get("content-location"))):
            for origin in hosts:
                if value.startswith(origin):
                    named.add(value.removeprefix(origin))
            if value.startswith("/"):
                named.add(value)
        for stored in self.stored:
            stored.invalid = stored.invalid or stored.request.url in named


def _names(response: Response) -> set[str]:
    return {name.lower() for name in items(response.get("vary"))}
