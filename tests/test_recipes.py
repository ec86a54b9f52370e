"""The recipes of docs/how-to/recipes.md do what the page says, on the sample pictures.

Each is taken from the page and run, with other values for the variables at its top alone.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from configparser import ConfigParser
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import PATIENCE_S, ROOT, SAMPLES, Facauth, Result, expected, killing
from hatchling.builders.wheel import WheelBuilder

PAGE = (ROOT / "docs/how-to/recipes.md").read_text()
INSTALLED = "/opt/facauth/bin/facauth"
BARACK, BARACK_LATER, JOE = "obama_2009.jpg", "obama_2012.jpg", "biden_2010.jpg"
SIMULATED = "simulated_recapture.jpg"


def block(heading: str, language: str, number: int = 0) -> str:
    """The code below a heading of the page."""
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", PAGE)
    blocks: list[str] = re.findall(rf"(?ms)^```{language}\n(.*?)^```", section)
    return blocks[number]


NIGHTLY = block("Every night, with cron", "sh")
CRON = block("Every night, with cron", "cron")
UNIT = block("The server, with systemd", "ini")
GITHUB: dict[str, Any] = yaml.safe_load(block("Staff photos in GitHub Actions", "yaml"))
GITLAB: dict[str, Any] = yaml.safe_load(block("Uploads in GitLab CI", "yaml"))["live-photos"]
BUTTON = block("A door", "sh")
WATCHING = block("A door", "python")


def with_values(script: str, **values: str) -> str:
    """The script with other values for variables that it sets at the start of a line."""
    for name, value in values.items():
        script, found = re.subn(rf"(?m)^{name}=.*$", lambda _, v=value: v, script)  # type: ignore[misc]
        assert found == 1, name
    return script


def assigned(**values: str | Path) -> dict[str, str]:
    return {name: f"{name}={shlex.quote(str(value))}" for name, value in values.items()}


class Here:
    """A machine on which facauth and python are what runs these tests."""

    def __init__(self, facauth: Facauth, folder: Path) -> None:
        self.facauth = facauth
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.program("facauth", f'exec {shlex.quote(sys.executable)} -m facauth "$@"')
        self.program("python", f'exec {shlex.quote(sys.executable)} "$@"')
        self.rings = folder / "rings"  # one line for each time that the relay was closed
        self.relay = self.program("open-relay", f'echo "$@" >>{shlex.quote(str(self.rings))}')

    def program(self, name: str, script: str) -> Path:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def run(self, command: list[str], exit_code: int = 0, **more: str) -> Result:
        done = subprocess.run(
            command,
            cwd=self.facauth.here,
            env=self.facauth.environment({"PATH": f"{self.programs}:/usr/bin:/bin", **more}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return expected(Result(done.returncode, done.stdout, done.stderr), exit_code)

    def opened(self) -> list[str]:
        return self.rings.read_text().splitlines() if self.rings.exists() else []


@pytest.fixture
def here(facauth: Facauth, tmp_path: Path) -> Here:
    return Here(facauth, tmp_path)


def photos(folder: Path, **people: str) -> Path:
    """A folder with one sample picture for each name."""
    folder.mkdir()
    for name, picture in people.items():
        shutil.copy(SAMPLES / picture, folder / f"{name}{Path(picture).suffix}")
    return folder


# --- cron ----------------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


def nightly(here: Here, copies: Path, exit_code: int = 0) -> Result:
    script = with_values(NIGHTLY, **assigned(store=here.facauth.store, copies=copies))
    return here.run(["sh", "-c", script], exit_code)


def test_a_night_keeps_who_is_active_and_makes_a_copy(here: Here, copies: Path) -> None:
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    old = copies / "2020-01-01T031700Z.sqlite3"
    old.touch()
    subprocess.run(["touch", "-d", "16 days ago", old], check=True)
    said = nightly(here, copies)
    assert said.stdout == ""
    (copy,) = copies.glob("*.sqlite3")
    assert copy != old
    assert oct(copy.stat().st_mode)[-3:] == "600"
    with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as db:
        assert db.execute("SELECT name FROM people").fetchall() == [("Barack",)]
    (line,) = (copies / "log-hashes").read_text().splitlines()
    assert re.fullmatch(r"\S+ sound\s1\s[0-9a-f]{64}", line)


def test_a_night_deletes_who_is_inactive(here: Here, copies: Path) -> None:
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    long_ago = "2020-01-01T00:00:00+00:00"
    for table in ("people", "templates"):
        here.facauth.change(f"UPDATE {table} SET enrolled_at = '{long_ago}'")
    said = nightly(here, copies)
    assert said.stdout == f"Barack\t{long_ago}\n"
    assert here.facauth.names() == {}


def test_a_night_with_a_broken_log_changes_nothing(here: Here, copies: Path) -> None:
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    here.facauth.change("UPDATE events SET verdict = 'removed'")
    said = nightly(here, copies, exit_code=7)
    assert "log" in said.stderr
    assert list(copies.iterdir()) == []
    assert here.facauth.names() == {"Barack": 1}


def test_cron_knows_when_and_whom_and_what() -> None:
    *settings, line = CRON.splitlines()
    *when, user, program = line.split(maxsplit=6)
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for field, (least, most) in zip(when, limits, strict=True):
        assert field == "*" or least <= int(field) <= most
    path = dict(setting.split("=", 1) for setting in settings)["PATH"].split(":")
    assert path[0] == str(Path(INSTALLED).parent)
    assert f"{path[1]}/{program}`" in PAGE
    assert f" {user}\n" in block_of_the_start()


def block_of_the_start() -> str:
    first: str = re.findall(r"(?ms)^```sh\n(.*?)^```", PAGE)[0]
    return first


# --- systemd -------------------------------------------------------------------------------------


def unit() -> ConfigParser:
    """The unit; of a key that is given twice both values, a line each."""
    once = re.sub(r"(?m)^(Environment=.*)\nEnvironment=", r"\1\n  ", UNIT)
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(once)
    return parser


def test_the_unit_starts_a_server_and_ends_it(facauth: Facauth) -> None:
    """By its own command line and environment, but for the port and the folder of the store."""
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == INSTALLED
    state = Path("/var/lib") / service["StateDirectory"]
    given = dict(line.split("=", 1) for line in service["Environment"].splitlines())
    assert all(Path(path).is_relative_to(state) for path in given.values())
    (facauth.home / "state").mkdir()
    folder = str(facauth.home / "state")
    env = {name: value.replace(str(state), folder) for name, value in given.items()}
    env |= {"PATH": facauth.environment()["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "facauth", *arguments, "--port", "0"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as server, killing(server):
        assert server.stderr
        said = server.stderr.readline().decode()
        (address,) = re.findall(r"listening on (\S+)", said)
        behind = {"X-Forwarded-For": "192.0.2.1"}
        assert httpx.get(f"{address}/healthz", headers=behind, trust_env=False).text.strip() == "ok"
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
    assert [path.name for path in facauth.home.iterdir()] == ["state"]
    assert int(service["TimeoutStopSec"]) > 30  # running requests may take so long


def test_systemd_knows_every_line_and_calls_the_unit_safe(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    program = tmp_path / "facauth"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "facauth.service"
    file.write_text(UNIT.replace(INSTALLED, str(program)))
    for arguments in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *arguments, file],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SYSTEMD_PAGER": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""


# --- continuous integration ----------------------------------------------------------------------


def github_steps() -> list[str]:
    (job,) = GITHUB["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def gitlab_steps() -> list[str]:
    return [*GITLAB["before_script"], *GITLAB["script"]]


INSTALL = {"github": github_steps()[0], "gitlab": gitlab_steps()[0]}
VARIABLES = {"github": GITHUB["env"], "gitlab": GITLAB["variables"]}


TRIGGERS = {str(key): value for key, value in GITHUB.items()}["True"]  # what YAML makes of `on`


def check(here: Here, steps: list[str], folder: Path, exit_code: int) -> Result:
    """Run what follows the installation, as the services do: sh that ends at the first failure."""
    script = "\n".join(steps[1:])
    return here.run(["sh", "-e", "-c", script], exit_code, PHOTOS=str(folder))


def test_github_accepts_a_folder_of_good_photos(here: Here, tmp_path: Path) -> None:
    folder = photos(tmp_path / "staff", Barack=BARACK, Joe=JOE)
    said = check(here, github_steps(), folder, 0)
    assert said.stdout == "would enrol 2 people (2 photos)\n"
    assert not here.facauth.store.exists()


def test_github_fails_for_a_photo_of_a_screen(here: Here, tmp_path: Path) -> None:
    folder = photos(tmp_path / "staff", Barack=BARACK, Joe=SIMULATED)
    said = check(here, github_steps(), folder, 8)
    assert "Joe.jpg" in said.stdout


def test_gitlab_accepts_live_faces(here: Here, tmp_path: Path) -> None:
    check(here, gitlab_steps(), photos(tmp_path / "uploads", one=BARACK, two=JOE), 0)
    assert (here.facauth.here / "liveness.json").stat().st_size > 0


def test_gitlab_fails_for_an_attack_and_keeps_the_report(here: Here, tmp_path: Path) -> None:
    check(here, gitlab_steps(), photos(tmp_path / "uploads", one=BARACK, two=SIMULATED), 3)
    (kept,) = GITLAB["artifacts"]["paths"]
    assert '"attack"' in (here.facauth.here / kept).read_text()
    assert GITLAB["artifacts"]["when"] == "always"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    (_,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return folder


@pytest.mark.parametrize("service", INSTALL)
def test_ci_installs_the_wheel(here: Here, wheels: Path, tmp_path: Path, service: str) -> None:
    """Of the wheel all, of its dependencies nothing: they would be downloaded."""
    target = tmp_path / "installed"
    here.run(
        ["sh", "-e", "-c", INSTALL[service]],
        WHEELS=str(wheels),
        PIP_NO_DEPS="1",
        PIP_NO_INDEX="1",
        PIP_NO_COMPILE="1",
        PIP_TARGET=str(target),
    )
    assert (target / "bin" / "facauth").exists()


@pytest.mark.parametrize("service", INSTALL)
def test_ci_runs_when_the_photos_change(service: str) -> None:
    changes = (
        TRIGGERS["pull_request"]["paths"] if service == "github" else GITLAB["rules"][0]["changes"]
    )
    assert all(glob.startswith(f"{VARIABLES[service]['PHOTOS']}/**") for glob in changes)
    assert VARIABLES[service]["WHEELS"] == "tools"


def test_actions_are_named_by_commit_and_may_only_read() -> None:
    (job,) = GITHUB["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", each) for each in used)
    assert GITHUB["permissions"] == {"contents": "read"}


# --- a door --------------------------------------------------------------------------------------


def press(here: Here, photo: str, exit_code: int) -> Result:
    values = assigned(source=SAMPLES / photo, open_relay=here.relay)
    return here.run(["sh", "-c", with_values(BUTTON, **values)], exit_code)


def test_the_button_opens_for_who_is_enrolled(here: Here) -> None:
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    press(here, BARACK_LATER, 0)
    assert here.opened() == ["Barack"]


@pytest.mark.parametrize("photo", [JOE, BARACK])
def test_the_button_opens_for_nobody_else(here: Here, photo: str) -> None:
    """A stranger, and the enrolled photo once more."""
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    press(here, photo, 1)
    assert here.opened() == []


def test_the_button_opens_nothing_without_a_program_or_a_store(here: Here) -> None:
    press(here, BARACK_LATER, 1)
    (here.programs / "facauth").unlink()
    press(here, BARACK_LATER, 1)
    assert here.opened() == []


def watch(here: Here, *scripts: str) -> Result:
    """Run the program with a script in the place of `facauth sign-in --watch --json`."""
    commands = f"WATCH = {['sh', '-c', '; '.join(scripts)]!r}"
    relay = f"OPEN_RELAY = {[str(here.relay), 'open']!r}"
    program = re.sub(r"(?m)^WATCH = .*$", lambda _: commands, WATCHING)
    program = re.sub(r"(?m)^OPEN_RELAY = .*$", lambda _: relay, program)
    assert commands in program
    assert relay in program
    return here.run([sys.executable, "-c", program], 1)


def test_the_program_watches_by_the_command_that_prints_lines() -> None:
    (call,) = re.findall(r"(?m)^WATCH = (.*)$", WATCHING)
    assert re.findall(r'"([^"]+)"', call) == ["facauth", "sign-in", "--watch", "--json"]


def test_the_program_opens_for_each_sign_in(here: Here) -> None:
    """The lines are those of the real program, for a photo each."""
    here.facauth.knows(Barack=str(SAMPLES / BARACK))
    shown = (BARACK_LATER, JOE, SIMULATED, BARACK_LATER)
    watch(here, *(f"facauth sign-in --json {shlex.quote(str(SAMPLES / each))}" for each in shown))
    assert here.opened() == ["open", "open"]


NO_SIGN_INS = (
    "signed_in",
    '{"schema": "facauth/1", "command": "sign-in", "exit_code": 0, "verdict": "signed_in"',
    '{"schema": "facauth/1", "command": "sign-in", "exit_code": 1, "person": "signed_in"}',
    '{"schema": "facauth/1", "command": "sign-in", "exit_code": 1, "verdict": "signed_in"}',
    '{"schema": "facauth/1", "command": "identify", "exit_code": 0, "verdict": "signed_in"}',
    '["signed_in"]',
    "null",
    "",
)


def test_the_program_opens_for_nothing_else(here: Here) -> None:
    watch(here, f"printf '%s\\n' {shlex.join(NO_SIGN_INS)}")
    assert here.opened() == []


def test_the_start_makes_what_the_recipes_use() -> None:
    start = block_of_the_start()
    assert start.startswith(f"python3 -m venv {Path(INSTALLED).parents[1]} && ")
    for folder in ("/var/lib/facauth", "/var/backups/facauth"):
        assert folder in start.splitlines()[-1]
    assert subprocess.run(["sh", "-n", "-c", start], check=False).returncode == 0
