"""Authenticated encryption of payloads, so that the store is trusted with neither secrets nor integrity."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from hashlib import blake2b
from importlib import import_module
from typing import Any, Final

from asynccache.errors import ConfigurationError, MissingDependencyError

__all__ = ["AESGCMSealer", "generate_key"]

_ID: Final = 4
_NONCE: Final = 24
_TAG: Final = 16
_KEY_BYTES: Final = (16, 24, 32)
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{48}|[0-9a-fA-F]{64})\Z")


def generate_key() -> str:
    """Return a new random key of 32 bytes as urlsafe base64, fit for an environment variable."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class AESGCMSealer:
    """XAES-256-GCM (C2SP): AES-256-GCM under a key derived for each message from half of a 24-byte nonce.

    Plain AES-GCM with random nonces must stop after 2**32 messages (NIST SP 800-38D, section 8.3), which a
    busy cache writes in days; this one has no practical limit, so keys are rotated for your reasons only.
    Sealed bytes are key id (4), nonce (24), ciphertext, tag (16). The header is the associated data.

    Args:
        keys: 16, 24 or 32 random bytes each, as bytes, hex or base64 (`generate_key`). The first seals, all
            unseal: to rotate, put the new one first and drop the old one when its entries have expired.

    Raises:
        ConfigurationError: a key is of the wrong type or length, or there twice, or there is none.
        MissingDependencyError: cryptography is not installed.
    """

    def __init__(self, keys: Sequence[bytes | str]) -> None:
        secrets = _secrets(keys)
        try:
            aead = import_module("cryptography.hazmat.primitives.ciphers.aead")
            ciphers = import_module("cryptography.hazmat.primitives.ciphers")
        except ImportError as exc:
            raise MissingDependencyError("cryptography", "crypto") from exc
        self._aes_gcm: Any = aead.AESGCM
        self._cipher: Any = ciphers.Cipher
        self._aes: Any = ciphers.algorithms.AES
        self._ecb: Any = ciphers.modes.ECB()
        self._keys = {key_id: self._expand(_derive(secret)) for key_id, secret in secrets.items()}
        self._first = next(iter(self._keys))

    def seal(self, payload: bytes, header: bytes) -> bytes:
        """Encrypt ``payload`` with the first key and bind it to ``header``."""
        nonce = os.urandom(_NONCE)
        sealed: bytes = self._message_cipher(self._first, nonce).encrypt(nonce[12:], payload, header)
        return self._first + nonce + sealed

    def unseal(self, sealed: bytes, header: bytes) -> bytes | None:
        """Return the payload, or None unless one of the keys sealed exactly this with exactly this header."""
        key_id, nonce = bytes(sealed[:_ID]), bytes(sealed[_ID : _ID + _NONCE])
        if key_id not in self._keys or len(sealed) < _ID + _NONCE + _TAG:
            return None
        try:
            payload: bytes = self._message_cipher(key_id, nonce).decrypt(
                nonce[12:], sealed[_ID + _NONCE :], header
            )
        except Exception:  # noqa: BLE001 - InvalidTag; whatever else it were, it is not authentic
            return None
        return payload

    def __repr__(self) -> str:
        return f"<AESGCMSealer {len(self._keys)} keys, sealing with {self._first.hex()}>"

    def _expand(self, key: bytes) -> tuple[Any, int]:
        """Return the block cipher of ``key`` and the CMAC subkey K1 (NIST SP 800-38B, section 6.1)."""
        cipher = self._cipher(self._aes(key), self._ecb)
        top = int.from_bytes(cipher.encryptor().update(bytes(16)), "big")
        return cipher, (top << 1) % (1 << 128) ^ (0x87 if top >> 127 else 0)

    def _message_cipher(self, key_id: bytes, nonce: bytes) -> Any:
        """Return AES-GCM under the key that half of ``nonce`` derives: two CMACs of one block each."""
        cipher, subkey = self._keys[key_id]
        half = nonce[:12]
        blocks = int.from_bytes(b"\x00\x01X\x00" + half + b"\x00\x02X\x00" + half, "big")
        masked = (blocks ^ (subkey << 128 | subkey)).to_bytes(32, "big")
        return self._aes_gcm(cipher.encryptor().update(masked))


def _secrets(keys: object) -> dict[bytes, bytes]:
    """Return the keys by id, in their order."""
    if not isinstance(keys, (list, tuple)) or not keys:
        raise ConfigurationError("encryption keys must be a non-empty list of keys")
    listed: tuple[object, ...] = tuple(keys)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    found: dict[bytes, bytes] = {}
    for number, key in enumerate(listed, 1):
        secret = _key_bytes(key, number)
        key_id = blake2b(secret, digest_size=_ID, person=b"asynccache id").digest()
        if key_id in found:
            raise ConfigurationError(f"encryption key {number} is there twice")
        found[key_id] = secret
    return found


def _key_bytes(key: object, number: int) -> bytes:
    """Return the bytes of one key. Errors tell its place in the list, never the key."""
    secret = b""
    if isinstance(key, bytes):
        secret = key
    elif isinstance(key, str):
        text = key.strip()
        if _HEX.match(text):
            secret = bytes.fromhex(text)
        else:
            text = text.rstrip("=").replace("+", "-").replace("/", "_")
            try:
                secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                secret = b""
    if len(secret) not in _KEY_BYTES:
        msg = (
            f"encryption key {number} must be 16, 24 or 32 bytes, as bytes, hex or base64: "
            "make one with asynccache.codecs.generate_key()"
        )
        raise ConfigurationError(msg)
    return secret


def _derive(secret: bytes) -> bytes:
    """Return the key to encrypt with, by HKDF-SHA256 (RFC 5869): the same secret may serve elsewhere too."""
    hashes = import_module("cryptography.hazmat.primitives.hashes")
    hkdf = import_module("cryptography.hazmat.primitives.kdf.hkdf")
    derived: bytes = hkdf.HKDF(hashes.SHA256(), 32, salt=None, info=b"asynccache entry v1").derive(secret)
    return derived
