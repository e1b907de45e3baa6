"""The options of the store, and which of them a URL may carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypedDict

from asynccache._engine.arguments import check_count
from asynccache._engine.urls import parse_count, parse_size
from asynccache.errors import ConfigurationError
from asynccache.policy import seconds

__all__ = ["OPTIONS", "PARSERS", "Options", "Settings"]

_LARGEST: Final = 512 * 2**20
"""What Redis takes in one value, unless ``proto-max-bulk-len`` says otherwise."""


def check_text(value: object, name: str) -> None:
    """Raise `ConfigurationError` unless ``value`` is a non-empty ``str``."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} must be a non-empty str, not {value!r}")


class Options(TypedDict, total=False):
    """The keyword arguments of `RedisBackend`; what they mean is said there."""

    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None
    max_connections: int
    timeout: float
    connect_timeout: float
    max_value_bytes: int
    channel: str
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_check_hostname: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The same, checked."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    max_connections: int = 32
    timeout: float = 1.0
    connect_timeout: float = 1.0
    max_value_bytes: int = _LARGEST
    channel: str = "asynccache:bus"
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        check_count(self.max_connections, "max_connections", 1)
        check_count(self.max_value_bytes, "max_value_bytes", 1)
        if self.max_value_bytes > _LARGEST:
            raise ConfigurationError(f"max_value_bytes must be at most {_LARGEST}: Redis takes no more")
        for name in ("timeout", "connect_timeout"):
            object.__setattr__(self, name, seconds(getattr(self, name), name))
        check_text(self.channel, "channel")
        if not isinstance(self.ssl_check_hostname, bool):
            raise ConfigurationError(f"ssl_check_hostname must be a bool, not {self.ssl_check_hostname!r}")
        for option in fields(self):
            value = getattr(self, option.name)
            if option.default is None and value is not None and not (isinstance(value, str) and value):
                raise ConfigurationError(f"{option.name} must be a non-empty str")  # it may be a password
        if self.username is not None and self.password is None:
            raise ConfigurationError("username is of no use without password")

    def ssl_options(self) -> dict[str, Any]:
        """Return what the driver is told of certificates, where there is something to tell."""
        given = {
            "ssl_ca_certs": self.ssl_ca_certs,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
        }
        told = {name: value for name, value in given.items() if value is not None}
        return {**told, "ssl_check_hostname": self.ssl_check_hostname}


OPTIONS: Final = frozenset(option.name for option in fields(Settings))


def _text(text: str, name: str) -> str:
    check_text(text, name)
    return text


def _duration(text: str, name: str) -> float:
    try:
        return seconds(float(text), name)
    except ValueError:
        raise ConfigurationError(f"{name} must be seconds, such as 0.5, not {text!r}") from None


def _switch(text: str, name: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise ConfigurationError(f"{name} must be true or false, not {text!r}") from None


PARSERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "db": parse_count,
    "sentinel_username": _text,
    "sentinel_password": _text,
    "max_connections": parse_count,
    "timeout": _duration,
    "connect_timeout": _duration,
    "max_value_bytes": parse_size,
    "channel": _text,
    "ssl_ca_certs": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_check_hostname": _switch,
}
"""What may stand in a URL's query. The user and the password stand before the host."""
