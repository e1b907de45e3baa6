"""Keys: what a store is asked for. Distinct questions never share a key; that is what this module is about.

A full key is ``namespace prefix + sigil + name``: ``shop:eu:`` + ``:`` + ``user:42``. The sigil tells
a value (``:``) from a tag's stamp (``#``, ``~``) and an HTTP response (``@``). No segment of a namespace
can contain any of them, so whatever the names are, a child, a value and a tag never meet, and one
prefix covers exactly a namespace with all its children.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from enum import Enum
from hashlib import blake2b
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes
from uuid import UUID

from asynccache._arguments import Unkeyable, encode, label
from asynccache.errors import ConfigurationError, InvalidKeyError

__all__ = ["KeyTemplate", "Kind", "Namespace", "call_key", "check_key", "describe", "digest", "split"]

Kind = Literal["value", "tag", "soft_tag", "http"]
"""What is stored under a full key."""

_SIGILS: Final[dict[str, Kind]] = {":": "value", "#": "tag", "~": "soft_tag", "@": "http"}
_FULL_KEY: Final = re.compile(r"((?:[A-Za-z0-9_.%-]+:)+)([:#~@])(.+)\Z", re.DOTALL)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_READABLE: Final = 512
"""Characters; a longer call key is replaced by its digest."""


def check_key(key: object, name: str = "key") -> str:
    """Return ``key`` as an exact ``str`` if a store can hold it.

    Args:
        key: What the caller passed.
        name: The argument's name, for the error message.

    Raises:
        TypeError: it is not a str.
        InvalidKeyError: it is empty or has lone surrogates, which UTF-8 cannot encode.
    """
    if not isinstance(key, str):
        msg = f"{name} must be a str, not {type(key).__name__}"
        raise TypeError(msg)
    if type(key) is not str:
        key = str.__str__(key)
    if not key:
        msg = f"{name} must not be empty"
        raise InvalidKeyError(msg)
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            msg = f"{name} {key!r} has lone surrogates, which UTF-8 cannot encode"
            raise InvalidKeyError(msg) from None
    return key


def digest(text: str) -> str:
    """Return the blake2b-128 of ``text`` in hex, for stores that cannot hold the text itself."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _segment(name: object) -> str:
    """Return ``name`` as a segment, free of every character that has a meaning in a full key."""
    if not isinstance(name, str) or not name:
        msg = f"a namespace must be a non-empty str, not {name!r}"
        raise ConfigurationError(msg)
    try:
        return _UNSAFE.sub(lambda match: _percent(match[0]), name)
    except UnicodeEncodeError:
        msg = f"namespace {name!r} has lone surrogates, which UTF-8 cannot encode"
        raise ConfigurationError(msg) from None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Namespace:
    """A path of names that all keys of a cache begin with.

    >>> Namespace("shop").child("eu").value_prefix + "user:42"
    'shop:eu::user:42'
    """

    segments: tuple[str, ...]
    """The names, as given."""
    prefix: str = field(compare=False)
    """Begins every key of this namespace and of its children, and no other key."""
    value_prefix: str = field(compare=False)
    tag_prefix: str = field(compare=False)
    """Of the stamp whose change makes entries dead."""
    soft_tag_prefix: str = field(compare=False)
    """Of the stamp whose change makes entries stale."""
    http_prefix: str = field(compare=False)

    def __init__(self, *segments: str) -> None:
        if not segments:
            msg = "a namespace needs at least one name"
            raise ConfigurationError(msg)
        prefix = "".join(_segment(name) + ":" for name in segments)
        put = object.__setattr__
        put(self, "segments", tuple(str.__str__(name) for name in segments))
        put(self, "prefix", prefix)
        for sigil, kind in _SIGILS.items():
            put(self, f"{kind}_prefix", prefix + sigil)

    def child(self, name: str) -> Namespace:
        """Return the namespace ``name`` inside this one; clearing this one clears it too."""
        return Namespace(*self.segments, name)

    def __repr__(self) -> str:
        return f"Namespace({', '.join(map(repr, self.segments))})"


def split(full_key: str) -> tuple[Namespace, Kind, str]:
    """Return the namespace, the kind and the name that make up ``full_key``.

    Raises:
        InvalidKeyError: it is not a key that asynccache would write.
    """
    match = _FULL_KEY.match(full_key)
    if match is not None:
        prefix, sigil, name = match.groups()
        try:
            namespace = Namespace(*(unquote_to_bytes(part).decode() for part in prefix[:-1].split(":")))
        except UnicodeDecodeError:
            pass
        else:
            if namespace.prefix == prefix:
                return namespace, _SIGILS[sigil], name
    msg = f"{full_key!r} is not a key of asynccache"
    raise InvalidKeyError(msg)


def describe(full_key: str) -> str:
    """Return ``full_key`` in words, for error messages and tools; a foreign key is only quoted."""
    try:
        namespace, kind, name = split(full_key)
    except InvalidKeyError:
        return repr(full_key)
    return f"{kind.replace('_', ' ')} {name!r} in {'/'.join(namespace.segments)}"


def call_key(name: str, arguments: Mapping[str, object]) -> str:
    """Return the key of one call: readable, equal in every process, different for different arguments.

    ``1``, ``True``, ``1.0`` and ``"1"`` differ; sets and dicts do not depend on their order; objects with
    declared fields (dataclasses, attrs, msgspec, pydantic, named tuples) count by class and fields.
    Beyond 512 characters the arguments are replaced by a blake2b-128 digest.

    >>> call_key("shop.items:get_user", {"user_id": 42, "lang": "de"})
    "shop.items:get_user(user_id=42, lang='de')"

    Args:
        name: The function, as ``module:qualname``.
        arguments: Parameters and their values, in the order of the signature.

    Raises:
        InvalidKeyError: an argument (a session, a request, a function) has no lasting identity.
    """
    if "(" in name or "%" in name:
        name = name.replace("%", "%25").replace("(", "%28")
    parameter = ""
    texts: list[str] = []
    try:
        for parameter, value in arguments.items():
            texts.append(f"{label(parameter)}={encode(value)}")
    except Unkeyable as exc:
        msg = (
            f"argument {parameter!r} of {name} cannot be part of a key: {exc}; "
            f"leave it out with ignore=({parameter!r},) or give key="
        )
        raise InvalidKeyError(msg) from None
    key = f"{name}({', '.join(texts)})"
    if len(key) > _READABLE:
        # A parameter never begins with "#": this meets no readable key.
        key = f"{name}(#{digest(check_key(key))})"
    return check_key(key)


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
            msg = f"template field {self.source} has no value"
            raise InvalidKeyError(msg) from exc
        text = value if type(value) is str else _plain(value, self.source)
        if self.stop:
            text = text.replace("%", "%25").replace(self.stop, _percent(self.stop))
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
            msg = f"template field {source} is too large a number for a key"
            raise InvalidKeyError(msg) from None
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
        self.template = template
        """The text, as given."""
        self._fields, self._tail = _parse(template, tuple(parameters))
        self.parameters = tuple(dict.fromkeys(part.parameter for part in self._fields))
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
        msg = f"a template must be a non-empty str, not {template!r}"
        raise ConfigurationError(msg)
    fields: list[_Field] = []
    text = ""
    for literal, name in _pieces(template):
        text += literal
        if name is None:
            continue
        parameter, *attributes = name.split(".")
        if parameter not in parameters:
            known = ", ".join(parameters) or "none"
            msg = f"template {template!r}: unknown field {{{name}}}; known are: {known}"
            raise ConfigurationError(msg)
        if fields:
            fields[-1] = _ended(fields[-1], text, template)
        fields.append(_Field(text, f"{{{name}}}", parameter, tuple(attributes)))
        text = ""
    return tuple(fields), text


def _ended(part: _Field, separator: str, template: str) -> _Field:
    """Return ``part`` ended by the first character of ``separator``."""
    # Letters and digits would appear in the percent-encoding of what they separate.
    if not separator or separator[0] == "%" or separator[0].isalnum():
        msg = f"template {template!r}: put a separator such as ':' right after {part.source}"
        raise ConfigurationError(msg)
    return replace(part, stop=separator[0])


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """Yield literal text with the field after it, if any."""
    try:
        pieces: list[tuple[str, Any, Any, Any]] = list(string.Formatter().parse(template))
    except ValueError as exc:
        msg = f"template {template!r}: {exc}; write {{{{ and }}}} for braces"
        raise ConfigurationError(msg) from None
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
