"""What messages say to this cache: their directives, and how fresh they are (RFC 9111 section 4.2)."""

from __future__ import annotations

from typing import Final

from asynccache import HTTPConfig
from tests.http_middleware.rfc_messages import Request, Response, directives, moment

__all__ = ["Reading"]

HEURISTIC: Final = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}  # RFC 9110 section 15.1


class Reading:
    """How a cache with these switches reads messages."""

    def __init__(self, config: HTTPConfig) -> None:
        self.config = config
        self.shared = not config.private
        assert isinstance(config.keep_stale, float)
        self.keep = config.keep_stale

    def control(self, response: Response) -> dict[str, str]:
        """Return the directives that this cache follows.

        RFC 9213 section 2.2: the first field of the target list that is there counts, Cache-Control and
        Expires do not. OURS: a private cache is none of those that they speak to.
        """
        return directives(response.get(self._speaker(response)))

    def _speaker(self, response: Response) -> str:
        targets = self.config.targeted if self.shared else ()
        return next((name for name in targets if response.get(name)), "cache-control")

    def explicit(self, response: Response) -> float | None:
        """Return the stated freshness lifetime (RFC 9111 section 4.2.1); None where none is stated."""
        control = self.control(response)
        if self.shared and "s-maxage" in control:
            return float(control["s-maxage"])
        if "max-age" in control:
            return float(control["max-age"])
        expires = response.get("expires")
        if expires is not None and self._speaker(response) == "cache-control":
            # Section 5.3: an invalid date, "0" in particular, is in the past.
            until = moment(expires)
            return 0.0 if until is None else max(0.0, until - response.dated)
        return None

    def heuristic(self, response: Response) -> float | None:
        """Return a tenth of the time since Last-Modified, a day at most (section 4.2.2), where allowed.

        OURS: it is where the switch is on and the status allows it, or where the response says ``public``,
        which makes it cacheable whatever else it says (section 5.2.2.9).
        """
        switched = self.config.heuristic and response.status in HEURISTIC
        if not switched and "public" not in self.control(response):
            return None
        if response.modified is None:
            return 0.0
        since = response.dated - (moment(response.modified) or response.dated)
        return min(max(0.0, since / 10), 86_400.0)

    def lifetime(self, response: Response) -> float:
        """Return how long it is fresh; 0 where nothing says so."""
        explicit = self.explicit(response)
        return (self.heuristic(response) or 0.0) if explicit is None else explicit

    @staticmethod
    def age(response: Response, now: float) -> float:
        """Return its age by section 4.2.3, line by line."""
        age_value = float(response.get("age") or 0)
        apparent_age = max(0.0, response.response_time - response.dated)
        response_delay = response.response_time - response.request_time
        corrected_age_value = age_value + response_delay
        corrected_initial_age = max(apparent_age, corrected_age_value)
        resident_time = max(0.0, now - response.response_time)  # OURS: a clock set back makes nothing younger
        return corrected_initial_age + resident_time

    def left(self, response: Response, now: float) -> float:
        """Return its remaining freshness; 0 or less once it is stale (section 4.2)."""
        return self.lifetime(response) - self.age(response, now)

    def explicitly_shared(self, response: Response, *more: str) -> bool:
        """It says itself that others may have it (sections 3.5, 5.2.2.9, 5.2.2.10)."""
        return not {"public", "s-maxage", *more}.isdisjoint(self.control(response))

    def asked(self, request: Request) -> dict[str, str]:
        """Return the client's directives; OURS: a switch lets the cache ignore them."""
        return request.control if self.config.honour_client_directives else {}
