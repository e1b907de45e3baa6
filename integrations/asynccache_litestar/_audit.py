"""What can be seen to be wrong with a cached handler before the first request."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response, ServerSentEvent

from asynccache import CachePolicy
from asynccache.http import Reads

__all__ = ["audit", "check_tags"]

logger = logging.getLogger("asynccache")


def check_tags(handler: HTTPRouteHandler, policy: CachePolicy, path_parameters: Iterable[str]) -> None:
    """Refuse tags that name neither a path parameter nor an argument of the handler.

    Raises:
        ConfigurationError: such a tag.
    """
    policy.check_tags({*path_parameters, *handler.parsed_fn_signature.parameters})


def audit(handler: HTTPRouteHandler, policy: CachePolicy, reads: Reads) -> None:
    """Log what keeps every response of a handler out of the cache, and what nobody can know.

    Args:
        handler: The handler.
        policy: Its policy.
        reads: What it declares to read.
    """
    for name in reads.ever_new:
        logger.info(
            "%s: %s is a parameter, so each of its values has a response of its own; where it does not "
            "change the response, read it from request.headers instead",
            handler,
            name,
        )
    if reason := _hopeless(handler, policy):
        logger.warning("%s is not cached: %s", handler, reason)


def _hopeless(handler: HTTPRouteHandler, policy: CachePolicy) -> str | None:
    if any(not cookie.documentation_only for cookie in handler.resolve_response_cookies()):
        return "its response_cookies are for one client"
    for header in handler.resolve_response_headers():
        value = "" if header.documentation_only else str(header.value).lower()
        if header.name.lower() == "cache-control" and ("private" in value or "no-store" in value):
            return f"its own Cache-Control is {header.value}"
    data = not handler.parsed_return_field.is_subclass_of(Response)  # which has a status of its own
    if data and handler.http_methods <= {"GET", "HEAD"} and handler.status_code not in policy.statuses:
        return f"status {handler.status_code} is not among the policy's statuses"
    if handler.parsed_return_field.is_subclass_of(ServerSentEvent):
        return "server-sent events are produced for each client"
    csrf = handler.app.csrf_config
    exempt = csrf is not None and csrf.exclude_from_csrf_key in handler.opt
    told = policy.public or policy.cookies is not None or policy.vary_on is not None
    if csrf is not None and not exempt and not told:
        return (
            "CSRF protection gives every client a cookie, and any cookie bypasses the cache; set cookies=()"
        )
    return None
