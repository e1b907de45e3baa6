"""Which fields of a message end at this hop, and which requests are none that can be passed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from typing import Any, Final

__all__ = [
    "Headers",
    "dated",
    "end_to_end",
    "has_content",
    "last_hop",
    "one_hop_less",
    "refusal",
    "repeatable",
    "sendable",
    "unframed",
    "via",
]

Headers = list[tuple[bytes, bytes]]

_PSEUDONYM: Final = b"asynccache"
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_ONE_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    }
)
_INDISPENSABLE: Final = _FRAMING | {b"host"}
"""No option of Connection takes these away."""
_COUNTED: Final = frozenset({"OPTIONS", "TRACE"})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the fields that are for more than one hop, and those that frame the content (RFC 9110 7.6.1)."""
    lines = [(name.lower(), value) for name, value in headers]
    dropped = _ONE_HOP | (frozenset(_members(lines, b"connection")) - _INDISPENSABLE)
    return [line for line in lines if line[0] not in dropped]


def one_hop_less(method: str, headers: Headers) -> Headers:
    """Return the fields of a request with its Max-Forwards counted down (RFC 9110 7.6.2)."""
    if method not in _COUNTED:
        return headers
    return [
        (name, b"%d" % (int(value) - 1) if name == b"max-forwards" and value.isdigit() else value)
        for name, value in headers
    ]


def sendable(headers: Iterable[tuple[bytes, bytes]], status: int) -> Headers:
    """Return the fields of an origin's response for the next hop, with a date (RFC 9110 6.6.1).

    A length is left out where the response had other framing (RFC 9112 6.3), or can have no content at all.
    """
    kept = end_to_end(headers)
    names = {name for name, _ in kept}
    dropped = {b"transfer-encoding"}
    if b"transfer-encoding" in names or status == 204:
        dropped.add(b"content-length")
    return dated([line for line in kept if line[0] not in dropped])


def unframed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the fields of an interim response for the next hop: it ends with its head (RFC 9110 15.2)."""
    return [line for line in end_to_end(headers) if line[0] not in _FRAMING]


def last_hop(headers: Iterable[tuple[bytes, bytes]], status: int) -> Headers:
    """Return the fields of a response as servers can send them: not all know a 304 with a length."""
    return dated([line for line in headers if status != 304 or line[0] != b"content-length"])


def dated(headers: Headers) -> Headers:
    """Return the fields of a response with the time, unless they have one."""
    if any(name == b"date" for name, _ in headers):
        return headers
    return [*headers, (b"date", formatdate(usegmt=True).encode())]


def via(version: str) -> tuple[bytes, bytes]:
    """Return the field that says that a message in HTTP ``version`` came through here (RFC 9110 7.6.3)."""
    return b"via", version.encode() + b" " + _PSEUDONYM


def has_content(headers: Headers) -> bool:
    """Return whether a request has content (RFC 9112 6)."""
    return any(name in _FRAMING for name, _ in headers)


def repeatable(method: str, headers: Headers) -> bool:
    """Return whether a request may be sent a second time if nobody knows what became of the first."""
    return method in _IDEMPOTENT and not has_content(headers)


def refusal(scope: Any) -> tuple[int, str] | None:
    """Return status and reason, for a request that must not be passed on."""
    headers: Headers = scope["headers"]
    method, target = scope["method"], scope["raw_path"]
    if method == "CONNECT":
        return 501, "This is no proxy for CONNECT."
    if b"websocket" in _members(headers, b"upgrade"):
        return 501, "WebSockets do not pass."
    if not (target.startswith(b"/") or (target == b"*" and method == "OPTIONS")):
        return 400, "The target is not a path."
    if method in _COUNTED and _values(headers, b"max-forwards") == [b"0"]:
        return (200 if method == "OPTIONS" else 501), "This is a gateway."
    hosts = _values(headers, b"host")
    if len(hosts) > 1 or (not hosts and scope["http_version"] == "1.1"):
        return 400, "There must be one Host."
    return _smuggling(scope["http_version"], headers)


def _smuggling(version: str, headers: Headers) -> tuple[int, str] | None:
    """Refuse what two servers in a row can read as two different messages (RFC 9112 6.1, 6.3, 11.2)."""
    lengths, codings = _values(headers, b"content-length"), _members(headers, b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings) or (codings and version == "1.0"):
        return 400, "The length of the content is ambiguous."
    if lengths and not (lengths[0].isascii() and lengths[0].isdigit()):
        return 400, "The length of the content is no number."
    if codings not in ([], [b"chunked"]):
        return 501, "Of transfer codings, only chunked is known."
    return None


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Sequence[bytes]:
    return [value for key, value in headers if key == name]


def _members(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the members of a list, which may be spread over several lines."""
    return [member.strip().lower() for value in _values(headers, name) for member in value.split(b",")]
