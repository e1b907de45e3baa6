"""Full keys: namespace, kind, name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from asynccache.errors import ConfigurationError, InvalidKeyError

__all__ = ["Kind", "Namespace", "check_key", "describe", "digest", "percent", "split"]

Kind = Literal["value", "tag", "soft_tag", "http"]
"""What is stored under a full key."""

_SIGILS: Final[dict[str, Kind]] = {":": "value", "#": "tag", "~": "soft_tag", "@": "http"}
_FULL_KEY: Final = re.compile(r"((?:[A-Za-z0-9_.%-]+:)+)([:#~@])(.+)\Z", re.DOTALL)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")


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
        raise TypeError(f"{name} must be a str, not {type(key).__name__}")
    if type(key) is not str:
        key = str.__str__(key)
    if not key:
        raise InvalidKeyError(f"{name} must not be empty")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise InvalidKeyError(f"{name} {key!r} has lone surrogates, which UTF-8 cannot encode") from None
    return key


def digest(text: str) -> str:
    """Return the blake2b-128 of ``text`` in hex, for stores that cannot hold the text itself."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def percent(text: str) -> str:
    """Return every byte of ``text`` percent-encoded."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _segment(name: object) -> str:
    """Return ``name`` as a segment, free of every character that has a meaning in a full key."""
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a namespace must be a non-empty str, not {name!r}")
    try:
        return _UNSAFE.sub(lambda match: percent(match[0]), name)
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"namespace {name!r} has lone surrogates, which UTF-8 cannot encode"
        ) from None


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
            raise ConfigurationError("a namespace needs at least one name")
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
    raise InvalidKeyError(f"{full_key!r} is not a key of asynccache")


def describe(full_key: str) -> str:
    """Return ``full_key`` in words, for error messages and tools; a foreign key is only quoted."""
    try:
        namespace, kind, name = split(full_key)
    except InvalidKeyError:
        return repr(full_key)
    return f"{kind.replace('_', ' ')} {name!r} in {'/'.join(namespace.segments)}"
