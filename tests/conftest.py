"""What the scenarios share: a command line with a home and a store of its own, and photographs.

Nothing outside `tmp_path` is touched: HOME, the XDG folders, the store and the current folder are
all in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pty
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest
from engines import KEY_FILE, InDatabase, InFile, Keeping, Template, handed_out
from hypothesis import HealthCheck, settings

from facauth.cli import run
from facauth.store.keys import KeyAccess

if TYPE_CHECKING:
    from PIL import Image
    from postgres import Cluster, Database
    from serving import Served

    from facauth.networks import Networks
    from facauth.store.store import Store
    from facauth.structs import Face, Liveness, Pixels, Sighting
    from facauth.system import Stages

# How fast inputs are made says something of how busy the machine is, and nothing of facauth.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_images"
PASSER_BY = "collins.png"
TERMINAL_COLUMNS = 88
REMEMBERED_BYTES = 2**24  # of a picture; sample photos have 1 to 9 million
PATIENCE_S = 60  # for one process on a busy machine; none takes a tenth of it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--once", action="store_true", help="Run one case of each test.")
    parser.addoption(
        "--engine",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="Where the store is. With postgres only tests that have one, in any engine, run.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --once the first case of each; with --engine=postgres what has a store in it."""
    if config.getoption("once"):
        items[:] = {item.nodeid.partition("[")[0]: item for item in reversed(items)}.values()
    if config.getoption("engine") == "postgres":
        chosen = [item for item in items if runs_in_postgres(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def runs_in_postgres(item: pytest.Item) -> bool:
    """Whether it has a store where the option says, and is not about a SQLite file."""
    return "new_store" in getattr(item, "fixturenames", ()) and not item.get_closest_marker(
        "sqlite"
    )


NewStore = Callable[[Path], Keeping]
Photo = Callable[[str], str]
Altered = Callable[[str, "Callable[[Image.Image], Image.Image]"], str]
Tree = dict[str, tuple[str, str]]
Known = dict[tuple[tuple[str, str], ...], Any]  # name and photo of each person -> their store


@dataclass(frozen=True, slots=True)
class Result:
    """What a caller sees of one command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The envelope, which must be all of stdout."""
        (line,) = self.stdout.splitlines()
        envelope: dict[str, Any] = json.loads(line)
        return envelope

    @property
    def codes(self) -> list[str]:
        """The reason codes of the envelope."""
        return [reason["code"] for reason in self.json["reasons"]]


class Facauth:
    """`facauth(...)` runs a command here, `facauth.process(...)` in a process of its own."""

    def __init__(
        self,
        folder: Path,
        keeping: Keeping,
        stages: Stages,
        known: Known,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.home = folder / "home"
        self.here = folder / "here"
        self.keeping = keeping
        self._real = stages
        self._known = known
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._settle_in()
        self._stages: dict[str, Callable[..., Any]] = {}

    def _settle_in(self) -> None:
        for folder in (self.home, self.here):
            folder.mkdir()
        self._monkeypatch.chdir(self.here)
        for name, value in self._environment().items():
            self._monkeypatch.setenv(name, value)
        for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING"):
            self._monkeypatch.delenv(name, raising=False)

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "share"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "FACAUTH_STORE": self.keeping.address,
            "COLUMNS": str(TERMINAL_COLUMNS),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }

    def bind(self, **stages: Callable[..., Any]) -> None:
        """From now on commands run here use these stages in the place of the real ones."""

        self._stages = stages

    def _bound(self, *_: str) -> Stages:
        return replace(self._real, **self._stages)

    def knows(self, **photos: str) -> None:
        """Register people, each with one photo: by the command with its real stages, or as it did
        so before.
        """
        people = tuple(photos.items())
        if people not in self._known:
            with self._monkeypatch.context() as patch:
                patch.setattr(self, "_stages", {})
                for name, image in people:
                    self("register", name, image)
            self._known[people] = self.keeping.keep()
        else:
            self.keeping.put(self._known[people])

    def knows_nobody(self) -> None:
        """A store without people."""
        self.keeping.renew()
        self.opened(create=True).close()

    def opened(self, *, create: bool = False) -> Store:
        """The store; use it as a context manager."""
        return self.keeping.opened(create=create)

    def lacks_store(self, *arguments: str) -> None:
        """The command refuses a store that is not there, and makes none."""
        self.keeping.remove()
        result = self(*arguments, exit_code=7)
        assert result.stdout == ""
        assert result.stderr == f"facauth: {self.keeping.missing}\n"
        assert not self.keeping.is_there()

    @property
    def store(self) -> Any:
        """Where the store is, as messages name it; a path unless --engine says otherwise."""
        self.keeping.prepare()
        return self.keeping.place

    def encrypt(self) -> None:
        """Encrypt the store, if it is not so from the start."""
        if not self.keeping.encrypted:
            self("key", "init")

    def __call__(self, *arguments: str, exit_code: int = 0, stdin: bytes | None = None) -> Result:
        given = io.TextIOWrapper(io.BytesIO(stdin or b""))
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", given)
            code = self.code_of(*arguments)
        said = self._capsys.readouterr()
        return expected(Result(code, said.out, said.err), exit_code)

    def code_of(self, *arguments: str) -> int:
        """The exit code alone; what was said stays where it was said."""
        self.keeping.prepare()
        return run(list(arguments), self._bound)

    def process(
        self,
        *arguments: str,
        exit_code: int = 0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """The real program, from its start to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "facauth", *arguments],
            cwd=self.here,
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return expected(
            Result(done.returncode, done.stdout.decode(), done.stderr.decode()), exit_code
        )

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, stdin: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """The real program, left running; use it as a context manager."""
        return subprocess.Popen(
            [sys.executable, "-m", "facauth", *arguments],
            cwd=self.here,
            env=self.environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def shell(self, script: str, exit_code: int = 0) -> Result:
        """The real program as "$@" of a shell script, for redirections that Python has not."""
        done = subprocess.run(
            ["sh", "-c", script, "sh", sys.executable, "-m", "facauth"],
            cwd=self.here,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return expected(Result(done.returncode, done.stdout, done.stderr), exit_code)

    def on_terminal(
        self,
        *arguments: str,
        exit_code: int = 0,
        typed: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """The real program with stdin and stdout on a terminal; stderr apart from it.

        The shell opens the terminal again to make it the one whose Ctrl-C interrupts.
        """
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, TERMINAL_COLUMNS, 0, 0))
        script = 'exec "$@" <"$0" >"$0"'
        process = subprocess.Popen(
            ["sh", "-c", script, os.ttyname(its), sys.executable, "-m", "facauth", *arguments],
            cwd=self.here,
            env=self.environment(env),
            stdin=its,
            stdout=its,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(its)
        with process, closing(io.FileIO(ours, "r+")) as terminal, killing(process):
            complaints = type_when_asked(process, terminal, typed) if typed else b""
            shown = read_terminal(terminal)
            complaints += process.communicate(timeout=PATIENCE_S)[1]
        stdout = shown.decode().replace("\r\n", "\n")
        return expected(Result(process.returncode, stdout, complaints.decode()), exit_code)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of a process: nothing of the machine's but where its programs are."""
        self.keeping.prepare()
        path = os.environ["PATH"]
        python = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": path, **python, **self._environment(), **(more or {})}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is in the store, past facauth; nothing if there is no store."""
        return self.keeping.rows(query)

    def change(self, statement: str) -> None:
        """Do to the store what facauth never would."""
        self.keeping.change(statement)

    def enrolled(self) -> list[tuple[Any, ...]]:
        """Every person (but when they last signed in) and template, byte for byte."""
        return self.rows(
            """SELECT p.id, p.name, p.name_key, p.enrolled_at, p.uid, p.wrapped_key, p.consent,
                p.purpose, p.consent_at, t.*
            FROM people p LEFT JOIN templates t ON t.person_id = p.id ORDER BY p.id, t.id"""
        )

    def names(self) -> dict[str, int]:
        """Who is enrolled, with how many templates."""
        return dict(
            self.rows(
                """SELECT p.name, count(t.id) FROM people p
                LEFT JOIN templates t ON t.person_id = p.id GROUP BY p.id ORDER BY p.id"""
            )
        )

    def events(self) -> list[tuple[Any, ...]]:
        """What was logged: command, verdict, reason."""
        return self.rows("SELECT command, verdict, reasons FROM events ORDER BY id")


def expected(result: Result, exit_code: int) -> Result:
    """The result itself; fails with all that was said unless the exit code is this one."""
    said = f"stdout:\n{result.stdout}\nstderr:\n{result.stderr}"
    assert result.exit_code == exit_code, f"exit code {result.exit_code}, not {exit_code}\n{said}"
    return result


def type_when_asked(process: subprocess.Popen[bytes], terminal: io.FileIO, typed: bytes) -> bytes:
    """Wait for a question on stderr, then answer it; what was asked."""
    assert process.stderr
    asked = os.read(process.stderr.fileno(), 4096)
    time.sleep(0.3)  # until it reads: Python loses a Ctrl-C that comes between question and read
    terminal.write(typed)
    return asked


def read_terminal(terminal: io.FileIO) -> bytes:
    """Everything shown until the last process lets go of the terminal."""
    shown = b""
    with suppress(OSError):  # EIO: nobody has the other side any more
        while piece := terminal.read(4096):
            shown += piece
    return shown


@contextmanager
def killing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends a program that waits for ever, so that the test fails instead of waiting with it."""
    timer = Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def piped(path: Path) -> Iterator[None]:
    """A pipe at `path`; whoever waits for it waits a while, and then finds it empty."""
    os.mkfifo(path, 0o600)
    end = Timer(10, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    end.start()
    try:
        yield
    finally:
        end.cancel()


def tree(folder: Path) -> Tree:
    """Whatever is below a folder: relative path -> mode and a hash of the content.

    But the key of a store that was there before the first command, as long as nobody changes it.
    """
    left_out = handed_out(folder)
    return {
        str(path.relative_to(folder)): (
            oct(stat.S_IMODE(path.lstat().st_mode)),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
        )
        for path in sorted(folder.rglob("*"))
        if path not in left_out
    }


def fragments(blob: bytes) -> list[bytes]:
    """Pieces of stored bytes, any of which would give them away; not the runs of zeros in them."""
    cut = [blob[at : at + 16] for at in range(0, len(blob) - 15, 16)]
    return [piece for piece in cut if len(set(piece)) > 8]


def change_types(path: Path, *statements: str) -> None:
    """Do to a store what its strict tables forbid, as a flipped bit does; they are strict again."""
    forget = "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE type = 'table'"
    ours = "type = 'table' AND name <> 'sqlite_sequence'"
    restore = f"UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE {ours}"
    for batch in ((forget,), statements, (restore,)):
        with closing(sqlite3.connect(path)) as db, db:  # each sees the tables as the last left them
            db.execute("PRAGMA writable_schema = ON")
            for statement in batch:
                db.execute(statement)


def alive(*_: object) -> Liveness:
    """A stage that finds every face live: for what replay must refuse alone."""
    from facauth.structs import Liveness, LiveVerdict

    return Liveness(LiveVerdict.LIVE, 1.0, 0.5, 0.8, (), ())


def with_a_passer_by(image: Image.Image) -> Image.Image:
    """The picture with a second, much smaller face beside it."""
    from PIL import Image

    wider = Image.new("RGB", (image.width + 200, image.height), "gray")
    wider.paste(image, (0, 0))
    with Image.open(SAMPLES / PASSER_BY) as other:
        wider.paste(other.convert("RGB").resize((200, 200)), (image.width, 400))
    return wider


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Programs started from here get Ctrl-C, even where a runner in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _shipped_calibration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's own calibration is in force, not even that of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def networks() -> Networks:
    """The real networks, loaded once for all scenarios."""
    from facauth.networks import Checked, Networks

    return Networks(Checked(None))


@pytest.fixture(scope="session")
def stages(networks: Networks) -> Stages:
    """The real stages; faces, encodings and signatures are found once in a picture.

    Scenarios use few pictures many times.
    """
    from facauth.system import bind

    real = bind(networks)
    seen: dict[tuple[Any, ...], Sighting] = {}
    answers: dict[tuple[Any, ...], Any] = {}

    def sight(pixels: Pixels) -> Sighting:
        picture = pixels.shape, hashlib.sha256(pixels.tobytes()).digest()
        if picture not in seen and pixels.nbytes <= REMEMBERED_BYTES:
            seen[picture] = real.sight(pixels)
        return seen[picture] if picture in seen else real.sight(pixels)

    def once(stage: Callable[..., Any]) -> Callable[..., Any]:
        def answer(sighting: Sighting, face: Face) -> Any:
            if not any(sighting is each for each in seen.values()):
                return stage(sighting, face)
            if (stage, face) not in answers:
                answers[stage, face] = stage(sighting, face)
            return answers[stage, face]

        return answer

    return replace(real, sight=sight, encode=once(real.encode), signature=once(real.signature))


@pytest.fixture(scope="session")
def known() -> Known:
    """The stores that scenarios began with so far."""
    return {}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The PostgreSQL server of all processes of this run."""
    from postgres import shared_cluster

    base = tmp_path_factory.getbasetemp()
    with shared_cluster(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as started:
        yield started


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """An empty database."""
    with cluster.database() as made:
        yield made


@pytest.fixture(scope="session")
def template(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """An empty store in PostgreSQL."""
    return Template(cluster, tmp_path_factory.mktemp("template"))


def in_file(folder: Path) -> InFile:
    """The place of a store in this folder, with the key where facauth keeps it by itself."""
    keys = KeyAccess(default_key_file=folder / "home" / KEY_FILE)
    return InFile(folder / "data" / "store.sqlite3", keys)


@pytest.fixture(scope="session")
def new_store(request: pytest.FixtureRequest) -> NewStore:
    """Makes the place of a store in a folder, where --engine says."""
    if request.config.getoption("engine") == "sqlite":
        return in_file
    template: Template = request.getfixturevalue("template")
    return lambda folder: InDatabase(template, folder / "home")


@pytest.fixture
def facauth(
    tmp_path: Path,
    new_store: NewStore,
    stages: Stages,
    known: Known,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Facauth]:
    """The command line, with a fresh home and nobody enrolled yet."""
    keeping = new_store(tmp_path)
    yield Facauth(tmp_path, keeping, stages, known, monkeypatch, capsys)
    keeping.close()


@pytest.fixture(scope="session")
def one_server(new_store: NewStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server, which knows Barack, for all tests that leave it as it was."""
    from serving import BARACK, serving

    folder = tmp_path_factory.mktemp("served")
    keeping = new_store(folder)
    keeping.prepare()
    with serving(folder, "--per-minute", "1000000", keeping=keeping) as served:
        assert served.register("Barack", BARACK).status_code == 200
        yield served
    keeping.close()


@pytest.fixture
def server(one_server: Served) -> Served:
    """The same, whatever sign-ins failed before."""
    one_server.unlock()
    return one_server


@pytest.fixture(scope="session")
def photo() -> Photo:
    """The path of a sample photograph (sample_images/CREDITS.md)."""

    def path(name: str) -> str:
        found = SAMPLES / name
        assert found.is_file()
        return str(found)

    return path


@pytest.fixture
def altered(tmp_path: Path) -> Altered:
    """The path of a sample photograph after something was done to it."""

    def path(name: str, change: Callable[[Image.Image], Image.Image]) -> str:
        from PIL import Image

        folder = tmp_path / "altered"
        folder.mkdir(exist_ok=True)
        made = folder / f"{len(list(folder.iterdir()))}.png"
        with Image.open(SAMPLES / name) as image:
            change(image.convert("RGB")).save(made)
        return str(made)

    return path
