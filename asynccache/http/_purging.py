"""`purge`: have stored responses forgotten by URL, from anywhere, not only from a request."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from asynccache.cache import Cache
from asynccache.errors import ConfigurationError
from asynccache.http import rules
from asynccache.http._responses import ResponseCache

__all__ = ["purge"]

_BELOW: Final = "/*"
_STRANGE: Final = re.compile(r"[^\x21-\x7e]|#")


async def purge(cache: Cache, *urls: str) -> bool:
    """Remove stored responses by URL, all variants of each.

    By tag: ``await cache.invalidate_tags(...)``. By path, whatever the query: `invalidate_paths`.

    >>> await purge(cache, "https://shop.example/items/1?lang=de", "https://shop.example/assets/*")

    Args:
        cache: The cache that the application's middleware uses.
        urls: Whole URLs as clients send them, with scheme, host, and the query if there is one; ``/*`` at
            the end stands for everything below that path.

    Returns:
        False if the store failed to remove what ``/*`` stands for. Single URLs are removed when it is back.

    Raises:
        ConfigurationError: something is not a whole URL, or the store cannot remove what ``/*`` stands for.
    """
    responses = ResponseCache(cache)
    exact: list[str] = []
    prefixes: list[str] = []
    for url in urls:
        if url.endswith(_BELOW):
            # The name of a URL ends with a question mark and the query, here an empty one.
            prefixes.append(responses.url_key(_name(url.removesuffix("*"))).removesuffix("?"))
        else:
            exact.append(responses.url_key(_name(url)))
    store = responses.store
    if prefixes and store.access.clearing is None:
        raise store.access.absent("clear")
    if exact:
        await responses.remove(exact)
    done = [await store.clear(prefix) for prefix in prefixes]
    return all(done)


def _name(url: str) -> str:
    scheme, host = rules.origin(url)
    parts = urlsplit(url)
    if host and scheme in {"http", "https"} and not _STRANGE.search(url):
        name = rules.url_key(scheme, host, parts.path.encode() or b"/", parts.query.encode())
        if name:
            return name
    raise ConfigurationError(
        f"purge takes whole URLs as clients send them, like 'https://shop.example/items/1', not {url!r}"
    )
