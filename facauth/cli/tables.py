"""Tables: drawn on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Sequence[str]


def on_terminal() -> bool:
    """Whether stdout is a terminal that can show a table."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def lines(columns: Row, rows: Sequence[Row], *, header: bool = False) -> list[str]:
    """A table on a terminal; tab-separated rows elsewhere, below column names with `header`."""
    if on_terminal():
        return [table(columns, rows)]
    return ["\t".join(row) for row in ([columns] * header + [*rows])]


def aligned(columns: Row, rows: Sequence[Row]) -> list[str]:
    """A table on a terminal, aligned text elsewhere; columns after the first are right-aligned."""
    if on_terminal():
        return [table(columns, rows)]
    cells = [columns, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in cells
    ]


def csv_lines(rows: Sequence[Row]) -> list[str]:
    """RFC 4180."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().splitlines()


def console(*, stderr: bool = False) -> Console:
    """What draws on a terminal; without colours and bold letters where NO_COLOR is set."""
    from rich.console import Console

    return Console(stderr=stderr, color_system=None if os.environ.get("NO_COLOR") else "auto")


def table(columns: Row, rows: Sequence[Row]) -> str:
    """A table for a terminal."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*map(_plain, row))
    return _drawn(console(), drawn)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # a name like "[red]" is not markup


def _drawn(console: Any, drawn: Table) -> str:
    with console.capture() as capture:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
