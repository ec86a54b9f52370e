"""Completion: what a shell is told, and what real shells make of it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PATIENCE_S, Facauth, Photo

from facauth.completing import FILES, SCRIPTS, TREE, answer, candidates

PROGRAM = f"""#!/bin/sh
[ "$1" = __complete ] && exec {sys.executable} -m facauth "$@"
printf '<%s>' "$@"; echo END
"""
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
NAMES = (
    "Ada Lovelace",
    "[a-z]* photo.jpg",
    'x"; id; $(id) `id` !! "yes',
    'O\'Neil "the $HOME" \\ one',
    "Zoë",
)


def found(*words: str) -> list[str]:
    return [word for word, _ in candidates(words)]


@pytest.fixture
def people(facauth: Facauth, photo: Photo) -> Facauth:
    facauth.knows(Ada=photo("obama_2009.jpg"))
    for name in NAMES:
        facauth.change(
            "INSERT INTO people (uid, name, name_key, enrolled_at)"
            f" VALUES ('{len(name):032}', '{name.replace(chr(39), chr(39) * 2)}',"
            f" '{name.lower().replace(chr(39), chr(39) * 2)}', '2026-11-30T00:00:00+00:00')"
        )
    return facauth


# --- what is told --------------------------------------------------------------------------------


def test_commands_are_completed(facauth: Facauth) -> None:
    assert found("si") == ["sign-in"]
    assert found("re") == ["register", "rename", "remove", "restore"]
    assert found("key", "") == ["init", "rotate", "export"]
    assert found("--json", "sign-i") == ["sign-in"]
    assert found("nonsense", "") == found("")  # a wrong word is no command


def test_options_and_choices_are_completed(facauth: Facauth) -> None:
    assert found("sign-in", "--po") == ["--policy"]
    assert found("sign-in", "--policy", "") == ["strict", "default", "lenient", "camera"]
    assert found("sign-in", "--policy=l") == ["--policy=lenient"]
    assert found("list", "--format", "c") == ["csv"]
    assert "--store" in found("list", "--")
    assert "--store" not in found("compare", "--")
    assert found("log", "--since", "t") == ["today"]
    assert found("sign-in", "--fmr", "") == []


def test_files_are_left_to_the_shell(facauth: Facauth) -> None:
    assert found("sign-in", "") == [FILES]
    assert found("register", "Ada", "") == [FILES]
    assert found("register", "Ada", "a.jpg", "") == [FILES]
    assert found("show", "Ada", "") == []
    assert found("sign-in", "--", "-") == [FILES]


@pytest.mark.sqlite("an encrypted store tells no names")
def test_names_are_completed(people: Facauth) -> None:
    assert found("show", "ad") == ["Ada", "Ada Lovelace"]
    assert found("sign-in", "a.jpg", "--as", "z") == ["Zoë"]
    assert found("export", "z") == ["Zoë", FILES]


@pytest.mark.sqlite("is about the file and its folder")
def test_names_come_from_the_store_that_is_named(people: Facauth, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite3"
    shutil.copy(people.store, copy)
    os.environ["FACAUTH_STORE"] = str(tmp_path / "absent.sqlite3")
    assert found("show", "ad") == []
    assert found("show", "--store", str(copy), "ad") == ["Ada", "Ada Lovelace"]
    assert found(f"--store={copy}", "show", "ad") == ["Ada", "Ada Lovelace"]
    del os.environ["FACAUTH_STORE"]
    settings = people.home / "config" / "facauth" / "config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f'store = "{copy}"\n')
    assert found("show", "ad") == ["Ada", "Ada Lovelace"]


def test_an_encrypted_store_tells_no_names(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo("obama_2009.jpg"))
    facauth.encrypt()
    assert found("show", "") == []


@pytest.mark.sqlite("is about the file and its folder")
def test_nothing_is_completed_from_a_store_that_is_damaged(facauth: Facauth) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_bytes(b"no store" * 999)
    assert found("show", "") == []


@pytest.mark.sqlite("is about the file and its folder")
def test_completion_makes_and_changes_nothing(people: Facauth) -> None:
    before = people.keeping.everything()
    assert people.process("__complete", "fish", "show", "Ada L").stdout == "Ada Lovelace\t\n"
    assert people.keeping.everything() == before
    assert people.keeping.is_alone()
    assert people.process("__complete", "nonsense").stderr == ""


def test_the_tree_has_every_command() -> None:
    tree = json.loads(TREE.read_bytes())
    assert {"sign-in", "enrol", "key init", "evaluate match", "completion"} <= set(tree)


def test_bash_gets_words_it_can_insert() -> None:
    assert answer("bash", ["'sign-i"]) == "sign-in\n"
    assert answer("zsh", ["sign-i"]).startswith("sign-in\tPrint the name")


# --- real shells ---------------------------------------------------------------------------------


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, people: Facauth, tmp_path: Path) -> Shell:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    program = tmp_path / "bin" / "facauth"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (people.here / "some photo.jpg").write_text("")
    (tmp_path / f"script.{name}").write_text(people("completion", name).stdout)
    return Shell(name, people, tmp_path)


class Shell:
    """A real shell on a terminal."""

    def __init__(self, name: str, facauth: Facauth, folder: Path) -> None:
        self.name, self._facauth, self._folder = name, facauth, folder

    def types(self, line: str) -> str:
        """What `facauth` is called with after this line, in which \\t is the tab key."""
        ours, its = pty.openpty()
        path = f"{self._folder / 'bin'}:{os.environ['PATH']}"
        env = self._facauth.environment({"PATH": path, "TERM": "xterm", "PS1": "> "})
        with subprocess.Popen(
            SHELLS[self.name],
            env=env,
            cwd=self._facauth.here,
            pass_fds=[its],
            preexec_fn=lambda: os.login_tty(its),  # its controlling terminal
        ) as process:
            os.close(its)
            try:
                os.write(ours, f"source {self._folder}/script.{self.name}; echo REA''DY\n".encode())
                read_until(ours, "READY")
                os.write(ours, f"{line}\n".encode())
                return read_until(ours, "END")
            finally:
                process.kill()
                os.close(ours)


def read_until(terminal: int, end: str) -> str:
    """What is written to a terminal, up to the last line that has `end`."""
    said, limit = "", time.monotonic() + 10
    while not any(end in line for line in said.splitlines()) and time.monotonic() < limit:
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 65536).decode(errors="replace")
    assert end in said, said
    return said


@pytest.mark.parametrize(
    ("typed", "call"),
    [
        ("facauth sign-i\t--pol\tstr\tsome\t", "<sign-in><--policy><strict><some photo.jpg>"),
        ("facauth show 'Ada L\t", "<show><Ada Lovelace>"),
        ("facauth show Ada\\ L\t", "<show><Ada Lovelace>"),
        ("facauth show O\t", '<show><O\'Neil "the $HOME" \\ one>'),
        ('facauth show "O\t', '<show><O\'Neil "the $HOME" \\ one>'),
        ("facauth show 'O\t", '<show><O\'Neil "the $HOME" \\ one>'),
        ('facauth show "x\t', '<show><x"; id; $(id) `id` !! "yes>'),
        ("facauth show 'x\t", '<show><x"; id; $(id) `id` !! "yes>'),
        ('facauth show "[\t', "<show><[a-z]* photo.jpg>"),
        ("facauth key ini\t", "<key><init>"),
        ("facauth register Zo\tsom\t", "<register><Zoë><some photo.jpg>"),
    ],
    ids=[
        "options and files",
        "in quotes",
        "escaped",
        "strange",
        "strange in double quotes",
        "strange in quotes",
        "command",
        "command in quotes",
        "pattern",
        "inner command",
        "name and file",
    ],
)
@pytest.mark.sqlite("an encrypted store tells no names")
def test_a_real_shell_completes(shell: Shell, typed: str, call: str) -> None:
    assert call in shell.types(typed)


# --- installing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_one_command_installs_it(facauth: Facauth, name: str) -> None:
    start = facauth.home / f".{name}rc"
    start.write_text("# mine")
    os.environ["SHELL"] = f"/usr/bin/{name}"
    said = facauth("completion", "--install").stdout
    files = [Path(line.removeprefix("wrote ")) for line in said.splitlines()]
    assert files[0].read_text() == SCRIPTS[name]
    before = start.read_text()
    assert before.startswith("# mine")
    assert (str(files[0]) in before) == (name != "fish") == (start in files)
    facauth("completion", name, "--install")
    assert start.read_text() == before
    if shutil.which(name) and name != "fish":
        check = f"source {start}; {'typeset -f' if name == 'zsh' else 'type'} _facauth"
        subprocess.run([name, "-c", check], check=True, capture_output=True, timeout=PATIENCE_S)


def test_a_program_that_the_shell_does_not_find(
    facauth: Facauth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "it works once the folder of the program facauth is on your PATH"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert note in facauth("completion", "bash", "--install").stderr
    (tmp_path / "facauth").write_text(PROGRAM)
    (tmp_path / "facauth").chmod(0o755)
    assert note not in facauth("completion", "bash", "--install").stderr


def test_an_unknown_shell_is_named(facauth: Facauth) -> None:
    os.environ["SHELL"] = "/bin/tcsh"
    assert "the shell tcsh is not known" in facauth("completion", exit_code=2).stderr
    assert facauth("completion", "tcsh", "--json", exit_code=2).codes == ["usage"]


@pytest.mark.sqlite("its home holds no key")
def test_a_home_that_cannot_be_written(facauth: Facauth) -> None:
    (facauth.home / "config").write_text("")
    refused = facauth("completion", "fish", "--install", "--json", exit_code=7)
    assert refused.codes == ["completion.unwritable"]
