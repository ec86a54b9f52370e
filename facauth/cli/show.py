"""show."""

from __future__ import annotations

from dataclasses import asdict

from facauth.cli.bound import opened
from facauth.cli.options import Call, Name
from facauth.cli.output import answering
from facauth.cli.tables import lines
from facauth.cli.wording import said
from facauth.structs import PersonName


def show(call: Call, name: Name) -> None:
    """Show everything stored about a person, except the data of the photos.

    No key is needed.

    Example: facauth show "Ada Lovelace"
    """
    from facauth.networks import Checked, Networks
    from facauth.records import people

    with answering(call, "person_record") as answer:
        with opened(call, answer) as store:
            row = people.record(store, PersonName.parse(name), Networks(Checked(None)).contract)
            failures, lock = store.failures(row.name), store.locked(row.name)
        answer.verdict, answer.person = "shown", row.name
        fields = answer.more["person_record"] = {
            **asdict(row),
            "failures": failures,
            "locked_out": lock is not None,
            "retry_after_s": lock.retry_after_s if lock else None,
        }
        answer.lines += lines(("Field", "Value"), [(key, said(fields[key])) for key in fields])
