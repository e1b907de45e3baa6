"""`CachePolicy`: how long something is kept, how it is refreshed, and for whom.

One object for functions and routes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields as dataclass_fields, replace
from datetime import timedelta
from string import Formatter
from typing import Any, Final

from asynccache.errors import ConfigurationError, InvalidKeyError

__all__ = ["CACHEABLE_STATUSES", "DEFAULT", "CachePolicy", "Default", "Seconds", "seconds", "tag_names"]

Seconds = float | timedelta
"""A duration: seconds (millisecond resolution) or a `datetime.timedelta`."""

CACHEABLE_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses a policy may allow: those RFC 9110 section 15.1 calls heuristically cacheable, without 206."""

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.1."""


class Default:
    """The type of `DEFAULT`: "as configured", where None already means "never expires"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default()


def seconds(value: object, name: str, *, zero: bool = False) -> float:
    """Return a duration as seconds.

    Args:
        value: Seconds as int or float, or a timedelta.
        name: The argument's name, for the error message.
        zero: Accept 0.

    Raises:
        ConfigurationError: it is not a finite, positive duration (a `ValueError`).
    """
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        raise ConfigurationError(f"{name} must be a number of seconds or a timedelta, not {value!r}")
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ConfigurationError(
            f"{name} must be finite seconds, {'at least' if zero else 'more than'} 0, not {value!r}"
        )
    return number


def tag_names(tags: object, name: str = "tags") -> tuple[str, ...]:
    """Return ``tags`` as distinct non-empty strings; a lone string is refused, it would be its letters."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ConfigurationError(f"{name} must be a collection of strings, not {tags!r}")
    names: dict[str, None] = {}
    for tag in tags:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(tag, str) or not tag:
            raise ConfigurationError(f"{name} must be non-empty strings, not {tag!r}")
        if not tag.isascii():
            try:
                tag.encode()
            except UnicodeEncodeError:
                raise InvalidKeyError(
                    f"{name}: {tag!r} has lone surrogates, which UTF-8 cannot encode"
                ) from None
        names[tag] = None
    return tuple(names)


def _names(value: object, name: str) -> tuple[str, ...] | None:
    return None if value is None else tag_names(value, name)


def _field_names(vary: object) -> tuple[str, ...]:
    names = tag_names(vary, "vary")
    for name in names:
        if name == "*" or _FIELD_NAME.fullmatch(name) is None:
            raise ConfigurationError(f"vary must be names of request header fields, not {name!r}")
    return tuple(dict.fromkeys(name.lower() for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How one function or route is cached. Everything is checked here, once, at import time.

    The first group is for functions and routes alike, the second for routes only.
    """

    ttl: Seconds | Default | None = DEFAULT
    """Seconds a value is fresh; None: until it is invalidated; left out: the cache's ``default_ttl``."""
    stale_while_revalidate: Seconds = 0
    """Seconds after that in which it is served at once while one refresh runs (RFC 5861)."""
    stale_if_error: Seconds = 0
    """Seconds after freshness in which it is served if computing a new one fails (RFC 5861)."""
    early_refresh: float = 0.0
    """XFetch's beta (Vattani et al., VLDB 2015): above 0 hot values are refreshed early; 1 is optimal."""
    jitter: float = 0.0
    """Shorten each ttl by a random fraction up to this (0 to 1): set together, not expired together."""
    soft_timeout: Seconds | None = None
    """Seconds to wait for a new value before a stale one (if its window allows) is served instead."""
    store_if: Callable[[Any], bool] | None = None
    """Functions only: told the result, says whether to keep it. None: keep every result, None included."""
    tags: tuple[str, ...] | Iterable[str] = ()
    """Names to invalidate by; ``{argument}`` (functions) and ``{path_parameter}`` (routes) are filled in."""

    public: bool = False
    """The answer is the same for everyone who may ask: hits ignore credentials and precede routing."""
    vary_on: Callable[..., Any] | None = None
    """What distinguishes users: called with the request, its result becomes part of the key.

    In FastAPI also a dependency, ``Depends(current_user)``: its result.
    """
    cookies: tuple[str, ...] | Iterable[str] | None = None
    """Names of the cookies the response depends on; ``()`` for none. None: any cookie bypasses the cache."""
    query: tuple[str, ...] | Iterable[str] | None = None
    """Query parameters that are part of the key; others are ignored. None: the whole query as sent."""
    vary: tuple[str, ...] | Iterable[str] = ()
    """Request header fields that are part of the key beside those the response names in ``Vary``."""
    statuses: frozenset[int] | Iterable[int] = frozenset({200, 301, 308})
    """Statuses to store; a subset of `CACHEABLE_STATUSES`."""
    client_ttl: Seconds | None = None
    """``max-age`` for clients where the application sets no Cache-Control; None: they revalidate by ETag."""
    max_body_bytes: int | None = None
    """Larger bodies are not stored; None: the limit of `HTTPConfig`."""

    fresh_for: float | None = field(init=False, repr=False, default=None)
    """``ttl`` in seconds; None for "until invalidated". Meaningless while ``ttl`` is `DEFAULT`."""

    def __post_init__(self) -> None:
        """Check and normalise every field; raise `ConfigurationError` naming the first that is wrong."""
        put = object.__setattr__
        if not isinstance(self.ttl, Default) and self.ttl is not None:
            put(self, "ttl", seconds(self.ttl, "ttl"))
            put(self, "fresh_for", self.ttl)
        for name in ("stale_while_revalidate", "stale_if_error"):
            put(self, name, seconds(getattr(self, name), name, zero=True))
        for name in ("soft_timeout", "client_ttl"):
            value = getattr(self, name)
            put(self, name, None if value is None else seconds(value, name, zero=name == "client_ttl"))
        for name, limit in (("early_refresh", math.inf), ("jitter", 1.0)):
            number = seconds(getattr(self, name), name, zero=True)
            if number > limit:
                raise ConfigurationError(f"{name} must be at most {limit}, not {number}")
            put(self, name, number)
        put(self, "tags", tag_names(self.tags))
        put(self, "cookies", _names(self.cookies, "cookies"))
        put(self, "query", _names(self.query, "query"))
        put(self, "vary", _field_names(self.vary))
        if not isinstance(self.public, bool):
            raise ConfigurationError(f"public must be True or False, not {self.public!r}")
        for name in ("vary_on", "store_if"):
            value = getattr(self, name)
            resolvable = name == "vary_on" and callable(getattr(value, "dependency", None))
            if value is not None and not callable(value) and not resolvable:
                raise ConfigurationError(f"{name} must be callable, not {value!r}")
        if self.public and self.vary_on is not None:
            raise ConfigurationError(
                "public and vary_on contradict each other: a public response is the same for everyone"
            )
        self._check_statuses()
        if self.max_body_bytes is not None and (
            type(self.max_body_bytes) is not int or self.max_body_bytes < 0
        ):
            raise ConfigurationError(
                f"max_body_bytes must be a non-negative int, not {self.max_body_bytes!r}"
            )

    def _check_statuses(self) -> None:
        try:
            statuses = frozenset(self.statuses)
        except TypeError:
            raise ConfigurationError(
                f"statuses must be a collection of ints, not {self.statuses!r}"
            ) from None
        if wrong := statuses - CACHEABLE_STATUSES:
            raise ConfigurationError(
                f"statuses may only hold {sorted(CACHEABLE_STATUSES)}, not {sorted(map(str, wrong))}"
            )
        object.__setattr__(self, "statuses", statuses)

    def tags_for(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the tags with every ``{parameter}`` filled in, as an f-string would.

        Raises:
            ConfigurationError: a tag names a parameter that is not there.
        """
        try:
            return tuple([tag.format_map(parameters) if "{" in tag else tag for tag in self.tags])
        except (LookupError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"tags {self.tags!r} cannot be filled in from {sorted(parameters)}: {error!r}"
            ) from error

    def check_tags(self, parameters: Iterable[str]) -> None:
        """Raise `ConfigurationError` if a tag names something that is not among ``parameters``."""
        known = sorted(parameters)
        for tag in self.tags:
            try:
                names = [name for _, name, _, _ in Formatter().parse(tag) if name is not None]
            except ValueError as error:
                raise ConfigurationError(f"tag {tag!r} is malformed: {error}") from error
            for name in names:
                if (first := re.split(r"[.\[]", name)[0]) not in known:
                    raise ConfigurationError(f"tag {tag!r} names {first!r}, which is not one of {known}")

    def but(self, **changes: Any) -> CachePolicy:
        """Return a copy with ``changes``."""
        return replace(self, **changes)

    @classmethod
    def combine(cls, policy: CachePolicy | None, fields: Mapping[str, Any]) -> CachePolicy:
        """Return ``policy`` (None: the default one) with ``fields`` changed.

        Raises:
            ConfigurationError: ``policy`` is no policy, or a field is unknown or wrong.
        """
        if policy is not None and not isinstance(policy, CachePolicy):
            raise ConfigurationError(f"policy must be a CachePolicy, not {policy!r}")
        known = {item.name for item in dataclass_fields(cls) if item.init}
        if unknown := fields.keys() - known:
            name = min(unknown, key=str)
            raise ConfigurationError(f"unknown option {name!r}; known are {', '.join(sorted(known))}")
        return cls(**fields) if policy is None else policy.but(**fields)

    @classmethod
    def of(cls, value: object, **more: Any) -> CachePolicy | None:
        """Return the policy meant by a route's ``cache=``; None for False and None.

        Raises:
            ConfigurationError: it is none of these.
        """
        if value is None or value is False:
            return None
        if isinstance(value, CachePolicy):
            return value.but(**more) if more else value
        if value is True:
            return cls(**more)
        if isinstance(value, (int, float, timedelta)):
            return cls(ttl=seconds(value, "cache"), **more)
        if isinstance(value, Mapping):
            return cls.combine(None, {**value, **more})  # pyright: ignore[reportUnknownArgumentType]
        raise ConfigurationError(
            f"cache must be True, False, seconds, a timedelta or a CachePolicy, not {value!r}"
        )
