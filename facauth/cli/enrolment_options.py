"""Options that register and enrol share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.options import PolicyName
from facauth.errors import Reason, UsageProblem

if TYPE_CHECKING:
    from facauth.envelope import Answer

AcceptSpoof = Annotated[
    bool,
    typer.Option(
        "--accept-spoof",
        help="Skip the liveness check, to enrol scans; the store marks these photos.",
    ),
]
NoSignature = Annotated[
    bool,
    typer.Option(
        "--no-signature",
        help="Do not store replay signatures. Reuse of these photos cannot be detected then.",
    ),
]
ConsentText = Annotated[
    str | None,
    typer.Option(
        "--consent",
        metavar="TEXT",
        help="The text that the person agreed to; stored with the time.",
    ),
]
Purpose = Annotated[
    str | None, typer.Option("--purpose", metavar="TEXT", help="The purpose of the consent.")
]


def note_unchecked(answer: Answer, policy: PolicyName | None, accept_spoof: bool) -> None:
    """Note that liveness is not checked. Raises UsageProblem with --policy strict."""
    if not accept_spoof:
        return
    if policy is PolicyName.STRICT:
        message = "--policy strict and --accept-spoof contradict each other"
        raise UsageProblem(Reason("usage", message, "choose one"))
    answer.notes.append("liveness was not checked (--accept-spoof)")
