"""What a PostgreSQL URL says: whom to connect to, and the options of the store. Pure; shows no password."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from asynccache._engine.urls import parse_count, parse_size, query_options, split_url
from asynccache.errors import ConfigurationError

__all__ = ["check_url", "read_url", "shown"]

_SCHEMES: Final = {"postgresql", "postgres"}
_HOST_AND_PORT: Final = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _text(text: str, name: str) -> str:  # noqa: ARG001 - a parser like the others
    return text


def _flag(text: str, name: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ConfigurationError(f"{name} must be true or false, not {text!r}")
    return text.lower() in {"true", "1", "yes", "on"}


def _seconds(text: str, name: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII):
        raise ConfigurationError(f"{name} must be a number of seconds, not {text!r}")
    return float(text)


def _ssl_mode(text: str, name: str) -> str:
    if text not in _SSL_MODES:
        raise ConfigurationError(f"{name} must be one of {', '.join(_SSL_MODES)}, not {text!r}")
    return text


_Parser = Callable[[str, str], Any]
_DRIVER: Final[dict[str, _Parser]] = {
    "sslmode": _ssl_mode,
    "host": _text,
    "port": _text,
    "user": _text,
    "password": _text,
    "passfile": _text,
    "dbname": _text,
    "database": _text,
    "service": _text,
    "application_name": _text,
    "search_path": _text,
    "sslcert": _text,
    "sslkey": _text,
    "sslpassword": _text,
    "sslrootcert": _text,
    "sslcrl": _text,
    "sslnegotiation": _text,
    "ssl_min_protocol_version": _text,
    "ssl_max_protocol_version": _text,
    "target_session_attrs": _text,
    "krbsrvname": _text,
    "gsslib": _text,
}
"""What asyncpg reads from the URL, and the server's settings worth giving there."""
_OWN: Final[dict[str, _Parser]] = {
    "table": _text,
    "schema": _text,
    "unlogged": _flag,
    "pgbouncer": _flag,
    "pool_size": parse_count,
    "timeout": _seconds,
    "connect_timeout": _seconds,
    "sweep_every": parse_count,
    "max_value_bytes": parse_size,
}
"""The store's own: arguments of the class."""


def read_url(url: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the driver's part of ``url``, and the arguments in it together with those ``given``.

    Raises:
        ConfigurationError: an option is unknown, malformed, or given twice.
    """
    if unknown := given.keys() - _OWN.keys() - {"clock"}:
        raise ConfigurationError(
            f"unknown option {min(unknown)!r}: PostgresBackend takes {', '.join(_OWN)}, clock"
        )
    parts = split_url(url)
    if parts.fragment:
        raise ConfigurationError("a PostgreSQL URL has no #fragment: write # in a password as %23")
    options = query_options(parts.query, _OWN | _DRIVER, given, "postgresql")
    driver = {name: options.pop(name) for name in list(options) if name in _DRIVER}
    query = f"?{urlencode(driver)}" if driver else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}", options


def check_url(url: str) -> None:
    """Raise `ConfigurationError` unless ``url`` is one that asyncpg can connect to."""
    parts = split_url(url)
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError("a PostgreSQL URL begins with postgresql:// or postgres://")
    if parts.fragment:
        raise ConfigurationError("a PostgreSQL URL has no #fragment: write # in a password as %23")
    if parts.netloc.count("@") > 1:
        raise ConfigurationError("a PostgreSQL URL has one @ before the host: write @ in a password as %40")
    for host in parts.netloc.rpartition("@")[2].split(","):
        match = _HOST_AND_PORT.fullmatch(host)
        if match is None or (match[2] is not None and not 0 < int(match[2]) < 65_536):
            raise ConfigurationError("a PostgreSQL URL names its servers as host:port or [address]:port")
    own = query_options(parts.query, _OWN | _DRIVER, {}, "postgresql").keys() & _OWN.keys()
    if own:
        raise ConfigurationError(f"{min(own)} in a URL is read by PostgresBackend.from_url only")


def shown(url: str) -> str:
    """Return ``url`` without user, password and options."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
