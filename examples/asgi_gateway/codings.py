"""Responses in other transfer codings than ``chunked`` alone (RFC 9112 sections 6.1, 6.3 and 7)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["without_codings"]

_COMPRESSIONS: Final = frozenset(
    b"compress deflate gzip x-compress x-gzip"  # transfer codings (RFC 9112 section 7.2)
    b" aes128gcm br dcb dcz exi pack200-gzip zstd".split()  # content codings, in the wrong field
)
_HEAD_END: Final = re.compile(rb"\n(?=\r?\n)")
_CODINGS: Final = re.compile(rb"^transfer-encoding:(.*(?:\n[ \t].*)*)\n", re.IGNORECASE | re.MULTILINE)
_LENGTH: Final = re.compile(rb"^content-length:", re.IGNORECASE | re.MULTILINE)
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-z]+")


def without_codings(response: bytes) -> bytes | None:
    """Return a response without the transfer codings that mean nothing; None if they may mean something.

    Nobody has asked the origin for any, so all that it may use is ``chunked`` (RFC 9112 section 7.4). A word
    that names no coding (``identity``, ``binary``) comes from an application that does not know what the
    field is for, and its content is what it is. The name of a compression may be true: without it, the bytes
    would pass for what they are not.

    None of this has a say in where the response ends: after the last chunk where ``chunked`` is the final
    coding, else with the connection (section 6.3).

    Args:
        response: All of its head, and what has come of its content.
    """
    end = _HEAD_END.search(response)
    if end is None:
        return None
    head, rest = response[: end.end()], response[end.end() :]
    names = [name.strip().lower() for line in _CODINGS.findall(head) for name in line.split(b",")]
    names = [name for name in names if name]
    chunked = names[-1:] == [b"chunked"]
    words = names[:-1] if chunked else names
    # With a length too, or a chunked that is not the last, recipients disagree on where the response ends.
    if not names or not all(_meaningless(word) for word in words) or _LENGTH.search(head):
        return None
    return _CODINGS.sub(b"", head) + (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + rest


def _meaningless(word: bytes) -> bool:
    return bool(_TOKEN.fullmatch(word)) and word not in _COMPRESSIONS and b"chunked" not in word
