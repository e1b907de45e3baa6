"""What a URL says of where Redis is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, unquote

from asynccache._engine.urls import parse_count, split_url
from asynccache.errors import ConfigurationError

__all__ = ["Target", "read_target"]

Kind = Literal["single", "unix", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "valkey": ("single", False),
    "valkeys": ("single", True),
    "redis+unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_FORMS: Final[dict[Kind, str]] = {
    "single": "host:port/db",
    "unix": "/path/to/socket?db=0",
    "sentinel": "host:port,host:port/service/db",
    "cluster": "host:port,host:port",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One server, one service behind sentinels, or one cluster."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    """The server, or the sentinels, or some nodes."""
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.kind == "unix":
            return self.path
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return "/".join([hosts, *([self.service] if self.service else []), str(self.db)])


def read_target(url: str, db: int | None = None) -> Target:
    """Return what ``url`` says, its query apart.

    Args:
        url: Such as ``redis://user:password@host:6379/0``.
        db: The database, if the query names it.

    Raises:
        ConfigurationError: it is malformed. The message shows nothing of it but the scheme.
    """
    parts = split_url(url)
    scheme = parts.scheme
    if scheme not in _SCHEMES:
        raise ConfigurationError(f"RedisBackend takes a URL that begins with one of {_known()}")
    kind, tls = _SCHEMES[scheme]
    form = f"{scheme}://{_FORMS[kind]}"
    if parts.fragment:
        raise ConfigurationError(f"a # in the user or the password of {scheme}:// is written %23")
    credentials, _, location = parts.netloc.rpartition("@")
    username, password = _credentials(credentials, scheme)
    path, service, database = _path(kind, parts, form)
    if db is not None:
        if database is not None:
            raise ConfigurationError(f"the database is named twice: {form}")
        database = db
    if kind == "cluster" and database:
        raise ConfigurationError("a cluster has database 0 only")
    return Target(
        kind=kind,
        tls=tls,
        hosts=_hosts(kind, location, form),
        path=path,
        service=service,
        db=database or 0,
        username=username,
        password=password,
    )


def _known() -> str:
    return ", ".join(f"{scheme}://" for scheme in _SCHEMES)


def _credentials(text: str, scheme: str) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    user, separator, password = text.partition(":")
    if not separator or not password:
        raise ConfigurationError(f"{scheme}://user:password@ or {scheme}://:password@, not a user alone")
    return unquote(user) or None, unquote(password)


def _hosts(kind: Kind, location: str, form: str) -> tuple[tuple[str, int], ...]:
    if kind == "unix":
        if location:
            raise ConfigurationError(f"a socket has no host: {form}")
        return ()
    port = 26_379 if kind == "sentinel" else 6_379
    if kind == "single":
        if "," in location:
            raise ConfigurationError(f"several hosts are a cluster or sentinels and need that scheme: {form}")
        return (_host(location or "localhost", port, form),)
    return tuple(_host(host, port, form) for host in location.split(","))


def _host(text: str, default: int, form: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        separator, port = rest[:1], rest[1:]
    else:
        host, separator, port = text.partition(":")
    if not host or separator not in {"", ":"} or (separator and not port):
        raise ConfigurationError(f"each host is host or host:port: {form}")
    number = parse_count(port, "the port") if port else default
    if not 0 < number < 65_536:
        raise ConfigurationError(f"the port must be from 1 to 65535: {form}")
    return unquote(host), number


def _path(kind: Kind, parts: SplitResult, form: str) -> tuple[str, str, int | None]:
    if kind == "unix":
        if not parts.path.strip("/"):
            raise ConfigurationError(f"the path of the socket is missing: {form}")
        return unquote(parts.path), "", None
    names = [unquote(name) for name in parts.path.strip("/").split("/")] if parts.path.strip("/") else []
    service = ""
    if kind == "sentinel":
        if not names:
            raise ConfigurationError(f"the service's name is missing: {form}")
        service = names.pop(0)
    if len(names) > 1:
        raise ConfigurationError(f"the path has too many parts: {form}")
    return "", service, parse_count(names[0], "the database") if names else None
