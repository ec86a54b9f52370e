"""migrate."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from facauth.cli.bound import key_access, opened, store_path
from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.cli.wording import DELETE_COPY
from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.admin import Migration


def migrate(call: Call) -> None:
    """Update a store that an older version of facauth made.

    A copy is made beside the store and checked first. People whose photos can no longer be compared
    are listed.

    Example: facauth migrate
    """
    from facauth import admin

    with answering(call, "migration", "needs_new_photo") as answer:
        path = store_path(call)
        done = admin.migrate(path, key_access(call))
        with opened(call, answer) as store:
            outdated = answer.more["needs_new_photo"] = admin.outdated(store)
        answer.verdict = "up_to_date" if done.before == done.after else "migrated"
        backup = None if done.backup is None else str(done.backup)
        answer.more["migration"] = {**asdict(done), "backup": backup}
        answer.lines += summary(str(path), done)
        answer.lines += [f"{name} needs a new photo" for name in outdated]
        if backup:
            answer.notes.append(f"{shown(backup)} holds the older store; {DELETE_COPY}")
        if outdated:
            answer.notes.append(
                "people who need a new photo cannot sign in;"
                " run facauth register NAME IMAGE --replace"
            )


def summary(path: str, done: Migration) -> list[str]:
    """The result in words."""
    if done.before == done.after:
        return [f"{shown(path)} is up to date"]
    kept = [] if done.backup is None else [f"the older store is kept as {shown(done.backup)}"]
    return [f"migrated {shown(path)} from version {done.before} to {done.after}", *kept]
