"""show."""

from __future__ import annotations

from dataclasses import asdict

from facauth.cli.bound import opened
from facauth.cli.options import Call, Name
from facauth.cli.output import answering
from facauth.cli.tables import lines, on_terminal
from facauth.cli.wording import field_text, local_time
from facauth.records import PersonName


def show(call: Call, name: Name) -> None:
    """Show everything stored about a person, except the data of the photos.

    No key is needed. Times are local on a terminal, and UTC elsewhere.

    Example: facauth show "Ada Lovelace"
    """
    from facauth import admin

    with answering(call, "person_record") as answer:
        with opened(call, answer) as store:
            record = admin.show(store, PersonName.parse(name))
        answer.verdict, answer.person = "shown", record.name
        fields = answer.more["person_record"] = asdict(record)
        answer.lines += lines(
            ("Field", "Value"), [(key, value_text(key, fields[key])) for key in fields]
        )


def value_text(key: str, value: object) -> str:
    """The value of a field; a time is local on a terminal."""
    if key.endswith("_at") and isinstance(value, str) and on_terminal():
        return local_time(value)
    return field_text(value)
