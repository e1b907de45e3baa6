"""What a request with an unsafe method makes worthless (RFC 9111 section 4.4)."""

from __future__ import annotations

import re
from typing import Final

from asynccache.http._rfc9111.fields import Headers, field_values

__all__ = ["SAFE", "UNSAFE", "invalidates", "is_unsafe", "same_origin_targets"]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH"})
"""Methods registered as safe (RFC 9110 sections 9.2.1 and 16.1.1)."""
UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""The unsafe methods in common use; `is_unsafe` knows that there are more."""

_PORTS: Final = {b"http": b":80", b"https": b":443"}
_NOT_IN_URI: Final = re.compile(rb"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*):")


def is_unsafe(method: str) -> bool:
    """Return whether a method may change something; an unknown one may (RFC 9111 section 4.4)."""
    return method not in SAFE


def invalidates(method: str, status: int) -> bool:
    """Return whether a request invalidates its URI: unsafe, answered 2xx or 3xx (RFC 9111 section 4.4)."""
    return 200 <= status < 400 and is_unsafe(method)


def same_origin_targets(
    headers: Headers, scheme: str, authority: bytes, path: bytes, query: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """Return raw path and query of what Location and Content-Location name, each once (RFC 9111 section 4.4).

    They are resolved against the request's URI (RFC 3986 section 5.2). Other origins are left out,
    since else one site could empty another's cache; so is what is no URI.

    Args:
        headers: The response's fields.
        scheme: The request's scheme.
        authority: Its Host, with the port if it has one.
        path: Its raw path.
        query: Its raw query string.
    """
    base = scheme.lower().encode("latin-1", "replace")
    found: dict[tuple[bytes, bytes], None] = {}
    for name in (b"location", b"content-location"):
        for value in field_values(headers, name):
            target = _resolve(value.strip(), base, authority, path, query)
            if target is not None:
                found[target] = None
    return list(found)


def _resolve(
    reference: bytes, scheme: bytes, authority: bytes, path: bytes, query: bytes
) -> tuple[bytes, bytes] | None:
    if _NOT_IN_URI.search(reference):
        return None
    rest = reference.partition(b"#")[0]
    if match := _SCHEME.match(rest):
        rest = rest[match.end() :]
        if match[1].lower() != scheme or not rest.startswith(b"//"):
            return None
    if rest.startswith(b"//"):
        host, rest = _cut(rest[2:])
        if _host(host, scheme) != _host(authority, scheme):
            return None
        rest = rest if rest.startswith(b"/") else b"/" + rest
    wanted, mark, wanted_query = rest.partition(b"?")
    if not wanted:
        return path, wanted_query if mark else query
    if not wanted.startswith(b"/"):
        wanted = path[: path.rfind(b"/") + 1] + wanted
    return _without_dots(wanted), wanted_query


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Split what follows ``//`` into authority and the rest."""
    ends = [at for at in (text.find(b"/"), text.find(b"?")) if at >= 0]
    return (text[: min(ends)], text[min(ends) :]) if ends else (text, b"")


def _host(authority: bytes, scheme: bytes) -> bytes:
    return authority.lower().removesuffix(_PORTS.get(scheme, b":")).removesuffix(b":")


def _without_dots(path: bytes) -> bytes:
    """Remove dot segments from an absolute path (RFC 3986 section 5.2.4)."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
