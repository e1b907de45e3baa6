"""The reference: what a cache may and must do by RFC 9111, 9110, 5861 and 9213. Slow, and obviously right.

It keeps every response it ever heard of, looks at all of them for every question, and answers each question
with a sentence of an RFC or with one of our own choices, which are named so: OURS.
It shares nothing with the cache, and reads only what the tests generate (see `rfc_messages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.http_middleware.rfc_memory import PRECONDITIONS, Memory
from tests.http_middleware.rfc_messages import (
    Request,
    Response,
    Stored,
    Verdict,
)

__all__ = ["Decision", "Reference"]

NO, MAY, MUST = Verdict.NO, Verdict.MAY, Verdict.MUST
INSTANT: Final = 1e-6
"""Seconds to which sums of times of day are exact: nobody can say which of what is nearer comes first."""


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


class Reference(Memory):
    """A cache that remembers everything and decides nothing by itself."""

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
        excess = [-1.0]
        if "max-age" in asked:  # section 5.2.1.1
            excess.append(age - int(asked["max-age"]))
        if "min-fresh" in asked:  # section 5.2.1.3
            excess.append(int(asked["min-fresh"]) - left)
        if max(excess) > INSTANT:
            return NO
        verdict = MUST if left > 0 else self._stale(response, asked, -left)
        sure = self.surely(stored, request) and max(excess) < -INSTANT
        return verdict if sure else min(verdict, MAY)

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
        rescued = _all_must(stand_in)
        stand_in |= {stored: min(MAY, self.stands_in(stored, request, now)) for stored in parts}
        preconditions = any(request.get(name) is not None for name in PRECONDITIONS)
        return Decision(
            serve={stored: verdict for stored, verdict in serve.items() if verdict},
            served=served and not preconditions,  # RFC 9110 section 13.1.1: they may be passed on
            validate=self._validated(newest, request, now),
            stand_in={stored: verdict for stored, verdict in stand_in.items() if verdict},
            rescued=rescued and not preconditions,
            only_if_cached="only-if-cached" in self.asked(request),
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

    def _reasons(self, request: Request, now: float) -> set[str]:
        """RFC 9211 section 2.2; "miss" and "bypass" are always true in some reading, if not the best."""
        found, known = self.matching(request), self.of(request.url)
        reasons = {"miss", "bypass"}
        if not any(stored.certain and self.kept(stored, now) for stored in known):
            reasons.add("uri-miss")
        # OURS: by what a URL varies is remembered for longer than what was stored.
        varied = bool(known) or any(self.varies.get(request.url, ()))
        if varied and not any(self.surely(stored, request) and self.kept(stored, now) for stored in found):
            reasons.add("vary-miss")
        if any(
            self.left(stored.response, now) <= 0 or "no-cache" in self.control(stored.response)
            for stored in found
        ):
            reasons.add("stale")
        if any(self.left(stored.response, now) > 0 for stored in found):
            reasons.add("request")
        if any(stored.response.status == 206 for stored in found):
            reasons.add("partial")
        return reasons


def _all_must(verdicts: dict[Stored, Verdict]) -> bool:
    """Whatever a cache has chosen to keep, it comes to the same."""
    return bool(verdicts) and all(verdict is MUST for verdict in verdicts.values())
