"""`CacheConfig`: everything that can be set, checked when it is made, from code, a URL or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from asynccache._engine.clock import Clock, wall_clock
from asynccache._engine.urls import split_url
from asynccache.backends import from_url, parse_size, schemes
from asynccache.codecs import AESGCMSealer, Compressor, Serializer, codec_named
from asynccache.errors import ConfigurationError
from asynccache.keys import Namespace
from asynccache.policy import Seconds, seconds, tag_names
from asynccache.protocols import CacheBackendProtocol, Codec, Observer

__all__ = ["CacheConfig", "GuardConfig", "HTTPConfig"]

KIB: Final = 1024
MIB: Final = 1024 * KIB
ENV_PREFIX: Final = "ASYNCCACHE_"

Mode = Literal["marked", "rfc9111"]
_SWITCHES: Final = ("store_set_cookie", "share_with_cookies", "heuristic", "stale_on_error", "private")


def _refuse(name: str, wanted: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {wanted}, not {value!r}")


def _check_flag(value: object, name: str) -> None:
    if not isinstance(value, bool):
        raise _refuse(name, "True or False", value)


def _check_count(value: object, name: str, least: int = 1) -> None:
    if type(value) is not int or value < least:
        raise _refuse(name, f"an int of at least {least}", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """How long a store may take, and what happens when it fails. Not used for stores in this process."""

    timeout: Seconds = 0.25
    """Seconds an operation may take, waiting for a free slot included."""
    clear_timeout: Seconds = 60.0
    """Seconds that clearing a namespace may take: some stores look at all of their keys for it."""
    max_concurrency: int = 1024
    """Operations in flight at once; more wait for their turn within their timeout."""
    breaker_failures: int = 5
    """Failures in a row after which the store is left alone; one is enough if it answers nobody."""
    breaker_seconds: Seconds = 2.0
    """Seconds it is left alone before one operation probes it."""

    def __post_init__(self) -> None:
        """Check every field; raise `ConfigurationError` naming the first that is wrong."""
        for name in ("timeout", "clear_timeout", "breaker_seconds"):
            object.__setattr__(self, name, seconds(getattr(self, name), f"guard.{name}"))
        for name in ("max_concurrency", "breaker_failures"):
            _check_count(getattr(self, name), f"guard.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPConfig:
    """How responses are cached."""

    mode: Mode = "marked"
    """``marked``: only routes that carry a policy; its ttl is authoritative.

    ``rfc9111``: a shared cache in front of the whole application; the fields of requests and responses
    decide, and policies of routes do nothing.
    """
    honour_client_directives: bool | None = None
    """Let a request's Cache-Control steer the cache: then any client can defeat it.

    None: as is usual in the mode, which is yes in ``rfc9111`` and no in ``marked``.
    """
    max_body_bytes: int = MIB
    """Larger bodies pass through without being stored; also the most that is held per response in flight."""
    cache_status: bool = True
    """Send ``Cache-Status`` (RFC 9211), in ``marked`` mode with responses of routes that have a policy."""
    coalesce_timeout: Seconds = 30.0
    """Seconds a request waits for another that produces the same response before it goes ahead itself."""

    # In ``rfc9111`` mode only. The defaults are the safe side.
    store_set_cookie: bool = False
    """Store responses with Set-Cookie, without that field: nobody gets another one's cookie in any case."""
    share_with_cookies: bool = False
    """Treat requests with cookies or API keys like others, as the RFC has it.

    Otherwise they share only responses that say ``public`` or ``s-maxage`` themselves or vary by that field.
    """
    heuristic: bool = False
    """Where a response states no lifetime, take a tenth of the time since Last-Modified, a day at most.

    Responses that say ``public`` are treated so in any case.
    """
    stale_on_error: bool = False
    """Let any stale response that does not forbid it stand in for an error, not only those that allow it."""
    private: bool = False
    """Be a private cache: for an application, such as a gateway, that has one user only."""
    keep_stale: Seconds = 3600.0
    """Seconds that a response is kept beyond its freshness, to be validated or to stand in for an error."""
    targeted: tuple[str, ...] | Iterable[str] = ("cdn-cache-control",)
    """Fields that speak to this cache before Cache-Control does, the most specific first (RFC 9213)."""

    def __post_init__(self) -> None:
        """Check every field; raise `ConfigurationError` naming the first that is wrong."""
        put = object.__setattr__
        if self.mode not in get_args(Mode):
            raise _refuse("http.mode", " or ".join(map(repr, get_args(Mode))), self.mode)
        if self.honour_client_directives is None:
            put(self, "honour_client_directives", self.mode == "rfc9111")
        for name in ("honour_client_directives", "cache_status", *_SWITCHES):
            _check_flag(getattr(self, name), f"http.{name}")
        _check_count(self.max_body_bytes, "http.max_body_bytes", 0)
        put(self, "coalesce_timeout", seconds(self.coalesce_timeout, "http.coalesce_timeout"))
        put(self, "keep_stale", seconds(self.keep_stale, "http.keep_stale", zero=True))
        put(self, "targeted", tuple(name.lower() for name in tag_names(self.targeted, "http.targeted")))
        if self.mode != "rfc9111":
            self._check_marked()

    def _check_marked(self) -> None:
        """Refuse what means nothing in this mode: somebody relies on it."""
        defaults = {item.name: item.default for item in fields(self)}
        for name in (*_SWITCHES, "keep_stale", "targeted"):
            if getattr(self, name) != defaults[name]:
                raise ConfigurationError(f"http.{name} is a switch of mode='rfc9111', not of {self.mode!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Settings of a `Cache`. Immutable; a wrong value raises `ConfigurationError` here, before any I/O."""

    backend: CacheBackendProtocol | str = field(default="memory://", repr=False)  # a URL may hold a password
    """A store, or the URL of one (``memory://``; see `asynccache.backends.from_url`)."""
    namespace: str = "asynccache"
    """Prefix of every key; it must be this cache's alone in a store that others use."""
    default_ttl: Seconds | None = 300.0
    """Seconds a value lives where no ttl is given; None for ever."""
    codec: Codec | str = "msgpack"
    """``msgpack``, ``json``, ``pydantic``, ``raw``, ``pickle`` (needs ``encryption_keys``), or your own."""
    compression: bool = False
    """Compress values with zstd where that makes them smaller (extra ``zstd``)."""
    compress_min_bytes: int = KIB
    """Smaller payloads are never compressed."""
    encryption_keys: Iterable[str | bytes] = field(default=(), repr=False)
    """AES-GCM keys (extra ``crypto``): the first encrypts, all decrypt.

    See `asynccache.codecs.generate_key`.
    """
    max_value_bytes: int = 8 * MIB
    """Larger payloads are refused, and so is decompressing to more."""
    fail_open: bool = True
    """True: a failing store means misses and `Failed` events. False: it raises `BackendError`."""
    batching: bool = True
    """Join the gets (sets, deletes) of one loop iteration into one bulk call where the store has one."""
    lease_ttl: Seconds = 10.0
    """Seconds one computation may hold others off across processes."""
    guard: GuardConfig = field(default_factory=GuardConfig)
    http: HTTPConfig = field(default_factory=HTTPConfig)
    observers: Iterable[Observer] = ()
    """Callables that receive every event; see `asynccache.events`."""
    clock: Clock = wall_clock
    """Returns seconds since the epoch. For tests: `asynccache.testing.FakeClock`."""

    def __post_init__(self) -> None:
        """Check every field; raise `ConfigurationError` naming the first that is wrong."""
        put = object.__setattr__
        if isinstance(self.backend, str):
            from_url(self.backend)
        elif isinstance(self.backend, type) or not isinstance(self.backend, CacheBackendProtocol):
            raise _refuse("backend", "a URL or an object with async get, set and delete", self.backend)
        Namespace(self.namespace)
        if self.default_ttl is not None:
            put(self, "default_ttl", seconds(self.default_ttl, "default_ttl"))
        for name in ("compression", "fail_open", "batching"):
            _check_flag(getattr(self, name), name)
        _check_count(self.compress_min_bytes, "compress_min_bytes", 0)
        _check_count(self.max_value_bytes, "max_value_bytes")
        put(self, "lease_ttl", seconds(self.lease_ttl, "lease_ttl"))
        for name, kind in (("guard", GuardConfig), ("http", HTTPConfig)):
            if not isinstance(getattr(self, name), kind):
                raise _refuse(name, f"a {kind.__name__}", getattr(self, name))
        if isinstance(self.encryption_keys, (str, bytes)) or not isinstance(self.encryption_keys, Iterable):
            raise ConfigurationError(
                "encryption_keys must be a list or tuple of keys"
            )  # not what it is: a secret
        put(self, "encryption_keys", tuple(self.encryption_keys))
        put(self, "observers", _collection(self.observers, "observers"))
        for observer in self.observers:
            if not callable(observer):  # pyright: ignore[reportUnnecessaryComparison]
                raise _refuse("observers", "callables", observer)
        if not callable(self.clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise _refuse("clock", "a callable that returns seconds", self.clock)
        self.serializer()
        self.sealer()

    def serializer(self) -> Serializer:
        """Return the codec, compression and limits as one object."""
        codec = codec_named(self.codec) if isinstance(self.codec, str) else self.codec
        if not (
            isinstance(getattr(codec, "name", None), str)
            and hasattr(codec, "encode")
            and hasattr(codec, "decode")
        ):
            raise _refuse("codec", "a codec's name or an object with name, encode and decode", codec)
        if getattr(codec, "needs_authentication", False) and not tuple(self.encryption_keys):
            raise ConfigurationError(f"codec={codec.name!r} executes what it reads: it needs encryption_keys")
        compressor = None
        if self.compression:
            compressor = Compressor(min_bytes=self.compress_min_bytes, max_value_bytes=self.max_value_bytes)
        return Serializer(codec, compressor=compressor, max_value_bytes=self.max_value_bytes)

    def sealer(self) -> AESGCMSealer | None:
        """Return the encryption, or None where no keys are set."""
        keys = tuple(self.encryption_keys)
        return AESGCMSealer(keys) if keys else None

    def but(self, **changes: Any) -> CacheConfig:
        """Return a copy with ``changes``."""
        return replace(self, **changes)

    @classmethod
    def from_url(cls, url: str, **more: Any) -> CacheConfig:
        """Return the configuration in a URL: ``memory://?max_bytes=64mb&namespace=shop&default_ttl=60``.

        Query options named like simple fields of this class are settings of the cache; all others are the
        store's.
        """
        if not isinstance(url, str):
            raise _refuse("url", "a string", url)
        parts = split_url(url)
        ours: dict[str, str] = {}
        theirs: list[tuple[str, str]] = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name not in _FROM_TEXT:
                theirs.append((name, value))
            elif name in ours:
                raise ConfigurationError(f"url names {name} twice")
            else:
                ours[name] = value
        backend = url
        if ours:  # not by urlunsplit: it takes slashes away from sqlite:////absolute.db, and from memory://
            backend = url.partition("?")[0] + (f"?{urlencode(theirs)}" if theirs else "")
            backend += f"#{parts.fragment}" if parts.fragment else ""
        settings: dict[str, Any] = {"backend": backend, **_from_text(ours), **more}
        return cls(**settings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **more: Any) -> CacheConfig:
        """Return the configuration in environment variables.

        ``ASYNCCACHE_URL``, else ``REDIS_URL``, else ``memory://``; and ``ASYNCCACHE_NAMESPACE``,
        ``ASYNCCACHE_DEFAULT_TTL``
        and so on for every simple field of this class. An ``ASYNCCACHE_`` variable that means nothing is an
        error.
        """
        environ = os.environ if environ is None else environ
        given = {
            name.removeprefix(ENV_PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(ENV_PREFIX) and not name.startswith(f"{ENV_PREFIX}TEST_")
        }
        url = given.pop("url", None) or _if_known(environ.get("REDIS_URL")) or "memory://"
        if unknown := given.keys() - _FROM_TEXT.keys():
            known = ", ".join(sorted(f"{ENV_PREFIX}{name.upper()}" for name in ("url", *_FROM_TEXT)))
            raise ConfigurationError(
                f"unknown environment variable {ENV_PREFIX}{min(unknown).upper()}; known are {known}"
            )
        return cls.from_url(url, **(_from_text(given) | more))


def _if_known(url: str | None) -> str | None:
    """Return a URL that others set for others, unless no store here can use it."""
    return url if url and url.partition("://")[0].lower() in schemes() else None


def _collection(value: object, name: str) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _refuse(name, "a list or tuple", value)
    return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _flag(text: str) -> bool:
    try:
        return {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _ttl(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


_FROM_TEXT: Final[dict[str, Callable[[str], Any]]] = {
    "namespace": str,
    "default_ttl": _ttl,
    "codec": str,
    "compression": _flag,
    "compress_min_bytes": parse_size,
    "encryption_keys": lambda text: tuple(filter(None, text.split(","))),
    "max_value_bytes": parse_size,
    "fail_open": _flag,
    "batching": _flag,
    "lease_ttl": float,
}


def _from_text(given: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, text in given.items():
        try:
            settings[name] = _FROM_TEXT[name](text)
        except ValueError as error:
            shown = "a secret" if name == "encryption_keys" else repr(text)
            raise ConfigurationError(f"{name} cannot be {shown}") from error
    return settings


assert _FROM_TEXT.keys() <= {f.name for f in fields(CacheConfig)}  # noqa: S101  (a typo here would hide a setting)
