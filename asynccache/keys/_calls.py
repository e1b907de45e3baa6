"""Call keys: a function and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asynccache.errors import InvalidKeyError
from asynccache.keys._names import check_key, digest
from asynccache.keys._values import Unkeyable, encode, label

__all__ = ["call_key"]

_READABLE: Final = 512
"""Characters; in a longer call key a digest stands for the arguments."""


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
