"""`Rule`: a policy for the paths of an application whose routes cannot say it themselves.

Pure. What a path is made of is decided on the bytes the server received: they are split first and decoded
afterwards, so an encoded slash never moves a segment. A path that an application might read as another one
(dot segments, doubled slashes, encoded slashes, broken UTF-8) matches no rule at all: a rule that keeps
something out of the cache cannot be walked around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from asynccache.errors import ConfigurationError
from asynccache.http._bounded import BoundedDict
from asynccache.policy import CachePolicy

__all__ = ["Match", "Rule", "Rules"]

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_DOTS: Final = frozenset({".", ".."})
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_REMEMBERED: Final = 4096
_REMEMBERED_LENGTH: Final = 256
"""Longer paths are matched each time: clients choose how much there is to remember."""

Match = tuple[CachePolicy, Mapping[str, str]]
"""The policy of a request, and what its rule's parameters stand for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy for paths.

    =================  ===========================================================================
    ``/about``         this path and no other
    ``/users/{id}``    one segment, never empty; its name is a parameter for the policy's tags
    ``/api/*``         everything that begins with ``/api/``, at any depth; ``*`` stands last
    =================  ===========================================================================

    Paths are as in the application's routes: decoded (``/café``), without query, and below what the
    application is mounted at. Case matters, and so does a slash at the end.

    Args:
        path: What it applies to.
        cache: True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; False: not cached,
            whatever later rules say. Names in tags are parameters of the path.

    Raises:
        ConfigurationError: the path can match nothing or is malformed, or the policy is wrong.
    """

    path: str
    cache: CachePolicy | float | timedelta | bool
    policy: CachePolicy | None = field(init=False, repr=False)
    """The policy that ``cache`` means; None for False."""
    segments: tuple[str | None, ...] = field(init=False, repr=False)
    """The path's parts; None for a parameter, without the ``*``."""
    parameters: tuple[str, ...] = field(init=False, repr=False)
    """The names of the parameters, in order."""
    below: bool = field(init=False, repr=False)
    """It ends in ``/*``."""

    def __post_init__(self) -> None:
        """Check the path and the policy."""
        put = object.__setattr__
        parts = _absolute(self.path)[1:].split("/")
        below = parts[-1] == "*"
        names: list[str] = []
        segments = tuple(self._segment(part, names) for part in (parts[:-1] if below else parts))
        if "" in segments[: None if below else -1]:
            raise self._wrong("has an empty segment, and paths with '//' match no rule")
        if len(set(names)) < len(names):
            raise self._wrong("names a parameter twice")
        policy = CachePolicy.of(self.cache)
        if policy is not None:
            policy.check_tags(names)
        put(self, "policy", policy)
        put(self, "segments", segments)
        put(self, "parameters", tuple(names))
        put(self, "below", below)

    def _segment(self, part: str, names: list[str]) -> str | None:
        if parameter := _PARAMETER.match(part):
            names.append(parameter[1])
            return None
        if part in _DOTS:
            raise self._wrong("has a dot segment, and such paths match no rule")
        if "*" in part:
            raise self._wrong("may have '*' as its last segment only; {name} stands for one segment")
        if "{" in part or "}" in part:
            raise self._wrong("has a malformed parameter: a whole segment, like {id}")
        if "?" in part or "#" in part:
            raise self._wrong("is a path alone: for the query there is query= of the policy")
        if "%" in part:
            raise self._wrong("is compared decoded: write what %-escapes stand for")
        if _UNPRINTABLE.search(part) or "\ufffd" in part:
            raise self._wrong("has a character that no path may have")
        return part

    def _wrong(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"the rule's path {self.path!r} {why}")

    def covers(self, other: Rule) -> bool:
        """Return whether every path that ``other`` matches is one that this rule matches."""
        mine, others = self.segments, other.segments
        if not self.below and (other.below or len(mine) != len(others)):
            return False
        if len(mine) + self.below > len(others) + other.below:
            return False
        return all(
            part == their or (part is None and their != "") for part, their in zip(mine, others, strict=False)
        )

    def expression(self) -> str:
        """Return a regular expression with a group for each parameter; it cannot backtrack into a segment."""
        parts = ["([^/]+)" if part is None else re.escape(part) for part in self.segments]
        return "/" + "/".join([*parts, ".*"] if self.below else parts)


def _absolute(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"a rule's path must be a string that begins with '/', not {path!r}")
    return path


class Rules:
    """The rules of one application, in order: the first that matches decides.

    Args:
        rules: The rules.

    Raises:
        ConfigurationError: one is no rule, or can never be reached.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        for number, rule in enumerate(self._rules):
            if not isinstance(rule, Rule):
                raise ConfigurationError(f"rules must be a list of Rule, not of {rule!r}")
            for earlier in self._rules[:number]:
                if earlier.covers(rule):
                    raise ConfigurationError(
                        f"the rule for {rule.path!r} is never reached: {earlier.path!r} stands before it"
                    )
        # One expression for all of them, so that a path without a rule costs one call.
        self._match = re.compile(
            "|".join(f"({rule.expression()})" for rule in self._rules) or "(?!)", re.DOTALL
        ).fullmatch
        self._known: BoundedDict[tuple[bytes | None, str, str], Match | None] = BoundedDict(_REMEMBERED)
        self._groups: dict[int, Rule] = {}
        group = 1
        for rule in self._rules:
            self._groups[group] = rule
            group += 1 + len(rule.parameters)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def match(self, scope: MutableMapping[str, Any]) -> Match | None:
        """Return what applies to a request; None: no policy. Only GET and HEAD are looked at."""
        if scope["method"] not in ("GET", "HEAD"):
            return None
        target = scope.get("raw_path"), scope["path"], scope.get("root_path", "")
        try:
            return self._known[target]
        except KeyError:
            match = self._find(_plain(*target))
        if len(scope["path"]) <= _REMEMBERED_LENGTH:
            self._known[target] = match
        return match

    def _find(self, path: str | None) -> Match | None:
        found = None if path is None else self._match(path)
        if found is None:
            return None
        group = found.lastindex  # the group that was closed last: the rule's own, around its parameters
        assert group is not None  # noqa: S101  (every alternative is a group)
        rule = self._groups[group]
        if rule.policy is None:
            return None
        return rule.policy, {name: found[group + n] for n, name in enumerate(rule.parameters, 1)}


def _plain(raw: bytes | None, path: str, root: str) -> str | None:
    """Return a path in the one form that rules are compared with; None if it might be read as another."""
    if raw is not None:
        if b"%" not in raw and raw.isascii():
            path = raw.decode("ascii")
        else:
            try:
                segments = [unquote_to_bytes(part).decode() for part in raw.split(b"/")]
            except UnicodeDecodeError:
                return None
            if any("/" in segment for segment in segments):
                return None
            path = "/".join(segments)
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        path = path[len(root) :]
    if not path.startswith("/") or "//" in path or "\ufffd" in path or _UNPRINTABLE.search(path):
        return None
    if "/." in path and not _DOTS.isdisjoint(path.split("/")):
        return None
    return path
