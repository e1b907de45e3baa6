"""The reference: what a cache may and must do by RFC 9111, 9110, 5861 and 9213. Slow, and obviously right.

It keeps every response it ever heard of, looks at all of them for every question, and answers each question
with a sentence of an RFC or with one of our own choices, which are named so: OURS.
It shares nothing with the cache, and reads only what the tests generate (see `rfc_messages`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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

__all__ = ["Decision", "Reference"]

NO, MAY, MUST = Verdict.NO, Verdict.MAY, Verdict.MUST

UNDERSTOOD: Final = {200, 203, 204, 206, 300, 301, 302, 304, 307, 308, 404, 405, 410, 414, 500, 501, 503}
SAFE: Final = {"GET", "HEAD", "OPTIONS", "TRACE"}  # RFC 9110 section 9.2.1
PRECONDITIONS: Final = ("if-match", "if-unmodified-since")
SECRETS: Final = ("cookie", "x-api-key")
HOP_BY_HOP: Final = {"connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"}


@dataclass
class Decision:
    """What may happen to a request before the application is asked."""

    serve: dict[Stored, Verdict]
    """What may be served as it is stored."""
    served: bool
    """It must be answered with that."""
    validate: Stored | None
    """What has to be validated, if the application is asked."""
    stand_in: dict[Stored, Verdict]
    """What may be served if the application fails."""
    rescued: bool
    """It must then be answered with that."""
    only_if_cached: bool
    reasons: set[str]
    """What Cache-Status may give as the reason for asking the application (RFC 9211 section 2.2)."""


class Reference(Reading):
    """A cache that remembers everything and decides nothing by itself."""

    def __init__(self, config: HTTPConfig) -> None:
        super().__init__(config)
        self.stored: list[Stored] = []
        self.varies: dict[str, set[str]] = {}
        """All that responses of a URL have named in Vary."""

    # -- section 3: what may be stored ------------------------------------------------------------------

    def storing(self, request: Request, response: Response) -> Verdict:
        """Whether a response is stored."""
        control = self.control(response)
        if not self._represents(request, response):
            return NO
        if not response.complete or response.status == 304:
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
        if validator or (fresh and "no-cache" not in control):
            return MUST
        return MAY if windows or fresh or self.config.stale_on_error else NO

    def may_have(self, request: Request, response: Response, *more: str) -> bool:
        """Whether whoever sends ``request`` may share ``response`` with others; asked of both sides.

        Args:
            request: One that led to the response, or that it could answer.
            response: The response.
            more: Directives that allow it to those who are authenticated.
        """
        if not self.shared:
            return True
        # Section 3.5, for storing. OURS: the same for being answered with what is stored.
        known = request.get("authorization") is not None
        if known and not self.explicitly_shared(response, "must-revalidate", *more):
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
        varies = self.varies.get(stored.request.url, set())
        same = all(stored.request.get(name) == request.get(name) for name in varies)
        return stored.certain and same and self.may_have(request, stored.response)

    def of(self, url: str) -> list[Stored]:
        """Return everything of a URL that was not invalidated."""
        return [stored for stored in self.stored if stored.request.url == url and not stored.invalid]

    def matching(self, request: Request) -> list[Stored]:
        """Return all that could be chosen, in order of arrival."""
        return [
            stored
            for stored in self.of(request.url)
            if self.same_variant(stored, request)
            # OURS: where the RFC would let anything answer, proxy-revalidate may do as well.
            and self.may_have(request, stored.response, "proxy-revalidate")
        ]

    def whole(self, request: Request) -> list[Stored]:
        """Return those of them that are complete, also by combination."""
        found = self.matching(request)
        return [stored for stored in found if stored.response.status != 206] + list(combined(found))

    def newest(self, request: Request) -> list[Stored]:
        """Return those of which one has to be chosen.

        Section 4: "a cache MUST use the most recent one (as determined by the Date header field)". A cache
        may forget, so the last to arrive will do too; and what may not have been stored hides nothing.
        Section 4.1: one with a Vary "SHOULD" be preferred to one without.
        """
        found = self.whole(request)
        chosen: list[Stored] = []
        for stored in reversed(found):
            chosen.append(stored)
            if self.surely(stored, request):
                break
        varied = [stored for stored in found if stored.response.get("vary")]
        for some in (found, varied):
            if some:
                latest = max(some, key=lambda stored: (stored.response.dated, found.index(stored)))
                chosen += [latest, some[-1]]
        return list(dict.fromkeys(chosen))

    # -- section 4.2: whether one may be served as it is ------------------------------------------------

    def forbids_stale(self, response: Response) -> bool:
        """Section 4.2.4: "MUST NOT" where an explicit directive prohibits it."""
        forbidden = {"no-cache", "must-revalidate"}
        if self.shared:
            forbidden |= {"proxy-revalidate", "s-maxage"}
        return not forbidden.isdisjoint(self.control(response))

    def reuse(self, stored: Stored, request: Request, now: float) -> Verdict:
        """Whether it answers the request without validation."""
        response, asked = stored.response, self.asked(request)
        age, left = self.age(response, now), self.left(response, now)
        if "no-cache" in self.control(response):  # section 5.2.2.4
            return NO
        if "no-cache" in asked:  # section 5.2.1.4
            return NO
        if "max-age" in asked and age > int(asked["max-age"]):  # section 5.2.1.1
            return NO
        if "min-fresh" in asked and left < int(asked["min-fresh"]):  # section 5.2.1.3
            return NO
        verdict = MUST if left > 0 else self._stale(response, asked, -left)
        return verdict if self.surely(stored, request) else min(verdict, MAY)

    def _stale(self, response: Response, asked: dict[str, str], stale_for: float) -> Verdict:
        if self.forbids_stale(response):
            return NO
        if "max-stale" in asked and (not asked["max-stale"] or stale_for <= int(asked["max-stale"])):
            return MUST if stale_for < self.keep else MAY  # section 5.2.1.2
        if not {"max-age", "min-fresh"}.isdisjoint(asked):  # "does not wish to receive a stale response"
            return NO
        window = float(self.control(response).get("stale-while-revalidate", 0))  # RFC 5861 section 3
        return MUST if stale_for < window else MAY if stale_for == window > 0 else NO

    def stands_in(self, stored: Stored, request: Request, now: float) -> Verdict:
        """Whether it may answer in place of an error (section 4.3.3, RFC 5861 section 4)."""
        response, asked = stored.response, self.asked(request)
        stale_for = -self.left(response, now)
        if self.forbids_stale(response) and (stale_for >= 0 or "no-cache" in self.control(response)):
            return NO
        if stale_for < 0:
            return MAY
        stated = self.control(response).get("stale-if-error", "0")
        window = max(float(stated), float(asked.get("stale-if-error") or 0))
        if stale_for > window and not self.config.stale_on_error:
            return NO
        surely = stale_for < float(stated) or (self.config.stale_on_error and stale_for < self.keep)
        return MUST if surely and self.surely(stored, request) and not asked else MAY

    # -- the decision -----------------------------------------------------------------------------------

    def decide(self, request: Request, now: float) -> Decision:
        """Return what may happen."""
        if request.method not in ("GET", "HEAD"):
            return Decision({}, False, None, {}, False, False, {"method", "bypass"})
        newest = [] if request.body else self.newest(request)
        serve = {stored: self.reuse(stored, request, now) for stored in newest}
        served = _all_must(serve)
        parts = [stored for stored in self.matching(request) if stored.response.status == 206]
        serve |= {stored: min(MAY, self.reuse(stored, request, now)) for stored in parts}
        stand_in = {stored: self.stands_in(stored, request, now) for stored in newest}
        preconditions = any(request.get(name) is not None for name in PRECONDITIONS)
        return Decision(
            serve={stored: verdict for stored, verdict in serve.items() if verdict},
            served=served and not preconditions,  # RFC 9110 section 13.1.1: they may be passed on
            validate=self._validated(newest, request, now),
            stand_in={stored: verdict for stored, verdict in stand_in.items() if verdict},
            rescued=_all_must(stand_in) and not preconditions,
            only_if_cached="only-if-cached" in self.asked(request) and not preconditions and not request.body,
            reasons=self._reasons(request, now),
        )

    def _validated(self, newest: list[Stored], request: Request, now: float) -> Stored | None:
        """Section 4.3.1: the validators of what is stored SHOULD be sent, if it can be used then."""
        if len(newest) != 1 or not self.surely(newest[0], request) or request.body or request.method != "GET":
            return None
        others = ("range", "if-none-match", "if-modified-since", *PRECONDITIONS)
        if "no-store" in self.asked(request) or any(request.get(name) is not None for name in others):
            return None
        return newest[0] if self.kept(newest[0], now) else None

    def kept(self, stored: Stored, now: float) -> bool:
        """Whether it is surely still there. OURS: not for ever, but as long as it may be served stale."""
        control = self.control(stored.response)
        windows = (float(control.get(name, 0)) for name in ("stale-while-revalidate", "stale-if-error"))
        return -self.left(stored.response, now) < max(self.keep, *windows)

    def _reasons(self, request: Request, now: float) -> set[str]:
        """RFC 9211 section 2.2; "miss" and "bypass" are always true in some reading, if not the best."""
        found, known = self.matching(request), self.of(request.url)
        reasons = {"miss", "bypass"}
        if not any(stored.certain and self.kept(stored, now) for stored in known):
            reasons.add("uri-miss")
        if known and not any(self.surely(stored, request) and self.kept(stored, now) for stored in found):
            reasons.add("vary-miss")
        if any(
            self.left(stored.response, now) <= 0 or "no-cache" in self.control(stored.response)
            for stored in found
        ):
            reasons.add("stale")
        if any(self.left(stored.response, now) > 0 for stored in found):
            reasons.add("request")
        return reasons

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
        if verdict and self._varies_by_more(request.url, response):
            verdict = MAY
        if verdict is MAY and claimed is not None:
            verdict = MUST if claimed else NO
        if request.method == "GET" and not (response.failed and verdict is NO):
            # Of what is older a cache may keep what it likes, whether it keeps this or not.
            for stored in self.matching(request):
                stored.certain = False
        if verdict is not NO:
            self.stored.append(Stored(request, response, certain=verdict is MUST))

    def _varies_by_more(self, url: str, response: Response) -> bool:
        """OURS: where a response names more than was known, the URL starts over, with all the names."""
        names = {name.lower() for name in items(response.get("vary"))}
        known = self.varies.setdefault(url, set())
        more = bool(known) and not names <= known
        if more:
            for stored in self.of(url):
                stored.certain = False
        known |= names
        return more

    def _seen_by_head(self, request: Request, response: Response) -> None:
        """Section 4.3.5: a HEAD's 200 SHOULD update what it fits; what it does not fit SHOULD be stale."""
        for stored in self.matching(request):
            stored.certain = False
            same = (response.etag, response.modified) == (stored.response.etag, stored.response.modified)
            if same and response.get("content-length") in (None, str(len(stored.response.body))):
                updated = self._updated(stored, request, response)
                updated.certain = False
                self.stored.append(updated)

    def freshened(self, request: Request, response: Response) -> list[Stored]:
        """Take note of a 304 and return what it says is good (section 4.3.4); the first is the best."""
        known = [stored for stored in self.stored if stored.request.url == request.url]
        named = [stored for stored in known if self._named(stored.response, response)]
        fresh: list[Stored] = []
        for stored in reversed(named):
            updated = self._updated(stored, request, response)
            fresh.append(updated)
            if stored.invalid:
                continue
            # The response it is now is held to section 3 like any other.
            anyone = self.storing(Request("GET", request.url), updated.response)
            this = self.storing(replace(request, method="GET"), updated.response)
            if anyone is NO or this is not NO:
                self.stored.remove(stored)
            if this is not NO:
                updated.certain = updated.certain and this is MUST
                self.stored.append(updated)
            stored.certain = False
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


def _all_must(verdicts: dict[Stored, Verdict]) -> bool:
    """Whatever a cache has chosen to keep, it comes to the same."""
    return bool(verdicts) and all(verdict is MUST for verdict in verdicts.values())
