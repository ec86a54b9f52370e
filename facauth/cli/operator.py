"""Commands for whoever runs facauth: demo and doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.arguments import Json, Quiet, StorePath, store_path
from facauth.cli.output import Answer, answering, on_terminal, table
from facauth.errors import ExitCode

Licenses = Annotated[
    bool,
    typer.Option("--licenses", help="List the licences of all that is installed; check no more."),
]


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    app.command("demo", short_help="Show what is accepted and refused.")(demo)
    app.command("doctor", short_help="Check this installation.")(doctor)


def lines(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A table on a terminal, tab-separated elsewhere."""
    return [table(columns, rows)] if on_terminal() else ["\t".join(row) for row in rows]


def demo(as_json: Json = False, quiet: Quiet = False) -> None:
    """Show on sample pictures what is accepted and what is refused, in a temporary store."""
    from facauth.cli.demo import run

    with answering("demo", as_json=as_json, quiet=quiet) as answer:
        answer.more["steps"] = None
        steps = run()
        good = all(step.as_expected for step in steps)
        answer.verdict = "as_expected" if good else "not_as_expected"
        answer.exit_code = ExitCode.OK if good else ExitCode.SETUP
        answer.more["steps"] = [asdict(step) for step in steps]
        rows = [
            (
                "ok" if step.as_expected else "WRONG",
                step.title,
                str(int(step.expected)),
                str(int(step.got)),
                step.said,
            )
            for step in steps
        ]
        answer.lines += lines(("", "Tried", "Expected", "Got", "Said"), rows)


def doctor(
    store: StorePath = None,
    licenses: Licenses = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check this installation: packages, weights, store, and a self-test on samples."""
    look = _licences if licenses else _checks
    with answering("doctor", as_json=as_json, quiet=quiet) as answer:
        good = look(answer, store_path(store))
        answer.verdict = "healthy" if good else "unhealthy"
        answer.exit_code = ExitCode.OK if good else ExitCode.SETUP


def _checks(answer: Answer, store: Path) -> bool:
    from facauth.cli.doctor import examine

    answer.more["checks"] = None
    findings = list(examine(store))
    answer.more["checks"] = [asdict(finding) for finding in findings]
    rows = [
        ("ok" if found.ok else "BAD", found.check, found.detail, found.advice) for found in findings
    ]
    answer.lines += lines(("", "Check", "Found", "Do"), rows)
    return all(finding.ok for finding in findings)


def _licences(answer: Answer, _: Path) -> bool:
    from facauth.cli.licences import licensed

    answer.more["licenses"] = None
    things = list(licensed())
    answer.more["licenses"] = [asdict(thing) for thing in things]
    rows = [
        ("ok" if each.ok else "BAD", each.kind, each.name, each.version, each.license)
        for each in things
    ]
    answer.lines += lines(("", "Kind", "Name", "Version", "Licence"), rows)
    bad = ", ".join(each.name for each in things if not each.ok)
    if bad:
        answer.notes.append(f"not known to allow commercial use: {bad}; read the licence first")
    return not bad
