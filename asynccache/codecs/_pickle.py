"""The codec for arbitrary Python objects, where the store cannot be used against the application."""

from __future__ import annotations

import pickle
from typing import Any, Final, get_origin

from asynccache.codecs._failure import cannot_decode, cannot_encode

__all__ = ["PickleCodec"]


class PickleCodec:
    """Pickle. Whoever can write what it reads can run any code in this process.

    It is therefore accepted only together with encryption keys: entries are then authenticated together
    with their key, and nothing reaches the unpickler that was not written by a holder of these keys.
    """

    name: str = "pickle"
    needs_authentication: Final = True
    """Refused by the configuration unless there are encryption keys."""

    def encode(self, value: Any) -> bytes:
        """Return ``value`` pickled; raise `CodecError` if it cannot be."""
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as exc:
            raise cannot_encode(self.name, value) from exc

    def decode(self, data: bytes, type: Any = None) -> Any:
        """Return the object; raise `CodecError` if it is not an instance of ``type``.

        Of ``list[int]`` only ``list`` is checked.
        """
        try:
            value = pickle.loads(data)  # noqa: S301 - authenticated, see the class
        except Exception as exc:
            raise cannot_decode(self.name, type) from exc
        wanted = get_origin(type) or type
        if isinstance(wanted, _CLASS) and not isinstance(value, wanted):
            raise cannot_decode(self.name, type)
        return value


_CLASS: Final = type
