"""Commands that keep a store in order over the years: purge, backup, restore, migrate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.arguments import (
    Json,
    KeyFile,
    Quiet,
    StorePath,
    key_access,
    opened,
    store_path,
    unlocked,
)
from facauth.cli.operator import lines
from facauth.cli.output import Answer, answering, complain
from facauth.cli.paths import named
from facauth.cli.people import ask, remark
from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.store.sqlite.upgrade import Migration
    from facauth.structs import PersonRow


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    app.command("purge", short_help="Delete people who were not used for long.")(purge)
    app.command("backup", short_help="Copy the store into a file.")(backup)
    app.command("restore", short_help="Put such a copy in the place of the store.")(restore)
    app.command("migrate", short_help="Bring the store of an older facauth up to date.")(migrate)


UnusedFor = Annotated[
    str,
    typer.Option(
        "--unused-for",
        metavar="PERIOD",
        help="How long without a sign-in or a new photo: 30d, 12w, 6m (of 30 days), 3y (of 365).",
        show_default=False,
    ),
]


def purge(
    unused_for: UnusedFor,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List them, delete nobody.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete everybody who neither signed in nor was given a photo for so long.

    It believes this machine's clock: one that is set far ahead has everybody deleted.
    """
    from facauth import admin

    with answering("purge", as_json=as_json, quiet=quiet) as answer:
        answer.more["people"] = None
        period = admin.parse_period(unused_for)
        # To look takes no key: an operator can always see who is to be deleted.
        with opened(answer, store) if dry_run else unlocked(answer, store, key_file) as records:
            found = admin.unused_for(records, period)
            if not dry_run:
                if found and not yes:
                    confirm(found)
                found = admin.purge(records, found, period)
        answer.verdict = "listed" if dry_run else "purged"
        rows = [(row.name, row.last_used_at) for row in found]
        answer.more["people"] = [{"name": name, "last_used_at": at} for name, at in rows]
        if rows:
            answer.lines += lines(("Name", "Last used"), rows)
        else:
            answer.notes.append(f"everybody was used within {unused_for}")


def confirm(unused: Sequence[PersonRow]) -> None:
    """Name them, then ask. Raises UsageProblem unless somebody at a terminal says yes."""
    for row in unused:
        complain(f"{shown(row.name)} was last used {shown(row.last_used_at)}")
    ask(f"Delete {'these people' if len(unused) > 1 else shown(unused[0].name)} for good?", "purge")


def migrate(
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring the store of an older facauth up to date, and say who needs a new photo.

    Before anything is changed a copy is made beside the store, and verified.
    """
    from facauth.networks import Checked, Networks
    from facauth.store.sqlite.upgrade import migrate as bring_up_to_date

    with answering("migrate", as_json=as_json, quiet=quiet) as answer:
        answer.more.update(migration=None, needs_new_photo=None)
        path = store_path(store)
        done = bring_up_to_date(path, key_access(key_file))
        with opened(answer, store) as records:
            rows = records.people(Networks(Checked(None)).contract)
        answer.verdict = "up_to_date" if done.backup is None else "migrated"
        backup = None if done.backup is None else str(done.backup)
        answer.more["migration"] = {**asdict(done), "backup": backup}
        outdated = answer.more["needs_new_photo"] = [row.name for row in rows if remark(row)]
        answer.lines += said(str(path), done)
        answer.lines += [f"{name} needs a new photo" for name in outdated]
        if backup:
            answer.notes.append(
                f"{shown(backup)} holds everybody as before; delete it when all is well "
                "(remove, purge, register --replace and key init do)"
            )
        if outdated:
            answer.notes.append(
                "without one they cannot sign in; facauth register NAME IMAGE --replace"
            )


Out = Annotated[
    Path,
    typer.Argument(
        metavar="OUT", help="A file that does not exist yet.", show_default=False, parser=named
    ),
]
In = Annotated[
    Path, typer.Argument(metavar="IN", help="The copy.", show_default=False, parser=named)
]


def backup(out: Out, store: StorePath = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Copy the whole store into one file, while others use it.

    No key is needed, and an encrypted store stays encrypted. The copy is checked.
    """
    from facauth.store.sqlite.backup import write_backup

    with answering("backup", as_json=as_json, quiet=quiet) as answer:
        answer.more["enrolled"] = None
        path = store_path(store)
        answer.more["enrolled"] = write_backup(path, out)
        answer.verdict = "backed_up"
        answer.lines.append(f"backed up {shown(path)} ({enrolled(answer)})")
        answer.notes.append("facauth remove does not reach this file: delete it when it has served")


def restore(
    source: In, store: StorePath = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Put a copy in the place of the store, once the copy is found sound.

    What was there is kept beside it. People who were removed since the copy was made are back, and
    failed sign-ins since then are forgotten. No key is needed.
    """
    from facauth.store.sqlite.backup import restore as put_back

    with answering("restore", as_json=as_json, quiet=quiet) as answer:
        answer.more |= {"enrolled": None, "replaced": None}
        path = store_path(store)
        answer.more["enrolled"], aside = put_back(path, source)
        answer.verdict = "restored"
        answer.lines.append(f"restored {shown(path)} ({enrolled(answer)})")
        if aside is not None:
            answer.more["replaced"] = shown(aside)
            answer.notes.append(
                f"{shown(aside)} holds what was there; delete it when all is well "
                "(remove, purge, register --replace and key init do)"
            )


def enrolled(answer: Answer) -> str:
    """ "1 person", "2 people"."""
    count = answer.more["enrolled"]
    return f"{count} {'person' if count == 1 else 'people'}"


def said(path: str, done: Migration) -> list[str]:
    """What was done, in words."""
    if done.backup is None:
        return [f"{shown(path)} is up to date"]
    return [
        f"migrated {shown(path)} from version {done.before} to {done.after}",
        f"the older store is kept as {shown(done.backup)}",
    ]
