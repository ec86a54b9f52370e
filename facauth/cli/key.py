"""key init, key rotate, key export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import (
    named_key_file,
    opened,
    store_path,
    unlocked,
)
from facauth.cli.options import Call, named
from facauth.cli.output import answering
from facauth.cli.passphrase import asked_passphrase
from facauth.defaults import default_key_file
from facauth.errors import Reason, UsageProblem, shown

if TYPE_CHECKING:
    from facauth.admin import KeyAccess, KeyKind, Lock
    from facauth.envelope import Answer

FIELDS = ("kind", "generation", "key_file")
InKeyring = Annotated[bool, typer.Option("--keyring", help="Keep the key in the system keyring.")]
FromPassphrase = Annotated[
    bool, typer.Option("--passphrase", help="Derive the key from a passphrase that you choose.")
]
Target = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="The file to create.", show_default=False, parser=named),
]


def init(call: Call, keyring: InKeyring = False, passphrase: FromPassphrase = False) -> None:
    """Encrypt the store, or create an encrypted store.

    The key is kept in a file: the one that --key-file names, or one in the platform's folder for
    settings. A passphrase is asked for, or taken from FACAUTH_PASSPHRASE. Names, times and counts
    are not encrypted.

    Example: facauth key init --keyring
    """
    from facauth import admin

    with answering(call, *FIELDS) as answer:
        key_file = named_key_file(call)
        kind = kind_of(keyring, passphrase, key_file)
        access = admin.KeyAccess(key_file, default_key_file(), asked_passphrase)
        lock = admin.encrypt(store_path(call), kind, access)
        with opened(call, answer) as store:
            answer.verdict = "encrypted"
            answer.lines.append(f"encrypted {shown(store.place)}")
        add_key(answer, lock, place_of(lock, access))
        answer.notes.append(f"{LOSS[kind]}; facauth key export makes a copy to keep elsewhere")
        if key_file is not None:
            answer.notes.append(
                "every command needs --key-file, FACAUTH_KEY_FILE or key_file in the settings"
            )


LOSS = {
    "file": "without its key file the store cannot be opened again",
    "keyring": "without the entry in the keyring the store cannot be opened again",
    "passphrase": "without the passphrase the store cannot be opened again",
}


def kind_of(keyring: bool, passphrase: bool, key_file: Path | None) -> KeyKind:
    """The kind of key that the options name; raises UsageProblem for two kinds."""
    from facauth.admin import KeyKind

    options = {"--keyring": keyring, "--passphrase": passphrase, "--key-file": key_file is not None}
    chosen = [option for option, given in options.items() if given]
    if len(chosen) > 1:
        message = f"{chosen[0]} and {chosen[1]} contradict each other"
        advice = "choose one; facauth doctor shows where settings come from"
        raise UsageProblem(Reason("usage", message, advice))
    return KeyKind.KEYRING if keyring else KeyKind.PASSPHRASE if passphrase else KeyKind.FILE


def place_of(lock: Lock, access: KeyAccess) -> Path | None:
    """The key's file; None for a key that is not kept in a file."""
    return access.place if lock.kind == "file" else None


def add_key(answer: Answer, lock: Lock, file: Path | None) -> None:
    """Add the key's kind, generation and file to the answer; never the key."""
    where = None if file is None else shown(file)
    answer.more |= dict(zip(FIELDS, (str(lock.kind), lock.generation, where), strict=True))
    if where:
        answer.notes.append(f"the key is in {where}")


def rotate(call: Call) -> None:
    """Encrypt the store with a new key of the same kind.

    The old key is forgotten. A new passphrase is asked for, or taken from FACAUTH_NEW_PASSPHRASE.

    Example: facauth key rotate
    """
    from facauth import admin

    with answering(call, *FIELDS) as answer:
        new_passphrase = partial(asked_passphrase, variable="FACAUTH_NEW_PASSPHRASE")
        access = admin.KeyAccess(named_key_file(call), default_key_file(), new_passphrase)
        with unlocked(call, answer) as store:
            lock = admin.rotate(store, access)
            answer.verdict = "rotated"
            answer.lines.append(f"{shown(store.place)} has a new key")
        add_key(answer, lock, place_of(lock, access))
        answer.notes.append("copies of the old key no longer open the store; make new ones")


def export(call: Call, target: Target) -> None:
    """Copy the key to a new file for --key-file, whatever kind of key it is.

    Example: facauth key export /media/usb/facauth.key
    """
    from facauth import admin

    with answering(call, *FIELDS) as answer:
        with unlocked(call, answer) as store:
            lock = admin.export_key(store, target)
        answer.verdict = "exported"
        answer.lines.append(f"exported the key of {shown(store_path(call))}")
        add_key(answer, lock, target)
        answer.notes.append("this file opens the store: do not keep it beside the store")
