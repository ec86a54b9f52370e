"""Sealing with AES-256-GCM; each blob is bound to its place. Nothing is read or written here.

A sealed blob is nonce (12 bytes), ciphertext, tag (16 bytes). Random nonces are safe for 2^32 blobs
of one key (NIST SP 800-38D, 8.3); a key seals the blobs of one person, or the keys of all people.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache, lru_cache
from json import JSONEncoder
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
FORMAT = "facauth-seal/1"

# The binding of a blob. It opens only with the same values, in the same order and of the same
# types; they are not in the blob.
Bound = Sequence[str | int | bool | None]

# Not escaped: JSON writes "\\ud83d\\ude00" for one character, and for two lone surrogates.
_as_json = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class SealBroken(Exception):
    """A wrong key, an altered blob, or another binding; it never says which."""


def new_key() -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, bound: Bound) -> bytes:
    """Seal `plain` with `key` and a new random nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, _encoded(bound))


def unseal(key: bytes, sealed: bytes, bound: Bound) -> bytes:
    """Open a blob; raises SealBroken unless key, blob and `bound` are those of `seal`."""
    nonce = _nonce(sealed)
    try:
        return _cipher(key).decrypt(nonce, sealed[NONCE_BYTES:], _encoded(bound))
    except _refusals():
        raise SealBroken from None


def nonce_of(sealed: bytes) -> str:
    """The nonce in hex, which identifies the blob. Raises SealBroken for an impossible blob."""
    return _nonce(sealed).hex()


class Vault:
    """An open store's master key, which wraps people's keys. It is neither shown nor pickled."""

    __slots__ = ("_log_key", "_master", "_means_key")

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._log_key = _derived(master, b"facauth-log/1")
        self._means_key = _derived(master, b"facauth-means/1")

    @classmethod
    def new(cls) -> Self:
        """A vault with a new master key."""
        return cls(new_key())

    @classmethod
    def opened(cls, kek: bytes, wrapped_master: bytes, bound: Bound) -> Self:
        """The vault that was `locked_by` this key-encryption key; raises SealBroken."""
        return cls(unseal(kek, wrapped_master, bound))

    def locked_by(self, kek: bytes, bound: Bound) -> bytes:
        """The master key, sealed by a key-encryption key."""
        return seal(kek, self._master, bound)

    def new_person_key(self) -> bytes:
        """A key for one person's blobs; when it is deleted, they cannot be opened."""
        return new_key()

    def wrap(self, person_key: bytes, bound: Bound) -> bytes:
        """A person's key, sealed by the master key."""
        return seal(self._master, person_key, bound)

    def unwrap(self, wrapped: bytes, bound: Bound) -> bytes:
        """A person's key; raises SealBroken."""
        return unseal(self._master, wrapped, bound)

    def seal_means(self, plain: bytes, bound: Bound) -> bytes:
        """Seal a search block (store.means)."""
        return seal(self._means_key, plain, bound)

    def unseal_means(self, sealed: bytes, bound: Bound) -> bytes:
        """Open a search block; raises SealBroken."""
        return unseal(self._means_key, sealed, bound)

    def anchor(self, data: bytes) -> bytes:
        """32 bytes that only a holder of the master key can make of `data`: keyed BLAKE2b."""
        from hashlib import blake2b

        return blake2b(data, key=self._log_key, digest_size=KEY_BYTES).digest()

    def __repr__(self) -> str:
        return "Vault()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault stays in its process")


def _derived(master: bytes, purpose: bytes) -> bytes:
    from hashlib import blake2b

    return blake2b(key=master, person=purpose, digest_size=KEY_BYTES).digest()


def _nonce(sealed: bytes) -> bytes:
    if not isinstance(sealed, bytes) or len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise SealBroken
    return sealed[:NONCE_BYTES]


def _encoded(bound: Bound) -> bytes:
    return _as_json([FORMAT, *bound]).encode("utf-8", "surrogatepass")


# Two: the ciphers of the master key and of the present person. Making a cipher takes as long as
# opening a blob of 1 KB.
@lru_cache(maxsize=2)
def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:  # AESGCM would take a shorter key too
        raise ValueError("a key has 32 bytes")
    return _aes_gcm()(key)


@cache
def _aes_gcm() -> type[AESGCM]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM


def _refusals() -> tuple[type[Exception], ...]:
    """The errors of a wrong key, blob or binding; a damaged database holds values of any type."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag, TypeError, ValueError
