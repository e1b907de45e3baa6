"""What a key is called on a memcached server. Pure.

Memcached takes 1 to 250 bytes without spaces and control characters, and some proxies no more than ASCII.
A key that is such a name is sent as it is. Any other is sent as a digest, and what is stored under it
carries the full key, which is compared on reading: a collision of digests is a miss.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from asynccache.keys import check_key

__all__ = ["AWAY_MARK", "HOME_MARK", "locate"]

_RESERVED: Final = "asynccache#"
"""What our own names begin with: a user's key that looks like one is sent as a digest too."""
HOME_MARK: Final = b"asynccache#home"
AWAY_MARK: Final = b"asynccache#away"
_DIGEST: Final = b"asynccache#key:"
_plain = re.compile(r"[\x21-\x7e]{1,250}").fullmatch


def locate(key: str) -> tuple[bytes, bytes]:
    """Return the name of ``key`` on the server, and the full key if the name is a digest, else nothing.

    Raises:
        TypeError: ``key`` is not a ``str``.
        InvalidKeyError: ``key`` is empty or cannot be written as UTF-8.
    """
    key = check_key(key)
    if _plain(key) and not key.startswith(_RESERVED):
        return key.encode(), b""
    full = key.encode()
    return _DIGEST + blake2b(full, digest_size=16).hexdigest().encode(), full
