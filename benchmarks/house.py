"""The size of the code base, and its repetitions, of any commit.

    python benchmarks/house.py [REV]

Of the working copy, or of what git has under REV (`main`, `HEAD~3`, a tag). Only Python files and
README.md count. A line of code is neither blank nor comment nor docstring. A function runs from
`def` to its last line. A room is a package of facauth/; modules beside the packages are "ground".
Floors of cli/: modules in the longest chain of imports within it, those in functions and for type
checking included, as for cycles. Commands and options are those of Typer's tree, by this
interpreter; an option slot is one option of one command, the root's own aside. A repeated run is
six lines of code that stand elsewhere in the package too, imports and lines of brackets aside.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN = 6  # lines
LONG = 300  # lines of a file, all of them counted
WANTED = [":(glob)facauth/**/*.py", ":(glob)tests/**/*.py", "README.md"]
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Graph = dict[str, set[str]]

TREE = """
import json, typer.main
from facauth.cli import app
def walk(command):
    if command.params or not hasattr(command, "commands"):
        yield [max(each.opts, key=len) for each in command.params if each.opts[0][0] == "-"]
    for inner in getattr(command, "commands", {}).values():
        yield from walk(inner)
root = app if hasattr(app, "commands") else typer.main.get_command(app)
print(json.dumps(list(walk(root))[1:]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", nargs="?", help="default: the working copy")
    revision = parser.parse_args().revision
    with tempfile.TemporaryDirectory() as folder:
        if revision:
            unpack(revision, Path(folder))
        report(Path(folder) if revision else ROOT)


def unpack(revision: str, folder: Path) -> None:
    """Write what git has under a revision, of the files that count."""
    packed = subprocess.check_output(["git", "-C", str(ROOT), "archive", revision, *WANTED])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def report(folder: Path) -> None:
    """Print everything about one state of the tree."""
    sources: dict[str, str] = {}
    rooms = Counter[str]()
    for path in sorted((folder / "facauth").rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        text = sources[".".join(parts).removesuffix(".__init__")] = path.read_text()
        rooms[parts[1] if len(parts) > 2 else "ground"] += len(code_lines(text))
    print(f"lines of code            {rooms.total():,}")
    for room, size in rooms.most_common():
        print(f"  {room:<22} {size:,}")
    tests = sum(len(code_lines(each.read_text())) for each in (folder / "tests").rglob("*.py"))
    print(f"tests : code             {tests / rooms.total():.1f}")
    long = {name: n for name, text in sources.items() if (n := text.count("\n")) > LONG}
    print(f"files over {LONG} lines     {len(long)}  {counted(long)}")
    report_structure(sources)
    found = duplicates(sources)
    print(f"repeated {RUN}-line runs     {found.total()}  {counted(found)}")
    slots = list(chain(*(commands := options(folder))))
    print(f"commands                 {len(commands)}")
    print(f"option slots (distinct)  {len(slots)} ({len(set(slots))})")
    readme = (folder / "README.md").read_text()
    print(f"README lines / words     {readme.count(chr(10)):,} / {len(readme.split()):,}")


def report_structure(sources: Mapping[str, str]) -> None:
    """Print the figures of functions and imports."""
    lengths = sorted(lengths_of_functions(sources.values()))
    p90 = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    shown = f"{statistics.median(lengths):.0f} / {p90:.0f} / {lengths[-1]}"
    print(f"function lines           {shown} (median, p90, max)")
    graph = imports(sources)
    cli = {name for name in graph if name.startswith("facauth.cli")}
    print(f"import floors of cli/    {floors({name: graph[name] & cli for name in cli})}")
    knots = [", ".join(knot) for knot in cycles(graph)]
    print(f"import cycles            {len(knots)}  {'; '.join(knots)}".rstrip())


def counted(found: Mapping[str, int]) -> str:
    """The counts as text, the largest first."""
    return ", ".join(f"{name} {n}" for name, n in Counter(found).most_common(8))


def code_lines(text: str) -> list[str]:
    """The lines of code, without their indentation."""
    docstrings, used = set[int](), set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty and token.string:
            used.update(range(token.start[0], token.end[0] + 1))
    lines = text.splitlines()
    return [lines[number - 1].strip() for number in sorted(used - docstrings)]


def lengths_of_functions(texts: Iterable[str]) -> Iterator[int]:
    """Lines of every function, nested ones on their own too."""
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1


def imports(sources: Mapping[str, str]) -> Graph:
    """Module -> the modules of facauth that it imports anywhere."""
    graph: Graph = {name: set() for name in sources}
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                graph[name].update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name].update(inner & graph.keys() or {node.module})
        graph[name] &= graph.keys() - {name}
    return graph


def reachable(graph: Graph, start: str) -> set[str]:
    """What a module imports by any number of steps."""
    seen, waiting = set[str](), list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other, directly or not."""
    reach = {name: reachable(graph, name) for name in graph}
    knots = {frozenset(o for o in reach[name] if name in reach[o]) for name in graph}
    return sorted(sorted(knot) for knot in knots if knot)


def floors(graph: Graph) -> int:
    """Modules in the longest chain of imports; those of a cycle are left out."""
    knotted = {name for knot in cycles(graph) for name in knot}

    @cache
    def height(name: str) -> int:
        return 1 + max((height(each) for each in graph[name] - knotted), default=0)

    return max(map(height, graph.keys() - knotted), default=0)


def duplicates(sources: Mapping[str, str]) -> Counter[str]:
    """Module -> its runs of lines that stand elsewhere as well."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for name, text in sources.items():
        lines = [each for each in code_lines(text) if re.match(r"(?!from |import ).*\w", each)]
        for start in range(len(lines) - RUN + 1):
            runs.setdefault(tuple(lines[start : start + RUN]), []).append(name)
    return Counter(name for places in runs.values() if len(places) > 1 for name in places)


def options(folder: Path) -> list[list[str]]:
    """The options of each command, by the package in this folder."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    call = [sys.executable, "-c", TREE]
    printed = subprocess.check_output(call, cwd=folder, env=environment)
    return json.loads(printed)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
