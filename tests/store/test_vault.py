"""Sealing: what was sealed comes back, and nothing else ever does."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth.store.vault import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    SealBroken,
    Vault,
    new_key,
    nonce_of,
    seal,
    unseal,
)

TOP = Path(__file__).parents[2]
KEY = bytes(range(KEY_BYTES))
BOUND = ("encoding", "a1b2", "facauth/1", False, None, 3)
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
# Lone surrogates too: Python's text has them, and UTF-8 has not.
values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters()))
bounds = st.lists(values, max_size=5)


def typed(bound: list[Any]) -> list[tuple[type, Any]]:
    """For comparing: to Python True is 1."""
    return [(type(value), value) for value in bound]


# --- a sealed blob -------------------------------------------------------------------------------


@given(keys, st.binary(max_size=2000), bounds)
def test_what_was_sealed_comes_back(key: bytes, plain: bytes, bound: list[Any]) -> None:
    sealed = seal(key, plain, bound)
    assert unseal(key, sealed, bound) == plain
    assert len(sealed) == NONCE_BYTES + len(plain) + TAG_BYTES


@pytest.mark.parametrize("plain", [b"", b"x", bytes(40)])
def test_any_flipped_bit_breaks_the_seal(plain: bytes) -> None:
    sealed = seal(KEY, plain, BOUND)
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(KEY, bytes(altered), BOUND)


def test_any_flipped_bit_of_the_key_breaks_the_seal() -> None:
    sealed = seal(KEY, b"plain", BOUND)
    for bit in range(8 * KEY_BYTES):
        other = bytearray(KEY)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(bytes(other), sealed, BOUND)


@given(keys, keys)
def test_another_key_breaks_the_seal(key: bytes, other: bytes) -> None:
    sealed = seal(key, b"plain", BOUND)
    if other != key:
        with pytest.raises(SealBroken):
            unseal(other, sealed, BOUND)


@given(bounds, bounds)
def test_another_binding_breaks_the_seal(bound: list[Any], other: list[Any]) -> None:
    sealed = seal(KEY, b"plain", bound)
    if typed(other) != typed(bound):
        with pytest.raises(SealBroken):
            unseal(KEY, sealed, other)


@pytest.mark.parametrize(
    ("bound", "other"),
    [
        ((1,), (True,)),
        ((0,), (False,)),
        ((1,), ("1",)),
        ((None,), ("null",)),
        ((None,), (False,)),
        ((None,), ()),
        (("",), ()),
        (("a", "b"), ("b", "a")),
        (("ab",), ("a", "b")),
        (('a","b',), ("a", "b")),
        (("a,b",), ("a", "b")),
        (("\\u00e9",), ("é",)),
        (("é",), ("e\u0301",)),
        (("\U0001f600",), ("\ud83d\ude00",)),  # JSON's escapes would make them the same
        (("\udce9",), ("\\udce9",)),
    ],
)
def test_bindings_that_look_alike_are_not(bound: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    for one, two in ((bound, other), (other, bound)):
        sealed = seal(KEY, b"plain", one)
        assert unseal(KEY, sealed, one) == b"plain"
        with pytest.raises(SealBroken):
            unseal(KEY, sealed, two)


@pytest.mark.parametrize("length", [*range(NONCE_BYTES + TAG_BYTES + 5)])
def test_a_blob_cut_short_is_refused(length: int) -> None:
    sealed = seal(KEY, b"plain", BOUND)
    with pytest.raises(SealBroken):
        unseal(KEY, sealed[:length], BOUND)
    with pytest.raises(SealBroken):
        unseal(KEY, sealed + b"\0" * (length + 1), BOUND)
    if length < NONCE_BYTES + TAG_BYTES:
        with pytest.raises(SealBroken):
            nonce_of(sealed[:length])


@pytest.mark.parametrize("other", [None, "", "text" * 20, 7, 1.5, bytearray(60), [1] * 60])
def test_what_is_no_blob_is_refused(other: Any) -> None:
    """SQLite keeps values of any type in any column."""
    with pytest.raises(SealBroken):
        unseal(KEY, other, BOUND)
    with pytest.raises(SealBroken):
        nonce_of(other)


@pytest.mark.parametrize("key", [b"", KEY[:16], KEY[:24], KEY + b"x", None, "k" * 32])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(SealBroken):
        unseal(key, seal(KEY, b"plain", BOUND), BOUND)
    with pytest.raises((ValueError, TypeError)):
        seal(key, b"plain", BOUND)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_what_cannot_be_bound_is_refused(value: Any) -> None:
    with pytest.raises(SealBroken):
        unseal(KEY, seal(KEY, b"plain", BOUND), (value,))
    with pytest.raises(TypeError):
        seal(KEY, b"plain", (value,))


def test_the_format_stays() -> None:
    """Stores that exist must open: this blob was made by the first version."""
    sealed = bytes.fromhex("403d943345f4dc49b7b7a00cbcd3f46d6518739c3d80bf121f9161c1ce17969d6f")
    assert unseal(KEY, sealed, ("encoding", "a1b2", "é", True, None, 3)) == b"plain"
    assert nonce_of(sealed) == sealed[:NONCE_BYTES].hex()


def test_nonces_never_repeat() -> None:
    assert len({nonce_of(seal(KEY, b"", ())) for _ in range(100_000)}) == 100_000


def test_keys_are_new() -> None:
    vault = Vault.new()
    made = {new_key() for _ in range(1000)} | {vault.new_person_key() for _ in range(1000)}
    assert len(made) == 2000
    assert {len(key) for key in made} == {KEY_BYTES}


def test_a_broken_seal_says_nothing() -> None:
    sealed = seal(KEY, b"secret", BOUND)
    with pytest.raises(SealBroken) as caught:
        unseal(KEY, sealed[:-1] + b"\0\0", BOUND)
    assert caught.value.args == ()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "InvalidTag" not in "".join(traceback.format_exception(caught.value))


# --- the vault -----------------------------------------------------------------------------------


def test_a_vault_opens_with_its_key_only() -> None:
    vault, kek = Vault.new(), new_key()
    person_key = vault.new_person_key()
    wrapped = vault.wrap(person_key, ("person", "a1b2", "Ada"))
    locked = vault.locked_by(kek, ("store", "s1", 1))
    opened = Vault.opened(kek, locked, ("store", "s1", 1))
    assert opened.unwrap(wrapped, ("person", "a1b2", "Ada")) == person_key
    assert opened.anchor(b"entry") == vault.anchor(b"entry")
    for other in ((new_key(), ("store", "s1", 1)), (kek, ("store", "s1", 2))):
        with pytest.raises(SealBroken):
            Vault.opened(other[0], locked, other[1])


def test_a_wrapped_key_is_bound() -> None:
    vault = Vault.new()
    wrapped = vault.wrap(vault.new_person_key(), ("person", "a1b2", "Ada"))
    for bound in (("person", "a1b2", "Eve"), ("person", "ffff", "Ada"), ("store", "a1b2", "Ada")):
        with pytest.raises(SealBroken):
            vault.unwrap(wrapped, bound)
    with pytest.raises(SealBroken):
        Vault.new().unwrap(wrapped, ("person", "a1b2", "Ada"))


def test_a_rotated_vault_is_the_same_one() -> None:
    vault, old, new = Vault.new(), new_key(), new_key()
    wrapped = vault.wrap(KEY, ("person",))
    again = Vault.opened(old, vault.locked_by(old, ("s", 1)), ("s", 1)).locked_by(new, ("s", 2))
    assert Vault.opened(new, again, ("s", 2)).unwrap(wrapped, ("person",)) == KEY
    with pytest.raises(SealBroken):
        Vault.opened(old, again, ("s", 2))


def test_what_is_locked_shows_no_key() -> None:
    vault, kek = Vault(KEY), new_key()
    for sealed in (vault.locked_by(kek, ()), vault.wrap(KEY, ())):
        assert KEY not in sealed
        assert kek not in sealed


def test_an_anchor_needs_the_key() -> None:
    vault = Vault.new()
    anchors = {vault.anchor(b"entry"), vault.anchor(b"entry2"), Vault.new().anchor(b"entry")}
    assert {len(anchor) for anchor in anchors} == {32}
    assert len(anchors) == 3
    assert (
        Vault(KEY).anchor(b"entry").hex()
        == "2159774a21e97872f71d4dc5b0f823653cf05fdbdfa65237bdc89e07ed1e57d3"
    )


def test_a_vault_is_not_shown() -> None:
    vault = Vault(KEY)
    for text in (repr(vault), str(vault), f"{vault}", repr([vault])):
        assert text.strip("[]") == "Vault()"
    assert not hasattr(vault, "__dict__")


def test_a_vault_is_not_pickled() -> None:
    vault = Vault(KEY)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(vault, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in its process"):
            duplicate(vault)


def test_importing_loads_no_library() -> None:
    code = "import sys, facauth.store.vault, facauth.store.keys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True
    )
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert "facauth" in loaded
    assert loaded & {"cryptography", "keyring", "hashlib", "binascii"} == set()
