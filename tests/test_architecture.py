"""Imports point down, wings do not know each other, and every room stays small."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from facauth.cli import COMMANDS, EVALUATE, KEY

PACKAGE = Path(__file__).parents[1] / "facauth"
MAX_FUNCTION_LINES = 36
MAX_FILE_LINES = 400
MAX_PIPELINE_LINES = 150

# Every import goes to a lower floor, or stays within its own package.
FLOORS = (
    {"facauth", "facauth.errors", "facauth.extras", "facauth.geometry", "facauth.names"},
    {"facauth.files", "facauth.memory", "facauth.places"},
    {"facauth.defaults", "facauth.records", "facauth.samples", "facauth.settings"},
    {"facauth.structs"},
    {"facauth.challenge", "facauth.networks"},
    {"facauth.faces", "facauth.spoof", "facauth.decision", "facauth.store"},  # the wings
    {"facauth.evidence", "facauth.several", "facauth.roster"},
    {"facauth.batch", "facauth.envelope", "facauth.explain", "facauth.learning"},
    {"facauth.stages"},
    {"facauth.system"},
    {"facauth.enrolling"},
    {"facauth.pipeline", "facauth.transfer"},
    {"facauth.admin", "facauth.bulk", "facauth.completing", "facauth.demo", "facauth.search"},
    {"facauth.api", "facauth.doctor", "facauth.measure"},
    {"facauth.web"},
    {"facauth.cli"},
    {"facauth.__main__"},
)
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
# Which of the libraries that matter may be imported where.
DOORKEEPERS = {
    "sqlite3": {"facauth.store"},
    "psycopg": {"facauth.store"},
    "cryptography": {"facauth.store", "facauth.web"},
    "keyring": {"facauth.store"},
    "typer": {"facauth.cli"},
    "rich": {"facauth.cli"},
    "matplotlib": {"facauth.measure"},
    "fastapi": {"facauth.web"},
    "starlette": {"facauth.web"},
    "uvicorn": {"facauth.web"},
    "jinja2": {"facauth.web"},
    "python_multipart": {"facauth.web"},
    "prometheus_client": {"facauth.web"},
    "platformdirs": {"facauth.defaults"},
}
# What the command line and the server may import of ours, beside their own room.
FRONT = {
    "admin",
    "envelope",
    "errors",
    "evidence",
    "pipeline",
    "places",
    "defaults",
    "records",
    "settings",
    "structs",
    "system",
}
MEASURES = {"measure", "batch", "explain"}
ALSO: dict[str, set[str]] = {
    "facauth.cli": {"facauth"},  # its version
    "facauth.cli.bound": {"networks", "decision.calibration"},  # bound once, for every command
    "facauth.cli.calibrate": {"decision.calibration", *MEASURES},
    # The conversation at the camera runs while it films, below the pipeline.
    "facauth.cli.camera": {"challenge", "faces.camera", "faces.footage"},
    "facauth.cli.commands": {"completing"},  # what the help says of them
    "facauth.cli.compare": {"search"},
    "facauth.cli.completion": {"completing"},
    "facauth.cli.copy_": {"store.copying"},
    "facauth.cli.demo": {"demo"},
    "facauth.cli.doctor": {"doctor"},
    "facauth.cli.enrol": {"batch", "bulk", "roster", "store.spool"},
    "facauth.cli.evaluate": MEASURES,
    "facauth.cli.export": {"transfer.document", "transfer.file"},
    "facauth.cli.identify": {"batch", "explain", "search"},
    "facauth.cli.import_": {"transfer.file"},
    "facauth.cli.measured": {"measure"},
    "facauth.cli.measured_match": {"measure"},
    "facauth.cli.measuring": MEASURES,
    "facauth.cli.serve": {"extras", "web"},
    "facauth.cli.settings_file": {"files"},
    "facauth.cli.sign_in": {"explain"},
    "facauth.cli.spoof_check": {"batch", "explain"},
    "facauth.cli.watch": {"faces.camera", "faces.footage"},  # one camera for all who come
    "facauth.cli.wrong": {"names"},
    "facauth.web.app": {"facauth"},
    "facauth.web.ended_sessions": {"files"},
    "facauth.web.probe": {"networks"},  # the type of what it binds
    "facauth.web.token": {"files"},
}
# The package gives its public names, for type checkers and when they are first used.
PUBLIC = {"facauth": {"facauth.api", "facauth.errors"}}
ENGINES = ("facauth.store.sqlite", "facauth.store.postgres")
SQL = r"\s*(SELECT|INSERT|UPDATE|DELETE FROM|REPLACE|CREATE|DROP|ALTER|PRAGMA|BEGIN|COMMIT)\b[^a-z]"
# What reads a weight file, and the name of their folder.
OPENERS = ("readNet", "FaceDetectorYN.create", "FaceDetectorYN_create", "np.load", "WEIGHTS")
HEAVY = {"cv2", "dlib", "numpy", "PIL", "pi_heif", "pillow_heif", "face_recognition", "matplotlib"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
COMMAND_MODULES = {
    f"facauth.cli.{function.partition('.')[0]}"
    for rows in (*COMMANDS.values(), KEY, EVALUATE)
    for _, function in rows.values()
}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def room_of(module: str) -> str:
    """The file on a floor, or the package that stands there as a whole."""
    return ".".join(module.split(".")[:2])


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a file, type checking included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in SOURCES else node.module


def our_imports(name: str) -> set[str]:
    return {each for each in imports(TREES[name]) if each.split(".")[0] == "facauth"}


def test_every_module_has_its_floor() -> None:
    assert {room_of(name) for name in SOURCES} == set(LEVELS)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_point_down(name: str) -> None:
    room = room_of(name)
    others = {each for each in our_imports(name) if room_of(each) != room}
    others -= PUBLIC.get(name, set())
    upwards = {each for each in others if not LEVELS[room_of(each)] < LEVELS[room]}
    assert upwards == set()


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_comment_points_to_is_there(name: str) -> None:
    """Files by their path, and modules and what is in them by their dotted name."""
    text, root = SOURCES[name].read_text(), PACKAGE.parent
    files = set(re.findall(r"\b(?:facauth|tests|benchmarks)/[\w/]+\.(?:py|json)\b", text))
    missing = {file for file in files if not (root / file).exists()}
    for module, member in re.findall(r"\bsee (?:[a-z]+\.)*([a-z]+)\.(?!py\b)(\w+)", text):
        within = [path for each, path in SOURCES.items() if each.endswith(f".{module}")]
        known = any(re.search(rf"\b{member}\b", path.read_text()) for path in within)
        if not known and f"facauth.{module}.{member}" not in SOURCES:
            missing.add(f"{module}.{member}")
    assert missing == set()


FRONT_ROOMS = ("facauth.cli", "facauth.web")


@pytest.mark.parametrize("name", [each for each in SOURCES if room_of(each) in FRONT_ROOMS])
def test_the_command_line_and_the_server_import_what_is_in_front(name: str) -> None:
    allowed = {*FRONT, *ALSO.get(name, ())}
    others = {each for each in our_imports(name) if room_of(each) != room_of(name)}
    inner = {each.removeprefix("facauth.") for each in others}
    behind = {each for each in inner if not {each, each.partition(".")[0]} & allowed}
    assert behind == set()


@pytest.mark.parametrize("name", SOURCES)
def test_a_command_is_imported_by_its_row_alone(name: str) -> None:
    assert our_imports(name) & COMMAND_MODULES == set()


def test_the_command_line_has_few_floors() -> None:
    graph = {name: our_imports(name) for name in SOURCES if room_of(name) == "facauth.cli"}
    graph["facauth.cli"] |= COMMAND_MODULES

    def height(name: str) -> int:
        return 1 + max((height(each) for each in graph[name] if each in graph), default=0)

    assert max(map(height, graph)) <= 5


def test_errors_import_nothing_of_ours() -> None:
    assert our_imports("facauth.errors") == set()


@pytest.mark.parametrize("name", SOURCES)
def test_libraries_are_imported_where_they_belong(name: str) -> None:
    libraries = {each.split(".")[0] for each in imports(TREES[name])}
    misplaced = {
        library
        for library, rooms in DOORKEEPERS.items()
        if library in libraries and room_of(name) not in rooms
    }
    assert misplaced == set()


@pytest.mark.parametrize("name", SOURCES)
def test_sql_stands_in_the_engine_alone(name: str) -> None:
    """The rules of the store hold with any engine."""
    if name.startswith((*ENGINES, "facauth.store.sql")):
        return
    assert {each.split(".")[0] for each in imports(TREES[name])} & {"sqlite3", "psycopg"} == set()
    texts = (node.value for node in ast.walk(TREES[name]) if isinstance(node, ast.Constant))
    found = [text for text in texts if isinstance(text, str) and re.match(SQL, text)]
    assert found == []


def test_the_rules_of_the_store_open_engines_and_know_no_other_part_of_them() -> None:
    """Only where a store is opened or copied stands which engines there are."""
    rules = [n for n in SOURCES if room_of(n) == "facauth.store" and not n.startswith(ENGINES)]
    known = {(n, each) for n in rules for each in our_imports(n) if each.startswith(ENGINES)}
    sqlite, postgres = (f"{engine}.engine" for engine in ENGINES)
    assert known == {
        ("facauth.store.copying", sqlite),
        ("facauth.store.store", sqlite),
        ("facauth.store.store", postgres),
    }


@pytest.mark.parametrize("name", SOURCES)
def test_weights_are_opened_in_one_place(name: str) -> None:
    text = ast.unparse(TREES[name])
    used = [opener for opener in OPENERS if opener in text]
    assert bool(used) == (name == "facauth.networks"), used


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, type checking left out."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield node
        waiting += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]


@pytest.mark.parametrize("name", SOURCES)
def test_heavy_libraries_are_imported_where_they_are_used(name: str) -> None:
    """Measuring is arithmetic throughout, and imported by the commands that measure as they run."""
    top = [node for node in at_import(TREES[name]) if isinstance(node, ast.Import | ast.ImportFrom)]
    loaded = {each.split(".")[0] for node in top for each in imports(node)}
    allowed = {"numpy"} if room_of(name) == "facauth.measure" else set()
    assert loaded & HEAVY <= allowed


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("name", SOURCES)
def test_functions_are_short(name: str) -> None:
    """From the first line of the body: a command has one parameter for each of its options."""
    lengths = {
        node.name: (node.end_lineno or node.lineno) - node.body[0].lineno + 1
        for node in functions(TREES[name])
    }
    assert {each: n for each, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("name", SOURCES)
def test_files_can_be_read_in_a_sitting(name: str) -> None:
    limit = MAX_PIPELINE_LINES if name == "facauth.pipeline" else MAX_FILE_LINES
    assert len(SOURCES[name].read_text().splitlines()) <= limit
