"""Structured fields, as far as caches are addressed in them: dictionaries (RFC 9651 section 4.2.2).

Strict, as that RFC asks: what is malformed anywhere is ignored as a whole. Nothing here raises, and each
byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["Item", "dictionary"]

Item = int | float | bool | str | bytes | None
"""A member's value, without parameters. None: of a type that no cache directive has (inner list, date,
display string)."""

_KEY: Final = re.compile(rb"[a-z*][a-z0-9_\-.*]*")
_ITEM: Final = re.compile(
    rb"(?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,3})?)(?![0-9.])"
    rb'|"(?P<string>(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    rb"|(?P<token>[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*)"
    rb"|:(?P<bytes>[A-Za-z0-9+/=]*):"
    rb"|\?(?P<boolean>[01])"
    rb"|@(?P<date>-?[0-9]{1,15})(?![0-9.])"
    rb'|%"(?P<display>(?:[\x20-\x21\x23-\x24\x26-\x7e]|%[0-9a-f]{2})*)"'
)
_COMMA: Final = re.compile(rb"[ \t]*,[ \t]*")
_SEMICOLON: Final = re.compile(rb";[ ]*")
_ESCAPED: Final = re.compile(rb"\\(.)")
_DECIMAL_DIGITS: Final = 12


class _MalformedError(Exception):
    """The field is no dictionary."""


def dictionary(lines: list[bytes]) -> dict[str, Item] | None:
    """Return the members of a dictionary, the last of each key; None if any part of it is malformed.

    Args:
        lines: The value of each line of the field; together they are one list.
    """
    # Whitespace around a line is no part of it (RFC 9110 section 5.5), but not every server takes it off.
    text = b",".join(line.strip(b" \t") for line in lines)
    members: dict[str, Item] = {}
    at = 0
    try:
        while at < len(text):
            key, at = _key(text, at)
            value: Item = True
            if text[at : at + 1] == b"=":
                value, at = _member(text, at + 1)
            at = _parameters(text, at)
            members[key] = value
            if at == len(text):
                break
            comma = _COMMA.match(text, at)
            if comma is None or comma.end() == len(text):
                return None
            at = comma.end()
    except _MalformedError:
        return None
    return members


def _key(text: bytes, at: int) -> tuple[str, int]:
    found = _KEY.match(text, at)
    if found is None:
        raise _MalformedError
    return found[0].decode("ascii"), found.end()


def _member(text: bytes, at: int) -> tuple[Item, int]:
    if text[at : at + 1] != b"(":
        return _item(text, at)
    at += 1
    while True:
        while text[at : at + 1] == b" ":
            at += 1
        if text[at : at + 1] == b")":
            return None, at + 1
        _, at = _item(text, at)
        at = _parameters(text, at)
        if text[at : at + 1] not in (b" ", b")"):
            raise _MalformedError


def _item(text: bytes, at: int) -> tuple[Item, int]:
    found = _ITEM.match(text, at)
    if found is None:
        raise _MalformedError
    return _value(found), found.end()


def _value(found: re.Match[bytes]) -> Item:
    if (number := found["number"]) is not None:
        whole, point, _ = number.partition(b".")
        if point and len(whole.lstrip(b"-")) > _DECIMAL_DIGITS:
            raise _MalformedError
        return float(number) if point else int(number)
    if (string := found["string"]) is not None:
        return _ESCAPED.sub(rb"\1", string).decode("ascii")
    if (token := found["token"]) is not None:
        return token.decode("ascii")
    if (encoded := found["bytes"]) is not None:
        return _decoded(encoded)
    if (display := found["display"]) is not None:
        _check_utf8(display)
    return None if found["boolean"] is None else found["boolean"] == b"1"


def _decoded(encoded: bytes) -> bytes:
    """Decode base64, with or without its padding (RFC 9651 section 4.2.7)."""
    text = encoded.rstrip(b"=")
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except Error:
        raise _MalformedError from None


def _check_utf8(display: bytes) -> None:
    try:
        unquote_to_bytes(display).decode("utf-8")
    except UnicodeDecodeError:
        raise _MalformedError from None


def _parameters(text: bytes, at: int) -> int:
    while (mark := _SEMICOLON.match(text, at)) is not None:
        _, at = _key(text, mark.end())
        if text[at : at + 1] == b"=":
            _, at = _item(text, at + 1)
    return at
