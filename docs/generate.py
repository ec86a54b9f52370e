"""Writes what the pages of docs/ take from the program: `python docs/generate.py`.

A page marks such a part with two comments, and what stands between them is replaced:

    <!-- generated: contents -->
    <!-- end -->

With `--check` nothing is written, and the exit code is 1 if a page is not as it would be written.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from facauth import __version__, cli, settings
from facauth.store.keys import KeyAccess
from facauth.store.postgres import schema as postgres
from facauth.store.sqlite import schema
from facauth.web.app import make_app
from facauth.web.site import Site, WebLimits
from facauth.web.workers import Workers

DOCS = Path(__file__).resolve().parent
COLUMNS = 88
PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page of docs/."""
    return sorted(DOCS.rglob("*.md"))


def generated(page: str) -> str:
    """The text of a page, with its marked parts as they are now."""

    def part(found: re.Match[str]) -> str:
        text = contents(page) if found[2] == "contents" else PARTS[found[2]]()
        return f"{found[1]}\n{text.strip()}\n\n{found[3]}"

    page = PART.sub(lambda found: found[0] if found[2] == "contents" else part(found), page)
    return PART.sub(lambda found: part(found) if found[2] == "contents" else found[0], page)


# --- a table of contents -------------------------------------------------------------------------


def headings(page: str) -> Iterator[tuple[int, str]]:
    """Level and text of each heading."""
    for found in re.finditer(r"(?m)^(#{1,4}) (.+)$", re.sub(r"(?ms)^```.*?^```", "", page)):
        yield len(found[1]), found[2]


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def contents(page: str) -> str:
    """A list of the sections."""
    return "\n".join(f"- [{text}](#{anchor(text)})" for level, text in headings(page) if level == 2)


# --- the command line ----------------------------------------------------------------------------


def commands(group: Mapping[str, Any], *outer: str) -> Iterator[tuple[str, ...]]:
    """Every command, commands of a command included."""
    for name, command in group.items():
        yield (*outer, name)
        yield from commands(getattr(command, "commands", {}), *outer, name)


def help_of(*command: str) -> str:
    """What `facauth COMMAND --help` prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        cli.run([*command, "--help"])
    return said.getvalue().strip()


def command_line() -> str:
    """Every help text under a heading of its own."""
    every = [(), *commands(cli.app.commands)]
    return "\n\n".join(
        f"## {' '.join(['facauth', *words])}\n\n```console\n"
        f"$ {' '.join(['facauth', *words, '--help'])}\n{help_of(*words)}\n```"
        for words in every
    )


# --- numbers, tables, routes ---------------------------------------------------------------------


def limits() -> str:
    """Every number of settings.py, a table for each kind; docs/limits.json says what it means."""
    kinds: dict[Any, dict[str, Any]] = {}
    for name, value in vars(settings).items():
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            kinds.setdefault(type(value), {})[name] = value
    tables = [_limits(kind, kind._fields, values) for kind, values in kinds.items()]
    of_web = tuple(each.name for each in fields(WebLimits))
    return "\n\n".join([*tables, _limits(WebLimits, of_web, {"the server": WebLimits()})])


def _limits(kind: type, names: Sequence[str], values: dict[str, Any]) -> str:
    meaning = json.loads((DOCS / "limits.json").read_text())[kind.__name__]
    rows = [
        f"| `{name}` | {meaning[name]} | "
        + " | ".join(_shown(getattr(each, name)) for each in values.values())
        for name in names
    ]
    columns = " | ".join(f"`{name}`" if name.isupper() else name for name in values)
    head = f"| limit | meaning | {columns} |"
    lines = [head, "|---" * (len(values) + 2) + "|", *(f"{row} |" for row in rows)]
    return f"## {meaning['title']}\n\n{meaning['about']}\n\n" + "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " to ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def tables() -> str:
    """The statements that make a store."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.make(db)
        made = db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        statements = [re.sub(r"(?m)^ {8}", "", sql) for (sql,) in made]
    return "```sql\n" + ";\n\n".join(statements) + ";\n```"


def database_tables() -> str:
    """The statements that make a store in PostgreSQL."""
    statements = [statement for version in postgres.MIGRATIONS for statement in version]
    made = [f"CREATE SCHEMA {postgres.SCHEMA}", f"SET search_path = {postgres.SCHEMA}"]
    for statement in statements:
        margin = re.search(r"\n( *)\S.*\Z", statement)
        made.append(statement.replace(f"\n{margin[1]}", "\n") if margin else statement)
    return "```sql\n" + ";\n\n".join(made) + ";\n```"


def routes() -> str:
    """A table of the HTTP API, from the OpenAPI document."""
    nowhere = DOCS / "absent"
    site = Site(
        host="localhost",
        port=0,
        store=nowhere,
        keys=KeyAccess(),
        token="",
        ended_sessions=nowhere,
        policy=settings.DEFAULT,
        rate=None,
        workers=1,
        behind_proxy=False,
        per_minute=1,
        weight_memory=None,
    )
    paths = make_app(site, Workers(site), lambda _: None).openapi()["paths"]
    return "\n".join(
        ["| route | what it does | who may | fields | status |", "|---|---|---|---|---|"]
        + [
            _route(f"{method.upper()} {path}", route)
            for path, methods in paths.items()
            for method, route in methods.items()
            if "text/plain" not in route["responses"]["200"]["content"]
        ]
    )


def _route(name: str, route: dict[str, Any]) -> str:
    forms = route.get("requestBody", {}).get("content", {}).values()
    named = [
        f"`{field}`{'' if field in form['schema']['required'] else ' (optional)'}"
        for form in forms
        for field in form["schema"]["properties"]
    ]
    who = "the operator" if route.get("security") else "everybody"
    statuses = ", ".join(sorted(route["responses"]))
    return f"| `{name}` | {route['summary']} | {who} | {', '.join(named)} | {statuses} |"


def rooms() -> str:
    """A table of the packages and modules, with the first line of what each says of itself."""
    package = DOCS.parent / "facauth"
    paths = [*package.glob("*/__init__.py"), *(p for p in package.glob("*.py") if p.name[0] != "_")]
    lines = ["| room | what it holds |", "|---|---|"]
    for path in sorted(paths, key=lambda path: (path.name != "__init__.py", path)):
        about = ast.get_docstring(ast.parse(path.read_text())) or ""
        name = f"{path.parent.name}/" if path.name == "__init__.py" else path.name
        lines.append(f"| `{name}` | {about.partition(chr(10) * 2)[0].replace(chr(10), ' ')} |")
    return "\n".join(lines)


def folder(name: str) -> str:
    """The rows of docs/README.md about the pages of a folder, with links from within it."""
    rows = re.findall(
        rf"(?m)^\| \[(.+?)\]\({name}/(.+?)\) \| (.+) \|$", (DOCS / "README.md").read_text()
    )
    lines = [f"| [{title}]({page}) | {about} |" for title, page, about in rows]
    return "\n".join(["| page | content |", "|---|---|", *lines])


# --- completion and the man page -----------------------------------------------------------------

NAMES = {"NAME": ["name"], "[NAME]": ["name"], "OLD": ["name"], "[NAME] OUT": ["name", "file"]}
WORDS = {"R", "N", "K", "T", "V", "TEXT", "PERIOD", "HOST", "NEW"}
TIMES = {"TIME": ["today", "yesterday"], "[SHELL]": ["bash", "zsh", "fish"]}


def _kind(param: Any) -> list[str] | None:
    """What completes a value: "name", "file" or choices; None: nothing."""
    choices = getattr(param.type, "choices", None)
    if param.metavar in NAMES:
        return NAMES[param.metavar]
    if param.metavar in WORDS:
        return None
    return TIMES.get(param.metavar) or (list(choices) if choices else ["file"])


def completion() -> str:
    """The tree of commands that facauth/completing.py reads."""
    root = cli.program()
    tree: dict[str, Any] = {}
    for words in [(), *commands(root.commands)]:
        command: Any = root
        for word in words:
            command = command.commands[word]
        inner = getattr(command, "commands", {})
        tree[" ".join(words)] = {
            "commands": {name: _sentence(each) for name, each in inner.items()},
            "options": {
                option: [_kind(each) if not each.is_flag else None, each.help, not each.is_flag]
                for each in _options(root, command)
                for option in each.opts
            },
            "arguments": [_kind(each) for each in command.params if _is_argument(each)],
            "many": any(each.nargs < 0 for each in command.params if _is_argument(each)),
        }
    return json.dumps(tree, indent=1) + "\n"


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _options(root: Any, command: Any) -> list[Any]:
    shared = getattr(command, "shared", ()) if command is not root else ()
    own = [each for each in command.params if not _is_argument(each)]
    context = cli.options.Call(root, info_name="facauth")
    return [
        *own,
        *(each for each in root.params if each.name in shared),
        *filter(None, [command.get_help_option(context)]),
    ]


def _sentence(command: Any) -> str:
    return (command.help or "").partition("\n\n")[0].replace("\n", " ")


def manual() -> str:
    """facauth(1), in man's own macros."""
    root = cli.program()
    lines = [
        f'.TH FACAUTH 1 "" "facauth {__version__}" "User Commands"',
        ".SH NAME",
        "facauth \\- sign people in by a photo of their face",
        ".SH SYNOPSIS",
        ".B facauth",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH DESCRIPTION",
        _roff(root.help or ""),
        ".SH OPTIONS",
        *_manual_options(root, root),
        ".SH COMMANDS",
    ]
    for words in commands(root.commands):
        command: Any = root
        for word in words:
            command = command.commands[word]
        if not getattr(command, "commands", {}):
            lines += _manual_command(root, command, words)
    return "\n".join([*lines, *_manual_end()]) + "\n"


def _manual_command(root: Any, command: Any, words: tuple[str, ...]) -> list[str]:
    named = " ".join(each.metavar for each in command.params if _is_argument(each))
    title = " ".join(["facauth", *words, "[OPTIONS]", named]).strip()
    return [f".SS {_roff(title)}", _roff(command.help or ""), *_manual_options(root, command)]


def _manual_options(root: Any, command: Any) -> list[str]:
    lines = []
    for each in command.params if command is not root else _options(root, root):
        if not _is_argument(each):
            value = "" if each.is_flag else f" {each.metavar or '|'.join(each.type.choices)}"
            lines += [".TP", f".B {_roff(', '.join(each.opts) + value)}", _roff(each.help or "")]
    return lines


def _manual_end() -> list[str]:
    rows = re.findall(r"(?m)^\| (\d+) \| ([a-z ]+) \| (.+) \|$", EXIT_CODES.read_text())
    lines = [
        ".SH EXIT STATUS",
        "Any code but 0 means: not authenticated. Only sign-in authenticates.",
    ]
    for code, name, meaning in rows:
        lines += [".TP", f".B {code} {name}", _roff(meaning.replace("`", ""))]
    return [*lines, ".SH SEE ALSO", "The pages of docs/ in the source of facauth."]


def _roff(text: str) -> str:
    """Text for man: paragraphs, and no line that is taken for a macro."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    paragraphs = [" ".join(each.split()) for each in escaped.split("\n\n")]
    return "\n.PP\n".join(re.sub(r"(?m)^([.'])", r"\\&\1", each) for each in paragraphs)


EXIT_CODES = DOCS / "reference" / "exit-codes.md"
FILES: dict[Path, Callable[[], str]] = {
    DOCS.parent / "facauth" / "completion.json": completion,
    DOCS / "reference" / "facauth.1": manual,
}

PARTS: dict[str, Callable[[], str]] = {
    "how-to": partial(folder, "how-to"),
    "reference": partial(folder, "reference"),
    "explanation": partial(folder, "explanation"),
    "command-line": command_line,
    "limits": limits,
    "rooms": rooms,
    "tables": tables,
    "database-tables": database_tables,
    "routes": routes,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or say which ones are not as they should be."""
    os.environ["COLUMNS"] = str(COLUMNS)
    stale = [  # first: the help takes a command's first sentence from completion.json
        file for file, make in FILES.items() if not file.exists() or file.read_text() != make()
    ]
    for file in stale:
        print(file.relative_to(DOCS.parent))
        if "--check" not in arguments:
            file.write_text(FILES[file]())
    old = [page for page in pages() if generated(page.read_text()) != page.read_text()]
    for page in old:
        print(page.relative_to(DOCS.parent))
        if "--check" not in arguments:
            page.write_text(generated(page.read_text()))
    return int(bool(old or stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
