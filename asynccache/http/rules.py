"""What a request asks for, and whether a cache may answer it: the request's half of the safety table.

Pure. Keys are built from what the server received, never from what a framework made of it: decoded
paths, ``request.url`` and parameter objects merge or split requests that an application tells apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote_plus, urlsplit

from asynccache.http._rfc9111.fields import Headers
from asynccache.http._rfc9111.invalidation import same_origin_targets
from asynccache.keys import call_key
from asynccache.policy import CachePolicy

__all__ = [
    "CREDENTIALS",
    "Asked",
    "Scope",
    "cookie_values",
    "examine",
    "filtered_query",
    "url_key",
    "user_key",
]

Scope = MutableMapping[str, Any]
"""An ASGI connection scope."""

OVERRIDES: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-host",
        b"x-http-host-override",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
"""Request fields that some applications and frameworks let override host, scheme, path or method."""

CREDENTIALS: Final = frozenset(
    {
        b"api-key",
        b"apikey",
        b"private-token",
        b"x-access-token",
        b"x-api-key",
        b"x-api-token",
        b"x-apikey",
        b"x-auth-token",
        b"x-authorization",
        b"x-session-token",
        b"x-token",
        b"x-user-token",
    }
)
"""Request fields in which applications take credentials, beside the two that RFCs know."""

_LOCATIONS: Final = frozenset({b"location", b"content-location"})
_CONDITIONAL: Final = frozenset({b"if-none-match", b"if-modified-since"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_OTHERS: Final = frozenset({b"authorization", b"connection", b"cookie", b"host"})
_NOTED: Final = OVERRIDES | CREDENTIALS | _CONDITIONAL | _FRAMING | _OTHERS
_OF_THE_CONNECTION: Final = frozenset({b"close", b"http2-settings", b"keep-alive", b"te", b"upgrade"})
"""What Connection usually names."""
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}
_PATH: Final = re.compile(rb"/[\x21-\x3e\x40-\x7e\x80-\xff]*\Z")
_QUERY: Final = re.compile(rb"[\x21-\x7e\x80-\xff]*\Z")


class Asked:
    """What is relevant of a request's head, read in one pass."""

    __slots__ = (
        "authorization",
        "conditional",
        "content",
        "cookies",
        "credentials",
        "host",
        "overrides",
        "url",
    )

    def __init__(self) -> None:
        self.authorization: bool = False
        self.conditional: bool = False
        """A 304 might be answer enough."""
        self.content: bool = False
        """It has a body, which is no part of any key, and by which an application may answer."""
        self.cookies: list[bytes] = []
        self.credentials: list[str] = []
        """Names of fields that are known to carry some, beside the two that the RFC knows."""
        self.overrides: dict[bytes, bytes] = {}
        self.host: str = ""
        self.url: str = ""
        """The key of the URL asked for; "" if there is none that can be trusted."""

    def unkeyed(self, scheme: str, vary: Sequence[str]) -> str | None:
        """Return an override field that may change the response without being part of the key."""
        for name, value in self.overrides.items():
            plain = name.decode("ascii")
            if plain in vary:
                continue
            harmless = (name == b"x-forwarded-host" and value.decode("latin-1").lower() == self.host) or (
                name in (b"x-forwarded-proto", b"x-forwarded-scheme")
                and value.decode("latin-1").lower() == scheme
            )
            if not harmless:
                return plain
        return None


def examine(scope: Scope) -> Asked:
    """Read a request's head once."""
    asked = Asked()
    hosts: list[bytes] = []
    for name, value in scope.get("headers", ()):
        if name not in _NOTED:
            continue
        if name == b"host":
            hosts.append(value)
        elif name == b"authorization":
            asked.authorization = True
        elif name == b"cookie":
            asked.cookies.append(value)
        elif name in CREDENTIALS:
            asked.credentials.append(name.decode("ascii"))
        elif name in _CONDITIONAL:
            asked.conditional = True
        elif name == b"connection":
            if _drops_fields(value):
                asked.overrides[name] = value
        elif name in _FRAMING:
            asked.content = asked.content or value != b"0"
        else:
            # Of several lines an application may read the first, the last or all: they must all be harmless.
            known = asked.overrides.get(name)
            asked.overrides[name] = value if known in (None, value) else b"%b,%b" % (known, value)
    if len(hosts) == 1:
        scheme = scope.get("scheme", "http")
        asked.host = _host(hosts[0], scheme)
        if asked.host:
            asked.url = url_key(scheme, asked.host, _raw_path(scope), scope.get("query_string", b""))
    return asked


@lru_cache(maxsize=64)
def _drops_fields(connection: bytes) -> bool:
    """Return whether Connection names fields that mean something to an application.

    A gateway does not pass those on (RFC 9110 section 7.6.1): it asks its origin for something else than we.
    """
    return not _OF_THE_CONNECTION.issuperset(
        name for part in connection.lower().split(b",") if (name := part.strip())
    )


@lru_cache(maxsize=1024)
def _host(value: bytes, scheme: str) -> str:
    """Return a Host in its normal form (RFC 9110 section 4.2.3), "" if it is not one plain host."""
    if not _HOST.match(value):
        return ""
    return value.decode("ascii").lower().removesuffix(_DEFAULT_PORT.get(scheme, ":"))


def _raw_path(scope: Scope) -> bytes:
    """Return the path as received; where a server does not tell, the decoded one is all there is."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe="/%").encode("ascii") if raw is None else raw


def url_key(scheme: str, host: str, path: bytes, query: bytes) -> str:
    """Return the name of a URL's entry, "" for one that no cache should hold.

    No path, host or query can pass for another: the length of the host is written out, and the first
    question mark ends the path. So the names of all URLs below a path begin in the same way.
    """
    if not _PATH.match(path) or not _QUERY.match(query):
        return ""
    return f"{scheme}:{len(host)}:{host}{path.decode('latin-1')}?{query.decode('latin-1')}"


@lru_cache(maxsize=1024)
def plain_url(scheme: str, host: str, path: str) -> str:
    """Return the name of a path's URL as it is usually sent: no query, no escapes but the necessary.

    Args:
        scheme: The scheme.
        host: The host, in its normal form.
        path: The decoded path.
    """
    return url_key(scheme, host, quote(path, safe="/:@!$&'()*+,;=~").encode("ascii"), b"")


def origin(base_url: str) -> tuple[str, str]:
    """Return scheme and host of a URL, "" for a host that is none."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2].encode("ascii", "replace")
    return parts.scheme.lower(), _host(host, parts.scheme.lower())


def filtered_query(query: bytes, allowed: Sequence[str]) -> bytes:
    """Return only the ``allowed`` parameters of a query, as sent and in the order sent."""
    parts = [part for part in query.split(b"&") if part and _parameter(part) in allowed]
    return b"&".join(parts)


def _parameter(part: bytes) -> str:
    return unquote_plus(part.partition(b"=")[0].decode("latin-1"), errors="surrogateescape")


def cookie_values(fields: Sequence[bytes], names: Sequence[str]) -> dict[str, list[str]]:
    """Return every value sent for each of the cookies ``names``."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for field in fields:
        for pair in field.split(b";"):
            name, equals, value = pair.partition(b"=")
            plain = name.strip().decode("latin-1")
            if equals and plain in found:
                found[plain].append(value.strip().decode("latin-1"))
    return found


def user_key(
    policy: CachePolicy,
    asked: Asked,
    distinction: object,
    part: str | None = None,
    keys: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    """Return what distinguishes this request from others for the same URL, beyond ``Vary``; () for nothing.

    Args:
        policy: The route's policy.
        asked: The request.
        distinction: What ``policy.vary_on`` returned.
        part: What the framework's own key builder returned, where it has one.
        keys: The API keys sent, by the name of their field.
    """
    extra: list[str] = []
    if policy.vary_on is not None:
        extra.append(call_key("vary_on", {"result": distinction}))
    if policy.cookies:
        extra.append(call_key("cookies", cookie_values(asked.cookies, tuple(policy.cookies))))
    if part is not None:
        extra.append(call_key("part", {"result": part}))
    if keys:
        extra.append(call_key("keys", keys))
    return tuple(extra)


def credentials(policy: CachePolicy, asked: Asked, keyed: Collection[str] = ()) -> str | None:
    """Return what tells who is asking while the policy does not say that everyone gets the same, or None.

    What is ``keyed`` is part of the key. ``authorization`` is not final: a response that says itself that it
    is public may be shared all the same.
    """
    if policy.public or policy.vary_on is not None:
        return None
    if asked.cookies and policy.cookies is None:
        return "cookie"
    unkeyed = next((name for name in asked.credentials if name not in {*policy.vary, *keyed}), None)
    return unkeyed or ("authorization" if asked.authorization else None)


def policy_url(policy: CachePolicy, asked: Asked, scope: Scope, keyed: Iterable[str] = ()) -> str:
    """Return the name of what was asked for; ``policy`` may leave out parameters that are not ``keyed``."""
    if policy.query is None:
        return asked.url
    query = filtered_query(scope.get("query_string", b""), (*policy.query, *keyed))
    return url_key(scope.get("scheme", "http"), asked.host, _raw_path(scope), query)


def target_urls(asked: Asked, scope: Scope, headers: Headers) -> list[str]:
    """Return the URLs that a successful unsafe request makes worthless (RFC 9111 section 4.4)."""
    if not asked.url:
        return []
    if not any(name.lower() in _LOCATIONS for name, _ in headers):
        return [asked.url]
    scheme = scope.get("scheme", "http")
    path = _raw_path(scope)
    query = scope.get("query_string", b"")
    others = same_origin_targets(headers, scheme, asked.host.encode("ascii"), path, query)
    names = (asked.url, *(url_key(scheme, asked.host, other, more) for other, more in others))
    return [name for name in dict.fromkeys(names) if name]


def represents_itself(asked: Asked, scope: Scope, headers: Headers) -> bool:
    """Return whether a response says that it is what its own URL stands for (RFC 9110 section 9.3.3)."""
    locations = [field for field in headers if field[0].lower() == b"content-location"]
    path, query = _raw_path(scope), scope.get("query_string", b"")
    host = asked.host.encode("ascii")
    return (path, query) in same_origin_targets(locations, scope.get("scheme", "http"), host, path, query)


class Asking(Protocol):
    """What a request is part of."""

    @property
    def asked(self) -> Asked:
        """The request's head."""
        ...


def watched(scope: Scope, receive: Any, whose: Asking) -> Any:
    """Return ``receive``, noting a body of which no field tells, as HTTP/2 has them."""
    if scope.get("http_version", "1.1").startswith("1"):
        return receive

    async def watching() -> Any:
        message = await receive()
        if message.get("body"):
            whose.asked.content = True
        return message

    return watching


def without_conditions(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return request fields without conditions, so that the answer is the whole response."""
    return [(name, value) for name, value in headers if name not in _CONDITIONS]


_CONDITIONS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range"}
)
