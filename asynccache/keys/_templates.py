"""Templates of keys and tags: ``"user:{user_id}"``."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from enum import Enum
from typing import Any
from uuid import UUID

from asynccache.errors import ConfigurationError, InvalidKeyError
from asynccache.keys._names import check_key, percent

__all__ = ["KeyTemplate"]


@dataclass(frozen=True, slots=True)
class _Field:
    """One ``{parameter.attribute}`` of a template."""

    before: str
    """The literal text in front of it."""
    source: str
    """The field as written."""
    parameter: str
    attributes: tuple[str, ...]
    stop: str = ""
    """The character that ends the value when another field follows, else nothing."""

    def render(self, arguments: Mapping[str, object]) -> str:
        """Return the field's value as text."""
        try:
            value = arguments[self.parameter]
            for attribute in self.attributes:
                value = getattr(value, attribute)
        except (KeyError, AttributeError) as exc:
            raise InvalidKeyError(f"template field {self.source} has no value") from exc
        text = value if type(value) is str else _plain(value, self.source)
        if self.stop:
            text = text.replace("%", "%25").replace(self.stop, percent(self.stop))
        return text


def _plain(value: object, source: str) -> str:
    """Return ``value`` as an f-string shows it, if that tells it from its likes."""
    if value is None or isinstance(value, (Enum, UUID, bool, date, time)):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        try:
            return int.__repr__(value)
        except ValueError:  # more digits than sys.get_int_max_str_digits()
            raise InvalidKeyError(f"template field {source} is too large a number for a key") from None
    msg = (
        f"template field {source} is of type {type(value).__qualname__}; a template takes str, int, bool, "
        "None, UUID, Enum and dates: name an attribute like {item.id}, or give a function as key="
    )
    raise InvalidKeyError(msg)


class KeyTemplate:
    """A key or tag with fields for arguments: ``"user:{user_id}"``, ``"item:{item.id}"``.

    Values appear as an f-string shows them, so 1 and "1" give the same key. Otherwise distinct values
    give distinct keys: where one field is followed by another, ``%`` and the character after the
    field are percent-encoded in its value, so that the value ends where that character first appears.

    >>> KeyTemplate("{a}:{b}", ("a", "b")).render({"a": "x:y", "b": "z:"})
    'x%3Ay:z:'

    Args:
        template: The text; ``{{`` and ``}}`` stand for braces.
        parameters: The names that fields may begin with.

    Raises:
        ConfigurationError: it is not such a template, or names something else.
    """

    __slots__ = ("_fields", "_tail", "parameters", "template")

    def __init__(self, template: str, parameters: Sequence[str]) -> None:
        self.template: str = template
        """The text, as given."""
        self._fields, self._tail = _parse(template, tuple(parameters))
        self.parameters: tuple[str, ...] = tuple(dict.fromkeys(part.parameter for part in self._fields))
        """The parameters it uses; none for a constant."""

    def render(self, arguments: Mapping[str, object]) -> str:
        """Return the key for ``arguments``.

        Raises:
            InvalidKeyError: a value is absent or of a type that does not show its identity.
        """
        key = "".join([part.before + part.render(arguments) for part in self._fields]) + self._tail
        return check_key(key, self.template)

    def __repr__(self) -> str:
        return f"KeyTemplate({self.template!r})"


def _parse(template: object, parameters: tuple[str, ...]) -> tuple[tuple[_Field, ...], str]:
    """Return the fields of ``template`` and the text after the last."""
    if not isinstance(template, str) or not template:
        raise ConfigurationError(f"a template must be a non-empty str, not {template!r}")
    fields: list[_Field] = []
    text = ""
    for literal, name in _pieces(template):
        text += literal
        if name is None:
            continue
        parameter, *attributes = name.split(".")
        if parameter not in parameters:
            known = ", ".join(parameters) or "none"
            raise ConfigurationError(f"template {template!r}: unknown field {{{name}}}; known are: {known}")
        if fields:
            fields[-1] = _ended(fields[-1], text, template)
        fields.append(_Field(text, f"{{{name}}}", parameter, tuple(attributes)))
        text = ""
    return tuple(fields), text


def _ended(part: _Field, separator: str, template: str) -> _Field:
    """Return ``part`` ended by the first character of ``separator``."""
    # Letters and digits would appear in the percent-encoding of what they separate.
    if not separator or separator[0] == "%" or separator[0].isalnum():
        raise ConfigurationError(
            f"template {template!r}: put a separator such as ':' right after {part.source}"
        )
    return replace(part, stop=separator[0])


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """Yield literal text with the field after it, if any."""
    try:
        pieces: list[tuple[str, Any, Any, Any]] = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise ConfigurationError(f"template {template!r}: {exc}; write {{{{ and }}}} for braces") from None
    for literal, name, spec, conversion in pieces:
        if name is not None and (
            spec or conversion or not all(part.isidentifier() for part in name.split("."))
        ):
            msg = (
                f"template {template!r}: a field is a parameter like {{id}} or {{item.id}}, "
                "without positions, indexes, conversions (!r) or formats (:>5)"
            )
            raise ConfigurationError(msg)
        yield literal, name
