"""The options in a store's URL: what is allowed, how it is read, and errors that never show a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from asynccache.errors import ConfigurationError

__all__ = ["parse_count", "parse_size", "query_options", "split_url"]

_SIZE: Final = re.compile(r"([0-9]{1,18})\s*([kmg]?i?b?)\Z", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


def parse_size(text: str, name: str = "size") -> int:
    """Return a number of bytes: ``65536``, ``64kb`` (64,000), ``64kib`` (65,536), likewise mb, mib, gb, gib.

    Raises:
        ConfigurationError: it is none of these.
    """
    match = _SIZE.match(text)
    factor = _UNITS.get(match[2].lower().removesuffix("b")) if match else None
    if match is None or factor is None:
        raise ConfigurationError(f"{name} must be a size such as 65536, 64kb, 64mib or 1gb, not {text!r}")
    return int(match[1]) * factor


def parse_count(text: str, name: str) -> int:
    """Return a plain non-negative integer.

    Raises:
        ConfigurationError: it is anything else.
    """
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise ConfigurationError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def split_url(url: str) -> SplitResult:
    """Return the parts of ``url``.

    Raises:
        ConfigurationError: it is malformed. The message does not show it: there may be a password in it.
    """
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError("a store's URL is malformed: its host is no name and no address") from None


def query_options(
    query: str,
    parsers: Mapping[str, Callable[[str, str], Any]],
    given: Mapping[str, Any],
    scheme: str,
) -> dict[str, Any]:
    """Return the options of a URL's query, parsed, together with those ``given`` as arguments.

    Raises:
        ConfigurationError: an option is unknown, given twice or malformed. The message names what is
            allowed, and shows no value of an option that is not.
    """
    allowed = f"{scheme}:// takes {', '.join(parsers) or 'no options'}"
    options = dict(given)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ConfigurationError(f"malformed options: {allowed}, as name=value joined by &") from None
    for name, text in pairs:
        parse = parsers.get(name)
        if parse is None:
            raise ConfigurationError(f"unknown option {name!r}: {allowed}")
        if name in options:
            raise ConfigurationError(f"option {name} is given twice")
        options[name] = parse(text, name)
    return options
