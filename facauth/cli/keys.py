"""The commands of the key: key init, key rotate, key export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.arguments import (
    Json,
    KeyFile,
    Quiet,
    StorePath,
    asked_passphrase,
    named_key_file,
    opened,
    store_path,
    unlocked,
)
from facauth.cli.output import Answer, answering
from facauth.cli.paths import named
from facauth.errors import Reason, UsageProblem, shown
from facauth.settings import default_key_file

if TYPE_CHECKING:
    from facauth.store.keys import KeyAccess, KeyKind, Lock

SUMMARY = "Encrypt the store, change its key, copy its key."
FIELDS = ("kind", "generation", "key_file")


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    group = typer.Typer(help=SUMMARY, rich_markup_mode=None)
    group.command("init", short_help="Encrypt the store, or make one that is encrypted.")(init)
    group.command("rotate", short_help="Give an encrypted store another key.")(rotate)
    group.command("export", short_help="Copy the key to a file.")(export)
    app.add_typer(group, name="key", short_help=SUMMARY)


InKeyring = Annotated[bool, typer.Option("--keyring", help="Keep the key in the system keyring.")]
FromPassphrase = Annotated[
    bool, typer.Option("--passphrase", help="Make the key of a passphrase that you choose.")
]
NewKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="PATH",
        envvar="FACAUTH_KEY_FILE",
        help="Keep the key here, not in the platform's folder for settings.",
        show_default=False,
        parser=named,
    ),
]
Target = Annotated[
    Path, typer.Argument(metavar="OUT", help="The file to make.", show_default=False, parser=named)
]


def init(
    keyring: InKeyring = False,
    passphrase: FromPassphrase = False,
    store: StorePath = None,
    key_file: NewKeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encrypt the store and everything in it, or make one that is encrypted.

    The key is kept in a file, unless told otherwise. A passphrase is asked for, or taken from
    FACAUTH_PASSPHRASE. Names, times and counts stay readable.
    """
    from facauth.store import rekey
    from facauth.store.keys import KeyAccess

    with answering("key init", as_json=as_json, quiet=quiet) as answer:
        answer.more |= dict.fromkeys(FIELDS)
        key_file = named_key_file(key_file)
        kind = kind_of(keyring, passphrase, key_file)
        access = KeyAccess(key_file, default_key_file(), asked_passphrase)
        lock = rekey.encrypt(store_path(store), kind, access)
        with opened(answer, store) as records:
            answer.verdict = "encrypted"
            answer.lines.append(f"encrypted {shown(records.path)}")
        tell(answer, lock, place_of(lock, access))
        answer.notes.append(f"{LOSS[kind]}; facauth key export makes a copy to keep elsewhere")
        if key_file is not None:
            answer.notes.append(
                "every command needs this --key-file, FACAUTH_KEY_FILE or key_file in the settings"
            )


LOSS = {
    "file": "without its key file nobody can open the store again",
    "keyring": "without what the keyring keeps nobody can open the store again",
    "passphrase": "without the passphrase nobody can open the store again",
}


def kind_of(keyring: bool, passphrase: bool, key_file: Path | None) -> KeyKind:
    """Where the key is to be kept; raises UsageProblem for two places."""
    from facauth.store.keys import KeyKind

    named = {"--keyring": keyring, "--passphrase": passphrase, "--key-file": key_file is not None}
    chosen = [option for option, given in named.items() if given]
    if len(chosen) > 1:
        message = f"{chosen[0]} and {chosen[1]} contradict each other"
        raise UsageProblem(Reason("usage", message, "choose one, and look at facauth config show"))
    return KeyKind.KEYRING if keyring else KeyKind.PASSPHRASE if passphrase else KeyKind.FILE


def place_of(lock: Lock, access: KeyAccess) -> Path | None:
    """The key's file; None if it is not kept in one."""
    return access.place if lock.kind == "file" else None


def tell(answer: Answer, lock: Lock, file: Path | None) -> None:
    """Which key it is, and in which file, if it is in one; never the key."""
    where = None if file is None else shown(file)
    answer.more |= dict(zip(FIELDS, (str(lock.kind), lock.generation, where), strict=True))
    if where:
        answer.notes.append(f"the key is in {where}")


def rotate(
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Seal everything anew with another key of the same kind, and forget the old one.

    In place of a new passphrase's prompt FACAUTH_NEW_PASSPHRASE is taken.
    """
    from facauth.store import rekey
    from facauth.store.keys import KeyAccess

    with answering("key rotate", as_json=as_json, quiet=quiet) as answer:
        answer.more |= dict.fromkeys(FIELDS)
        new_passphrase = partial(asked_passphrase, variable="FACAUTH_NEW_PASSPHRASE")
        access = KeyAccess(named_key_file(key_file), default_key_file(), new_passphrase)
        with unlocked(answer, store, key_file) as records:
            lock = rekey.rotate(records, access)
            answer.verdict = "rotated"
            answer.lines.append(f"{shown(records.path)} has another key")
        tell(answer, lock, place_of(lock, access))
        answer.notes.append("copies of the old key open it no more; make new ones")


def export(
    target: Target,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy the key to a new file that works as --key-file, whatever kind of key it is."""
    from facauth.store import rekey

    with answering("key export", as_json=as_json, quiet=quiet) as answer:
        answer.more |= dict.fromkeys(FIELDS)
        with unlocked(answer, store, key_file) as records:
            lock = rekey.export(records, target)
        answer.verdict = "exported"
        answer.lines.append(f"exported the key of {shown(store_path(store))}")
        tell(answer, lock, target)
        answer.notes.append("whoever has that file can open the store: keep the two apart")
