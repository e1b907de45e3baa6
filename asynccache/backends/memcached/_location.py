"""Where the servers are and how to reach them: what the URL and the options say. Pure."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from asynccache._engine.arguments import check_count
from asynccache._engine.urls import parse_size, query_options
from asynccache.errors import ConfigurationError
from asynccache.policy import seconds

__all__ = ["Location", "Options", "parse", "url_options"]

_URL: Final = re.compile(
    r"(?P<scheme>memcacheds?)://(?:(?P<user>[^/?#@]*)@)?(?P<hosts>[^/?#@]*)/?\Z",
    re.IGNORECASE,
)
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_PORT: Final = 11211
_FORM: Final = "memcached://[user:password@]host[:port][,host[:port]...]"


@dataclass(frozen=True, slots=True)
class Location:
    """A server."""

    host: str
    port: int = _PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Options:
    """How to speak to the servers."""

    timeout: float = 1.0
    connect_timeout: float = 1.0
    retry_seconds: float = 1.0
    max_value_bytes: int | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    credentials: bytes = field(default=b"", repr=False)
    """User and password, with a space between them; empty: none."""

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        if self.max_value_bytes is not None:
            check_count(self.max_value_bytes, "max_value_bytes", 1)
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):
            raise ConfigurationError("ssl must be an ssl.SSLContext")


def parse(url: str) -> tuple[list[Location], bytes, bool]:
    """Return the servers, the credentials, and whether TLS is asked for.

    Raises:
        ConfigurationError: the URL is malformed. The message shows no part of it that may hold a password.
    """
    match = _URL.match(url) if isinstance(url, str) else None  # type: ignore[redundant-expr]  # callers err
    if match is None:
        raise ConfigurationError(f"the URL of a memcached store is {_FORM}, without path and fragment")
    servers: list[Location] = []
    for number, text in enumerate(match["hosts"].split(","), 1):
        host = _HOST.fullmatch(text)
        if host is None or not 0 < int(host["port"] or _PORT) < 65_536:
            raise ConfigurationError(f"server {number} is not host, host:port or [IPv6]:port: {_FORM}")
        server = Location((host["v6"] or host["name"]).lower(), int(host["port"] or _PORT))
        if server in servers:
            raise ConfigurationError(f"server {server} is given twice")
        servers.append(server)
    user = match["user"]
    if user is None:
        return servers, b"", match["scheme"].lower() == "memcacheds"
    name, separator, password = user.partition(":")
    credentials = f"{unquote(name)} {unquote(password)}".encode()
    if not (separator and name and password) or re.search(rb"[\r\n\0]", credentials):
        raise ConfigurationError("credentials are user:password, without line ends")
    return servers, credentials, match["scheme"].lower() == "memcacheds"


def _parse_seconds(text: str, name: str) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigurationError: it is not a positive number.
    """
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII):
        raise ConfigurationError(f"{name} must be a number of seconds, not {text!r}")
    return seconds(float(text), name)


def url_options(url: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the URL without its options, and the options together with those ``given``.

    Raises:
        ConfigurationError: an option is unknown, malformed or given twice.
    """
    base, _, query = url.partition("?")
    parsers = {
        "timeout": _parse_seconds,
        "connect_timeout": _parse_seconds,
        "retry_seconds": _parse_seconds,
        "max_value_bytes": parse_size,
    }
    if unknown := given.keys() - parsers.keys() - {"ssl", "clock"}:
        raise ConfigurationError(
            f"unknown option {min(unknown)!r}: memcached:// takes {', '.join(parsers)}, ssl, clock"
        )
    return base, query_options(query, parsers, given, "memcached")
