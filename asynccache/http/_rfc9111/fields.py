"""Reading header fields: lists, directives, ages, entity tags (RFC 9110 section 5.6, RFC 9111 section 5).

No function here raises on any bytes, and each takes time linear in its input: a quoted string is
found by one pass over the special characters, never by a pattern that could backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from asynccache.http._rfc9111.dates import format_http_date, http_date

__all__ = [
    "MAX_DELTA",
    "Directives",
    "EntityTag",
    "FieldLines",
    "Headers",
    "age",
    "cache_control",
    "entity_tags",
    "field_values",
    "format_http_date",
    "http_date",
    "is_token",
    "list_members",
]

Headers = Sequence[tuple[bytes, bytes]]
"""Raw header fields as ASGI has them. Names ought to be lower-case; applications do not always comply."""

MAX_DELTA: Final = 2**31
"""The number of seconds any larger one is read as (RFC 9111 section 1.2.2)."""

_DIGITS: Final = len(str(MAX_DELTA))
_COMMA, _SEMICOLON, _QUOTE, _BACKSLASH = b',;"\\'
_SPECIAL: Final = re.compile(rb'[,;"\\]')
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def is_token(text: bytes) -> bool:
    """Return whether ``text`` is a token (RFC 9110 section 5.6.2), as every field name is."""
    return _TOKEN.fullmatch(text) is not None


class FieldLines(tuple[tuple[bytes, bytes], ...]):  # noqa: SLOT001  (tuples cannot have any)
    """Header fields that will be looked at often: their values are found by name."""

    values: dict[bytes, list[bytes]]

    @classmethod
    def of(cls, lines: Iterable[tuple[bytes, bytes]]) -> FieldLines:
        """Return the lines, ready to be looked at."""
        made = cls(lines)
        made.values = {}
        for name, value in made:
            made.values.setdefault(name.lower(), []).append(value)
        return made


def field_values(headers: Headers, name: bytes) -> list[bytes]:
    """Return the value of every line of the field ``name`` (lower-case), in order (RFC 9110 section 5.2)."""
    if type(headers) is FieldLines:
        return headers.values.get(name, [])
    size = len(name)
    return [value for key, value in headers if len(key) == size and (key == name or key.lower() == name)]


def list_members(headers: Headers, name: bytes) -> list[bytes]:
    """Return the non-empty members of a comma-separated field over all its lines (RFC 9110 section 5.6.1).

    A line whose last quote is never closed is malformed; the member in which it opens is then split
    at every comma, because it is safer to see too many members than to let one quote hide the rest.
    """
    return [member for value in field_values(headers, name) for member in _members(value)]


def _members(value: bytes, separators: bytes = b",", *, escapes: bool = True) -> list[bytes]:
    pieces = (
        _split(value, separators) if b'"' not in value else _split_quoted(value, separators, escapes=escapes)
    )
    return [member for piece in pieces if (member := piece.strip())]


def _split(value: bytes, separators: bytes) -> list[bytes]:
    return (value.replace(b";", b",") if _SEMICOLON in separators else value).split(b",")


def _split_quoted(value: bytes, separators: bytes, *, escapes: bool) -> list[bytes]:
    members: list[bytes] = []
    start, escaped, quoted = 0, -1, False
    for match in _SPECIAL.finditer(value):
        at = match.start()
        if at == escaped:
            continue
        character = value[at]
        if character == _QUOTE:
            quoted = not quoted
        elif quoted:
            if escapes and character == _BACKSLASH:
                escaped = at + 1
        elif character in separators:
            members.append(value[start:at])
            start = at + 1
    members += _split(value[start:], separators) if quoted else [value[start:]]
    return members


class Directives:
    """The directives of Cache-Control (RFC 9111 section 5.2): whole tokens in any case, over all lines.

    Of duplicates the most restrictive counts. A semicolon separates like a comma: it can be part of
    no directive, and ``public; private`` must not pass for ``public``.
    """

    __slots__ = ("_arguments",)

    def __init__(self, values: Iterable[bytes]) -> None:
        self._arguments: dict[str, list[bytes | None]] = {}
        for value in values:
            for member in _members(value, b",;"):
                name, equals, argument = member.partition(b"=")
                directive = name.rstrip()
                # A space before "=" is no valid argument, but the directive is still meant.
                given = (argument if directive == name else b"") if equals else None
                self._arguments.setdefault(directive.lower().decode("latin-1"), []).append(given)

    def __repr__(self) -> str:
        return f"<Directives {' '.join(self._arguments) or 'none'}>"

    def has(self, name: str) -> bool:
        """Return whether the directive is there, with or without an argument, valid or not."""
        return name in self._arguments

    def seconds(self, name: str) -> int | None:
        """Return the directive's argument in seconds; None without it (RFC 9111 sections 1.2.2 and 4.2.1).

        An argument that is no non-negative integer makes the response stale: it counts as 0, or as
        the longest time for ``min-fresh``, which asks for more the larger it is. ``max-stale``
        without an argument accepts any staleness (section 5.2.1.2).
        """
        if (arguments := self._arguments.get(name)) is None:
            return None
        if name == "min-fresh":
            return max(_seconds(argument, MAX_DELTA) for argument in arguments)
        bare = MAX_DELTA if name == "max-stale" else 0
        return min(bare if argument is None else _seconds(argument, 0) for argument in arguments)

    def fields(self, name: str) -> tuple[bytes, ...]:
        """Return the field names in ``no-cache="…"`` or ``private="…"``, lower-case (RFC 9111 section 5.2.2).

        Empty if the directive is absent or if it, or one duplicate of it, speaks of the whole response.
        """
        names: list[bytes] = []
        for argument in self._arguments.get(name, ()):
            listed = _members(_unquoted(argument).lower()) if argument else []
            if not listed:
                return ()
            names += listed
        return tuple(dict.fromkeys(names))


def cache_control(headers: Headers, name: bytes = b"cache-control") -> Directives:
    """Return the directives of Cache-Control or of a targeted field (RFC 9111 section 5.2, RFC 9213)."""
    return Directives(field_values(headers, name))


def _unquoted(argument: bytes) -> bytes:
    if len(argument) > 1 and argument[0] == argument[-1] == _QUOTE:
        return _ESCAPED.sub(rb"\1", argument[1:-1])
    return argument


def _seconds(argument: bytes | None, invalid: int) -> int:
    seconds = _delta_seconds(_unquoted(argument or b""))
    return invalid if seconds is None else seconds


def _delta_seconds(text: bytes) -> int | None:
    if not text.isdigit():  # of bytes: ASCII digits and nothing else
        return None
    significant = text.lstrip(b"0")
    # int() of a long text is quadratic, and refused beyond some thousand digits.
    return MAX_DELTA if len(significant) > _DIGITS else min(int(significant or b"0"), MAX_DELTA)


def age(headers: Headers) -> int | None:
    """Return Age in seconds, None if absent or invalid; of a list the first member (RFC 9111 section 5.1)."""
    members = list_members(headers, b"age")
    return _delta_seconds(members[0]) if members else None


class EntityTag(NamedTuple):
    """An entity tag (RFC 9110 section 8.8.3)."""

    opaque: bytes
    """The tag with its quotes, without ``W/``: what a weak comparison compares."""
    weak: bool


def entity_tags(headers: Headers, name: bytes) -> tuple[EntityTag, ...] | Literal["*"]:
    """Return the entity tags of If-Match or If-None-Match, or ``"*"`` (RFC 9110 sections 13.1.1 and 13.1.2).

    A backslash escapes nothing within an entity tag. Malformed members are left out, among them a
    ``*`` beside others.
    """
    members = [m for value in field_values(headers, name) for m in _members(value, escapes=False)]
    if members == [b"*"]:
        return "*"
    return tuple(tag for member in members if (tag := _entity_tag(member)) is not None)


def _entity_tag(member: bytes) -> EntityTag | None:
    opaque = member.removeprefix(b"W/")
    if len(opaque) < 2 or opaque[0] != _QUOTE or opaque.find(b'"', 1) != len(opaque) - 1:
        return None
    return EntityTag(opaque, len(opaque) != len(member))
