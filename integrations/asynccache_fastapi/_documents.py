"""What the cache adds to responses, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import fastapi

from asynccache import CachePolicy
from asynccache_fastapi._arming import CACHED_METHODS, contexts
from asynccache_fastapi._control import control_in
from asynccache_starlette._endpoints import can_inherit, policy_of

__all__ = ["describe_cache", "document_cache", "policy_in_force"]

_FIELDS: Final = {
    "Cache-Control": ("string", "How long a client may keep the response."),
    "ETag": ("string", "Identifies the content, for If-None-Match."),
    "Age": ("integer", "Seconds since the response was made; absent if that was now."),
    "Cache-Status": ("string", "What the cache did (RFC 9211)."),
}
_NOT_MODIFIED: Final = "Not Modified: the response that the client has is still good"


def document_cache(app: fastapi.FastAPI, *, status: bool = True) -> None:
    """Describe in the OpenAPI document of a plain FastAPI application what the cache adds to responses.

    `asynccache_fastapi.FastAPI` does so by itself.

    Args:
        app: The application.
        status: Its cache sends Cache-Status.
    """
    make = app.openapi
    described: object = None

    def openapi() -> dict[str, Any]:
        nonlocal described
        document = make()
        if document is not described:
            describe_cache(document, app.routes, status=status)
            described = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI says it is to be extended


def policy_in_force(context: Any) -> CachePolicy | None:
    """Return the policy of an operation, None if it is not cached."""
    if CACHED_METHODS.isdisjoint(context.methods):
        return None
    own = policy_of(context.endpoint)
    if own is not None:
        return own
    control = control_in(context.dependencies)
    return control.policy if control is not None and can_inherit(context.endpoint) else None


def describe_cache(document: dict[str, Any], routes: Iterable[Any], *, status: bool) -> None:
    """Add to an OpenAPI document what the cache adds to responses of cached routes.

    Args:
        document: The document.
        routes: The application's routes.
        status: There is a Cache-Status field.
    """
    for context in contexts(routes):
        policy = policy_in_force(context)
        operations = document.get("paths", {}).get(context.path_format, {})
        if policy is None or not context.include_in_schema:
            continue
        for method in CACHED_METHODS & context.methods:
            if method.lower() in operations:
                _describe(operations[method.lower()]["responses"], policy, status=status)


def _describe(responses: dict[str, Any], policy: CachePolicy, *, status: bool) -> None:
    names = [name for name in _FIELDS if status or name != "Cache-Status"]
    for code, response in list(responses.items()):
        if code.isdecimal() and int(code) in frozenset(policy.statuses):
            _add(response, [name for name in names if name != "ETag" or code == "200"])
    if "200" in responses and 200 in frozenset(policy.statuses):
        _add(responses.setdefault("304", {"description": _NOT_MODIFIED}), names)


def _add(response: dict[str, Any], names: list[str]) -> None:
    headers = response.setdefault("headers", {})
    described = {name.lower() for name in headers}
    for name in names:
        if name.lower() not in described:
            kind, description = _FIELDS[name]
            headers[name] = {"description": description, "schema": {"type": kind}}
