"""The bindings of sealed data, so that no record can be moved or left out.

A person's key is sealed together with their name and the nonces of all their encodings; an encoding
with its contract, whether there is a signature, and whether it was learned; a signature with its
encoding. In a store that is not encrypted all data stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facauth.store.vault import Bound, SealBroken, Vault, nonce_of, seal, unseal


@dataclass(frozen=True, slots=True)
class Template:
    """The stored data of one enrolment photo."""

    encoding: bytes
    signature: bytes | None  # None: reuse of the photo cannot be detected
    accepted_spoof: bool  # enrolled without a liveness check, or in doubt
    learned: bool = False  # added by a sign-in, not by register


@dataclass(frozen=True, slots=True)
class SealedPerson:
    """The sealed fields of a person."""

    id: int
    uid: str
    name: str
    wrapped_key: bytes | None


def bound_master(store_id: str, generation: int) -> Bound:
    """The binding of a store's master key."""
    return ["master", store_id, generation]


def new_key(vault: Vault | None) -> bytes | None:
    """A person's key; None in a store that is not encrypted."""
    return vault.new_person_key() if vault else None


def open_key(vault: Vault | None, person: SealedPerson, encodings: Sequence[bytes]) -> bytes | None:
    """The person's key, if it is bound to this name and these sealed encodings in this order.

    Raises SealBroken, also for a person without a key in an encrypted store.
    """
    if vault is None and person.wrapped_key is None:
        return None
    if vault is None or person.wrapped_key is None:
        raise SealBroken
    return vault.unwrap(person.wrapped_key, _person(person, encodings))


def wrap_key(
    vault: Vault | None, key: bytes | None, person: SealedPerson, encodings: Sequence[bytes]
) -> bytes | None:
    """The person's key, sealed for the store."""
    return vault.wrap(key, _person(person, encodings)) if vault and key else None


def _person(person: SealedPerson, encodings: Sequence[bytes]) -> Bound:
    return ["person", person.uid, person.name, *map(nonce_of, encodings)]


def _encoding(uid: str, contract: str, accepted_spoof: bool, signed: bool, learned: bool) -> Bound:
    """The binding of a registered encoding is that of older versions, which had no learning."""
    kind = ["learned"] if learned else []
    return ["encoding", uid, contract, bool(accepted_spoof), bool(signed), *kind]  # SQLite: 0, 1


def seal_template(key: bytes | None, uid: str, contract: str, template: Template) -> Template:
    """The template, sealed for the store."""
    if key is None:
        return template
    signed = template.signature is not None
    bound = _encoding(uid, contract, template.accepted_spoof, signed, template.learned)
    encoding = seal(key, template.encoding, bound)
    signature = None
    if template.signature is not None:
        signature = seal(key, template.signature, _signature(uid, encoding))
    return Template(encoding, signature, template.accepted_spoof, template.learned)


def _signature(uid: str, encoding: bytes) -> Bound:
    return ["signature", uid, nonce_of(encoding)]


def open_encoding(
    key: bytes | None,
    uid: str,
    contract: str,
    encoding: bytes,
    accepted_spoof: bool,
    *,
    signed: bool,
    learned: bool,
) -> bytes:
    """The opened encoding; raises SealBroken."""
    if key is None:
        return encoding
    return unseal(key, encoding, _encoding(uid, contract, accepted_spoof, signed, learned))


def open_template(key: bytes | None, uid: str, contract: str, sealed: Template) -> Template:
    """A stored template, opened; raises SealBroken."""
    signature, learned = sealed.signature, bool(sealed.learned)
    signed, accepted_spoof = signature is not None, bool(sealed.accepted_spoof)
    encoding = open_encoding(
        key, uid, contract, sealed.encoding, accepted_spoof, signed=signed, learned=learned
    )
    if key is not None and signature is not None:
        signature = unseal(key, signature, _signature(uid, sealed.encoding))
    return Template(encoding, signature, accepted_spoof, learned)
