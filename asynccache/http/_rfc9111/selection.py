"""Which stored variant answers a request: Vary and its secondary key (RFC 9111 section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from asynccache.http._rfc9111.fields import Headers, field_values, is_token, list_members

__all__ = [
    "ACCEPT_LANGUAGE",
    "MAX_VARIANTS",
    "content_language",
    "normalise",
    "preferred_language",
    "selecting",
    "variant_digest",
    "vary_names",
]

ACCEPT_LANGUAGE: Final = b"accept-language"

MAX_VARIANTS: Final = 32
"""Variants kept of one URI. Clients choose the values that select them, so their number needs a limit."""

_TEXT: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"date",
        b"from",
        b"host",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"proxy-authorization",
        b"referer",
        b"user-agent",
    }
)
"""Fields that are no lists: commas and spaces in them are text."""
_CASELESS: Final = frozenset({b"accept-charset", b"accept-language", b"access-control-request-headers"})
_REMEMBERED: Final = 256
"""The longest value, in bytes, whose normal form is remembered."""
_CODING: Final = re.compile(
    rb"(?P<coding>[!#$%&'*+\-.^_`|~0-9a-z]+)"
    rb"(?:[ \t]*;[ \t]*q=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_LANGUAGE: Final = re.compile(
    rb"(?P<language>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)"
    rb"(?:[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """Return the fields Vary names, lower-case, sorted, distinct; None for ``*`` (RFC 9110 section 12.5.5).

    A member that can be no field's name counts as ``*``: it was meant to distinguish something, and
    no request would ever have it.
    """
    names = {member.lower() for member in list_members(headers, b"vary")}
    return None if b"*" in names or not all(map(is_token, names)) else tuple(sorted(names))


def selecting(headers: Headers) -> tuple[bytes, ...]:
    """Return the fields by which a stored response is selected: those in Vary, and what it was encoded for.

    Encoded bytes are no use to who cannot decode them; an application that forgets Vary has not meant that.
    """
    names = vary_names(headers) or ()
    encoded = {member.lower() for member in list_members(headers, b"content-encoding")} - {b"identity"}
    return tuple(sorted({*names, b"accept-encoding"})) if encoded else names


def normalise(name: bytes, values: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return a request field's lines in the form in which they are compared; ``()`` only if there is none.

    RFC 9111 section 4.1 allows combining lines, and removing whitespace where the field's syntax
    allows it, which it does around the commas of a list. In User-Agent and the like a comma is text.
    So it may be within quotes: a field that has some is left alone.

    Args:
        name: The field's name, lower-case.
        values: The value of each of its lines.
    """
    lines = tuple(value.strip() for value in values)
    if not lines or name in _TEXT:
        return lines
    short = sum(map(len, lines)) <= _REMEMBERED
    return _remembered_list(name, lines) if short else _list(name, lines)


def _list(name: bytes, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if any(b'"' in line for line in lines):
        return lines
    members = [member for line in lines for piece in line.split(b",") if (member := piece.strip())]
    if name == b"accept-encoding":
        members = _codings(members)
    combined = b",".join(members)
    return (combined.lower() if name in _CASELESS else combined,)


# Browsers send few different values, on every request. Long ones are not kept: clients choose them.
_remembered_list = lru_cache(maxsize=1024)(_list)


def _codings(members: list[bytes]) -> list[bytes]:
    """Sort an Accept-Encoding (RFC 9110 section 12.5.3) and write each weight in one way.

    Refused codings (``gzip;q=0``) and exact weights are kept. They change the answer where ``*`` or
    ``identity`` is among them, and elsewhere too: many applications just look for ``gzip`` in the
    text. If ``gzip;q=0, br`` and ``br`` were one, a client could have gzip stored for those who asked for br.
    """
    codings: set[bytes] = set()
    for member in members:
        match = _CODING.fullmatch(member.lower())
        if match is None:
            return members
        weight = match["weight"] or b"1"
        if b"." in weight:
            weight = weight.rstrip(b"0").rstrip(b".")
        codings.add(match["coding"] if weight == b"1" else match["coding"] + b";q=" + weight)
    return sorted(codings)


def preferred_language(headers: Headers) -> bytes | None:
    """Return the one language a request would rather have than any other (RFC 9110 section 12.5.4).

    None if there is none, or if several have the greatest weight: their order says something to some
    applications and nothing to others.

    Args:
        headers: The request's fields.
    """
    best: bytes | None = None
    most = 0.0
    for found in map(_LANGUAGE.fullmatch, list_members(headers, ACCEPT_LANGUAGE)):
        if found is None:
            return None
        weight = float(found["weight"] or b"1")
        if weight > most:
            best, most = found["language"].lower(), weight
        elif weight == most:
            best = None
    return None if best == b"*" else best


def content_language(request_headers: Headers, headers: Headers) -> bytes | None:
    """Return the language for which others may have a response too, lower-case; None if there is none.

    It names exactly one, and was asked for with nothing but languages and weights: what else a client writes
    into the field, a page may show.

    Args:
        request_headers: The fields of the request that it answers.
        headers: Its own fields.
    """
    members = list_members(headers, b"content-language")
    asked = list_members(request_headers, ACCEPT_LANGUAGE)
    return members[0].lower() if len(members) == 1 and all(map(_LANGUAGE.fullmatch, asked)) else None


def variant_digest(names: Sequence[bytes], request_headers: Headers, extra: Sequence[str] = ()) -> str:
    """Return the secondary key of a request: 32 hexadecimal digits (RFC 9111 section 4.1).

    Two requests have the same one only if all the fields agree after `normalise` and ``extra`` is
    the same: every part is preceded by its length and every list by its count.

    Args:
        names: The fields that select, as `vary_names` returns them.
        request_headers: The request's fields.
        extra: What else distinguishes variants: chosen cookies, a user.
    """
    return blake2b(b"".join(_encoded(names, request_headers, extra)), digest_size=16).hexdigest()


def _encoded(names: Sequence[bytes], request_headers: Headers, extra: Sequence[str]) -> Iterator[bytes]:
    yield b"%d," % len(names)
    for name in names:
        lines = normalise(name, field_values(request_headers, name))
        yield b"%d:%b%d," % (len(name), name, len(lines))
        for line in lines:
            yield b"%d:%b" % (len(line), line)
    yield b"%d," % len(extra)
    for text in extra:
        part = text.encode("utf-8", "surrogatepass")
        yield b"%d:%b" % (len(part), part)
