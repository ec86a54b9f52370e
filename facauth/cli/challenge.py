"""challenge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import Call
from facauth.cli.output import answering

Claimed = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="The name of the sign-in that follows.", show_default=False
    ),
]


def challenge(call: Call, claimed: Claimed = None) -> None:
    """Draw the movements that a clip must show, and print their id.

    For programs with a camera of their own: show the prompts in time, record the clip, and give it
    to sign-in with --challenge ID and the same --as. Times are seconds since the first frame. A
    challenge can be used once, within two minutes. The picture must not be mirrored.

    Example: facauth challenge --json
    """
    with answering(call, "challenge") as answer:
        answer.more["challenge"] = None
        with unlocked(call, answer) as store:
            drawn = store.draw_challenge(claimed)
        answer.verdict = "drawn"
        answer.more["challenge"] = asdict(drawn)
        answer.lines.append(drawn.id)
        answer.lines += [
            f"{prompt.from_s:.1f} to {prompt.to_s:.1f} s: {prompt.action.replace('_', ' ')}"
            for prompt in drawn.prompts
        ]
