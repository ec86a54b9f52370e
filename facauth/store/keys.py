"""The key-encryption key (KEK) of a store: from a key file, the keyring or a passphrase.

A key file is text, mode 0600, one line per key: `facauth-key/1 STORE_ID GENERATION BASE64`.
Every error is a FacauthError, and no message holds a key or a passphrase.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import ModuleType

from facauth import files
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.extras import pip_install
from facauth.store.faults import RESTORE
from facauth.store.vault import KEY_BYTES, new_key

MAX_FILE_BYTES = 2**20
Step = Callable[[], object]
BASE64_KEY = "[A-Za-z0-9+/]{43}="
LINE = f"facauth-key/1 ([!-~]+) ([0-9]{{1,9}}) ({BASE64_KEY})"
SERVICE = "facauth"  # the name of the application in the keyring

# NIST SP 800-63B-4, 3.1.1.2: 15 where a password is the only factor. Attackers can try it offline.
MIN_PASSPHRASE_CHARACTERS = 15
SALT_BYTES = 16
# The first byte of a salt selects one of these: n, with r = 8 and p = 1, needs 1 KB * n.
# OWASP Password Storage Cheat Sheet: at least 2**17. To raise it, add a line.
SCRYPT_N = {1: 2**17}
SCRYPT_R, SCRYPT_P = 8, 1


class KeyKind(StrEnum):
    """Where a store's KEK is kept."""

    FILE = "file"
    KEYRING = "keyring"
    PASSPHRASE = "passphrase"  # noqa: S105 - the kind, not one


@dataclass(frozen=True, slots=True)
class Lock:
    """The description of its key in an encrypted store."""

    store_id: str  # printable ASCII without spaces
    kind: KeyKind
    generation: int  # rises with each rotation
    salt: bytes | None = field(repr=False)  # of the passphrase
    wrapped_master: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """The places of the key that a caller has."""

    key_file: Path | None = None  # named by the user; it comes first
    default_key_file: Path | None = None
    ask: Callable[[str], str | None] | None = None  # prompt -> passphrase; None: no terminal

    @property
    def place(self) -> Path | None:
        """The key file of a store of kind FILE."""
        return self.key_file or self.default_key_file

    def kek(self, lock: Lock) -> bytes:
        """The key, 32 bytes; `Vault.opened` checks it.

        Raises SetupProblem if there is no key.
        """
        if self.key_file is not None or lock.kind is KeyKind.FILE:
            return _from_file(_required(self.place), lock.store_id, lock.generation)
        if lock.kind is KeyKind.KEYRING:
            return _from_keyring(lock.store_id, lock.generation)
        return _derived(_answer(self, "passphrase of the store"), lock.salt)


NO_KEYS = KeyAccess()


def create(
    kind: KeyKind, store_id: str, generation: int, access: KeyAccess
) -> tuple[bytes, bytes | None]:
    """A new KEK, kept in its place, and its salt if it is derived from a passphrase.

    An existing key of this generation (of a killed run, or of one that runs now) is used and never
    replaced: a store may be locked with it. Raises SetupProblem, and UsageProblem for an unusable
    passphrase.
    """
    if kind is KeyKind.FILE:
        return _kept_in_file(_required(access.place), store_id, generation), None
    if kind is KeyKind.KEYRING:
        return _kept_in_keyring(store_id, generation), None
    salt = bytes([max(SCRYPT_N)]) + os.urandom(SALT_BYTES)
    return _derived(_new_passphrase(access), salt), salt


def forget(kind: KeyKind, store_id: str, generation: int, access: KeyAccess) -> None:
    """Delete the keys of older generations, once the store is locked with this one."""
    if kind is KeyKind.FILE and access.place and os.path.lexists(access.place):
        _forget_in_file(access.place, store_id, generation)
    elif kind is KeyKind.KEYRING:
        with _keyring() as keyring:
            for older in (f"{store_id}/{number}" for number in range(generation)):
                if keyring.get_password(SERVICE, older) is not None:
                    keyring.delete_password(SERVICE, older)


def write_copy(path: Path, store_id: str, generation: int, kek: bytes, before: Step) -> None:
    """Write a new key file with this one key, after calling `before`.

    Raises UsageProblem if `path` exists.
    """
    line = _line(store_id, generation, kek)
    with _explained(path):
        files.reserve(path)
    try:
        before()
        with _explained(path):
            files.write_private(path, _content([line]), over=True, draft=_draft(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


# --- passphrase ----------------------------------------------------------------------------------


def _answer(access: KeyAccess, prompt: str) -> str:
    """A passphrase in NFC, so that typed accents are equal (RFC 8265, 4.2.2)."""
    answer = access.ask(prompt) if access.ask else None
    if answer is None:
        message = "a passphrase is needed, and there is no terminal to ask for it"
        raise _problem("key.missing", message, "run it on a terminal, or set FACAUTH_PASSPHRASE")
    return unicodedata.normalize("NFC", answer)


def _new_passphrase(access: KeyAccess) -> str:
    chosen = _answer(access, "new passphrase")
    if len(chosen) < MIN_PASSPHRASE_CHARACTERS:
        advice = f"use {MIN_PASSPHRASE_CHARACTERS} characters or more: a few words will do"
        raise UsageProblem(Reason("key.passphrase", "the passphrase is too short", advice))
    if _answer(access, "new passphrase again") != chosen:
        reason = Reason("key.passphrase", "the two passphrases differ", "enter the same one twice")
        raise UsageProblem(reason)
    return chosen


def _derived(passphrase: str, salt: bytes | None) -> bytes:
    """The KEK that scrypt (RFC 7914) derives from a passphrase."""
    from hashlib import scrypt

    if not isinstance(salt, bytes) or len(salt) != 1 + SALT_BYTES:
        message = "the store is damaged: the salt of its passphrase"
        raise _problem("key.damaged", message, RESTORE)
    if (n := SCRYPT_N.get(salt[0])) is None:
        raise _problem("store.newer", "the store was locked by a newer facauth", "update facauth")
    memory = 128 * SCRYPT_R * (n + SCRYPT_P + 2)  # as OpenSSL counts it
    try:
        return scrypt(
            passphrase.encode(
                "utf-8", "surrogatepass"
            ),  # a strict error would quote the passphrase
            salt=salt[1:],
            n=n,
            r=SCRYPT_R,
            p=SCRYPT_P,
            maxmem=memory,
            dklen=KEY_BYTES,
        )
    except (ValueError, MemoryError):  # the error of OpenSSL varies
        message = f"a passphrase cannot be used with less than {memory >> 20} MB of free memory"
        raise _problem("key.memory", message, "free some memory") from None


# --- keyring -------------------------------------------------------------------------------------


def _kept_in_keyring(store_id: str, generation: int) -> bytes:
    with _keyring() as keyring:
        user = f"{store_id}/{generation}"
        if keyring.get_password(SERVICE, user) is None:
            keyring.set_password(SERVICE, user, _as_base64(new_key()))
    return _from_keyring(store_id, generation)  # some keyrings store nothing, without an error


def _from_keyring(store_id: str, generation: int) -> bytes:
    with _keyring() as keyring:
        kept = keyring.get_password(SERVICE, f"{store_id}/{generation}")
    if kept is None:
        message = "the system keyring has no key for this store"
        raise _problem("key.keyring", message, "unlock the keyring of its user, or give --key-file")
    if not re.fullmatch(BASE64_KEY, kept):
        message = "the entry of the system keyring for this store is not a key"
        raise _problem("key.keyring", message, "give --key-file")
    return _from_base64(kept)


@contextmanager
def _keyring() -> Iterator[ModuleType]:
    try:
        import keyring
    except ImportError:
        message = "the keyring extra is not installed"
        raise _problem("key.keyring", message, pip_install("keyring")) from None
    try:
        yield keyring
    except Exception as error:  # noqa: BLE001 - keyrings are plugins, and raise what they like
        message = f"the system keyring cannot be used ({type(error).__name__})"
        advice = "unlock or set up a keyring, or give --key-file"
        raise _problem("key.keyring", message, advice) from None


# --- key file ------------------------------------------------------------------------------------


def _required(path: Path | None) -> Path:
    if path is None:
        raise _problem("key.missing", "this user has no folder for a key file", "give --key-file")
    return path


def _from_file(path: Path, store_id: str, generation: int) -> bytes:
    with _explained(path):
        lines = _lines(path)
    key = _found(lines, store_id, generation)
    if key is not None:
        return key
    if any(line[1] == store_id for line in lines):
        message = f"{shown(path)} holds an older or newer key of this store"
        raise _problem("key.wrong_file", message, "name the key file of the last rotation")
    message = f"{shown(path)} holds no key of this store"
    raise _problem("key.wrong_file", message, "name the key file that was made for it")


def _kept_in_file(path: Path, store_id: str, generation: int) -> bytes:
    with _explained(path):
        files.make_folders(path)
        with files.alone(path, _busy(path)):
            lines = _lines(path) if os.path.lexists(path) else []
            key = _found(lines, store_id, generation)
            if key is None:
                key = new_key()
                added = _line(store_id, generation, key)
                _replace(path, [*(line[0] for line in lines), added])
            return key


def _forget_in_file(path: Path, store_id: str, generation: int) -> None:
    with _explained(path), files.alone(path, _busy(path)):
        lines = _lines(path)
        kept = [line for line in lines if line[1] != store_id or int(line[2]) >= generation]
        if len(kept) < len(lines):
            _replace(path, [line[0] for line in kept])


def _found(lines: list[re.Match[str]], store_id: str, generation: int) -> bytes | None:
    for line in lines:
        if line[1] == store_id and int(line[2]) == generation:
            return _from_base64(line[3])
    return None


def _lines(path: Path) -> list[re.Match[str]]:
    """The lines of a sound key file; 1: store, 2: generation, 3: key in base64."""
    lines = []
    for number, text in enumerate(_text(path).splitlines(), 1):
        line = re.fullmatch(LINE, text)
        if line is None:
            message = f"line {number} of {shown(path)} is not a facauth key"
            raise _problem("key.wrong_file", message, "name a key file, or bring back a copy of it")
        lines.append(line)
    return lines


def _text(path: Path) -> str:
    """The content of a file that nobody else can read or write."""
    if path.is_symlink():
        raise _problem("key.wrong_file", f"{shown(path)} is a link", "name the file itself")
    try:
        content = files.read_private(path, MAX_FILE_BYTES)
    except OSError as error:
        raise (_unfit_file(path, error) or error) from error
    return content.decode("ascii", "replace")  # a strict error would hold the keys


def _unfit_file(path: Path, error: OSError) -> SetupProblem | None:
    """The refusal of a file that is not a key file of this user; None for other errors."""
    name = shown(path)
    match error:
        case FileNotFoundError():
            advice = "give --key-file or FACAUTH_KEY_FILE"
            return _problem("key.missing", f"there is no key file {name}", advice)
        case files.NotAFile():
            return _problem("key.wrong_file", f"{name} is not a file", "name a key file")
        case files.TooLarge():
            return _problem("key.wrong_file", f"{name} is too large", "name a key file")
        case files.NotOurs():
            message = f"the key file {name} belongs to another user"
            return _problem("key.unsafe", message, "chown it, or name one of your own")
        case files.Exposed():
            message = f"the key file {name} is open to other users"
            return _problem(
                "key.unsafe", message, "chmod 600 it, and run facauth key rotate if they read it"
            )
    return None


def _busy(path: Path) -> SetupProblem:
    message = f"the folder of {shown(path)} is held by another process"
    return _problem("key.busy", message, "try again")


def _replace(path: Path, lines: list[str]) -> None:
    """Write these lines; a killed process leaves the old file."""
    files.write_private(path, _content(lines), over=True, draft=_draft(path))


def _draft(path: Path) -> Path:
    return path.with_name(
        f".{path.name}.facauth-new"
    )  # a fixed name: the next run replaces the draft of a killed one


def _content(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _line(store_id: str, generation: int, key: bytes) -> str:
    line = f"facauth-key/1 {store_id} {generation} {_as_base64(key)}"
    if not re.fullmatch(LINE, line):  # a store's id must not write lines for other stores
        message = "the store is damaged: its id or generation"
        raise _problem("key.damaged", message, RESTORE)
    return line


def _as_base64(key: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(key, newline=False).decode()


def _from_base64(text: str) -> bytes:
    """The 32 bytes of a text that matches BASE64_KEY."""
    from binascii import a2b_base64

    return a2b_base64(text)


def _problem(code: str, message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason(code, message, advice))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of the system into FacauthErrors."""
    try:
        yield
    except FileExistsError as error:
        reason = Reason("key.exists", f"{shown(path)} exists already", "name a new file")
        raise UsageProblem(reason) from error
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "not a path"
        message = f"the key file {shown(path)} cannot be used ({cause})"
        raise _problem("key.unusable", message, "check its folder and permissions") from error
