"""demo."""

from __future__ import annotations

from dataclasses import asdict

from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.cli.tables import lines
from facauth.errors import ExitCode


def demo(call: Call) -> None:
    """Show on sample pictures which sign-ins are accepted and which are refused.

    The store of the demo is temporary; yours is not opened.

    Example: facauth demo
    """
    from facauth import demo

    with answering(call, "steps") as answer:
        steps = demo.run()
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
        answer.lines += lines(("", "Tried", "Expected", "Got", "Answer"), rows)
