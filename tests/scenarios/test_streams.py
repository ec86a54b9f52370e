"""What goes where: quiet, pipes, terminals, colours, character sets, interruption."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE_S, Facauth, Photo

FIRST, AGAIN = "obama_2009.jpg", "obama_2010.jpg"
JOE, NOBODY = "biden_2010.jpg", "no_face.png"
PROGRAM = (sys.executable, "-m", "facauth")


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack."""
    facauth.knows(Barack=photo(FIRST))
    return facauth


@pytest.mark.slow
@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
@pytest.mark.sqlite("begins without a store")
def test_quiet_silences_notes_and_never_errors(facauth: Facauth, photo: Photo, quiet: str) -> None:
    for exit_code, stdout, *command in (
        (7, "", "list"),
        (0, "registered Barack (1 photo)\n", "register", "Barack", photo(FIRST)),
        (4, "", "register", "Ada", photo(NOBODY)),
        (6, "", "register", "Ada", photo(FIRST)),
        (0, "Barack\n", "sign-in", photo(AGAIN)),
        (1, "", "sign-in", photo(JOE)),
        (2, "", "sign-in", "absent.jpg"),
        (4, f"{photo(NOBODY)}: cannot judge (no face was found)\n", "spoof-check", photo(NOBODY)),
        (6, "", "rename", "Ada", "Barack"),
        (0, "renamed Barack to Ada\n", "rename", "Barack", "Ada"),
        (2, "", "remove", "Ada"),
        (0, "removed Ada\n", "remove", "Ada", "--yes"),
        (6, "", "remove", "Ada", "--yes"),
        (0, "", "list"),
    ):
        result = facauth(*map(str, command), quiet, exit_code=int(str(exit_code)))
        assert result.stdout == stdout
        refused = bool(exit_code) and command[0] != "spoof-check"  # whose answer says why
        assert len(result.stderr.splitlines()) == refused
        assert not refused or result.stderr.startswith("facauth: ")


def test_quiet_hides_no_internal_error(enrolled: Facauth, photo: Photo) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    enrolled.bind(encode=broken)
    result = enrolled("sign-in", photo(AGAIN), "--quiet", exit_code=70)
    said = "facauth: internal error (RuntimeError); run facauth --debug … and report it\n"
    assert (result.stdout, result.stderr) == ("", said)


@pytest.mark.slow
def test_a_process_says_what_a_call_says(enrolled: Facauth, photo: Photo) -> None:
    for arguments, exit_code in (
        (("sign-in", photo(AGAIN)), 0),
        (("sign-in", photo(JOE)), 1),
        (("sign-in", photo(NOBODY)), 4),
        (("sign-in", "absent.jpg"), 2),
    ):
        here = enrolled(*arguments, exit_code=exit_code)
        assert enrolled.process(*arguments, exit_code=exit_code) == here


def test_a_photo_comes_through_a_pipe(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled.process("sign-in", "-", stdin=Path(photo(AGAIN)).read_bytes())
    said = "facauth: matched at a false match rate of 1 in 1,000\n"
    assert (result.stdout, result.stderr) == ("Barack\n", said)


def test_a_reader_that_left_ends_the_program_silently(enrolled: Facauth) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with enrolled.start("list", stdout=writing) as process:
        os.close(writing)
        _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGPIPE
    assert complaints == b""


NOWHERE = {">/dev/full": "No space left on device", ">&-": "Bad file descriptor"}
UNWRITTEN = {  # what is called, and what is said of it
    "list": "listed, but ",
    "list --json": "listed, but ",
    "register Joe '{joe}'": "registered Joe, but ",
    "register Joe '{joe}' --replace --json": "registered Joe, but ",
    "sign-in '{again}'": "signed in Barack, but ",
    "sign-in '{joe}' --json": "attack, but ",
    "spoof-check '{again}' '{joe}' --jobs 2": "live, but ",
    "log --follow": "",
    "log --follow --json": "",
    "serve --token": "shown, but ",
    "export --all --plain -": "exported, but ",
    "frobnicate --json": "usage, but ",
    "remove barack --yes --quiet": "removed Barack, but ",
    "--version": "",
    "list --help": "",
}


@pytest.mark.slow
@pytest.mark.parametrize("nowhere", NOWHERE)
def test_a_result_that_cannot_be_written_has_a_code_and_a_message(
    enrolled: Facauth, photo: Photo, nowhere: str
) -> None:
    for call, done in UNWRITTEN.items():
        arguments = call.format(joe=photo(JOE), again=photo(AGAIN))
        result = enrolled.shell(f'"$@" {arguments} {nowhere}', exit_code=74)
        said = f"{done}the result could not be written ({NOWHERE[nowhere]}); "
        last = result.stderr.splitlines()[-1]
        assert last == f"facauth: {said}redirect stdout to a file that can be written"
        assert "internal" not in result.stderr
    assert enrolled.names() == {"Joe": 1}


@pytest.mark.slow
@pytest.mark.parametrize("nowhere", ["2>/dev/full", "2>&-"])
def test_lost_notes_change_no_answer(enrolled: Facauth, photo: Photo, nowhere: str) -> None:
    for call, exit_code, stdout in (
        (f"sign-in '{photo(AGAIN)}'", 0, "Barack\n"),
        (f"sign-in '{photo(JOE)}'", 1, ""),
        ("frobnicate", 2, ""),
        ("", 2, ""),
    ):
        assert enrolled.shell(f'"$@" {call} {nowhere}', exit_code).stdout == stdout


@pytest.mark.sqlite("is about the file and its folder")
def test_no_file_takes_the_place_of_a_closed_stream(enrolled: Facauth, photo: Photo) -> None:
    """What a library writes to descriptor 1 or 2 must not end up in the store."""
    enrolled.shell(f'"$@" register Joe "{photo(JOE)}" <&- >&- 2>&-', exit_code=74)
    assert enrolled.names() == {"Barack": 1, "Joe": 1}
    assert "ok" in enrolled.rows("PRAGMA quick_check")[0]


def test_a_closed_stderr_changes_no_exit_code(enrolled: Facauth, photo: Photo) -> None:
    enrolled.shell('"$@" remove Nobody --yes 2>&-', exit_code=6)
    enrolled.shell(f'"$@" register Joe "{photo(JOE)}" 2>&-', exit_code=0)


def test_a_closed_stdin_is_no_photo(enrolled: Facauth) -> None:
    result = enrolled.shell('"$@" sign-in - <&-', exit_code=4)
    assert (result.stdout, "internal error" in result.stderr) == ("", False)


def test_a_closed_stdin_confirms_nothing(enrolled: Facauth) -> None:
    result = enrolled.shell('"$@" remove Barack <&-', exit_code=2)
    assert result.stderr == "facauth: confirmation needs a terminal; add --yes\n"
    assert enrolled.names() == {"Barack": 1}


def test_without_a_terminal_nothing_is_removed_unless_confirmed(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    result = enrolled.process("remove", "Barack", stdin=b"y\n", exit_code=2)
    assert (result.stdout, "add --yes" in result.stderr) == ("", True)
    assert enrolled.keeping.everything() == before


def test_at_a_terminal_somebody_is_asked_first(enrolled: Facauth) -> None:
    declined = enrolled.on_terminal("remove", "barack", typed=b"n\n", exit_code=2)
    assert declined.stderr.startswith("Permanently delete Barack? [y/N]: ")
    assert "nothing was deleted" in declined.stderr
    assert enrolled.names() == {"Barack": 1}
    agreed = enrolled.on_terminal("remove", "barack", typed=b"y\n")
    assert agreed.stdout.endswith("removed Barack\n")
    assert enrolled.names() == {}


def test_the_end_of_input_confirms_nothing(enrolled: Facauth) -> None:
    enrolled.on_terminal("remove", "Barack", typed=b"\x04", exit_code=130)
    assert enrolled.names() == {"Barack": 1}


def test_a_terminal_shows_a_table_and_a_pipe_gets_tabs(enrolled: Facauth) -> None:
    enrolled("rename", "Barack", "[red]Barack")
    head, row = enrolled.on_terminal("list").stdout.splitlines()
    assert ("\x1b[" in head, "\t" in row) == (True, False)
    assert row.startswith("[red]Barack  1 ")
    piped = enrolled.process("list").stdout
    assert ("\x1b" in piped, piped.startswith("[red]Barack\t1\t")) == (False, True)


def test_a_table_fits_the_terminal(enrolled: Facauth) -> None:
    enrolled("rename", "Barack", "a" * 128)
    shown = enrolled.on_terminal("list", env={"COLUMNS": "70"}).stdout
    assert max(map(len, without_styles(shown).splitlines())) <= 70


def without_styles(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def test_no_color_shows_a_table_without_colours_and_bold_letters(enrolled: Facauth) -> None:
    shown = enrolled.on_terminal("list", env={"NO_COLOR": "1"}).stdout
    assert shown.splitlines()[1].startswith("Barack  1 ")
    assert "\x1b" not in shown
    assert "\x1b[1m" in enrolled.on_terminal("list").stdout


def test_a_dumb_terminal_gets_tabs(enrolled: Facauth) -> None:
    shown = enrolled.on_terminal("list", env={"TERM": "dumb"}).stdout
    assert shown.startswith("Barack\t1\t")


def test_json_is_the_same_on_a_terminal(enrolled: Facauth) -> None:
    shown = enrolled.on_terminal("list", "--json")
    assert shown.json["people"][0]["name"] == "Barack"
    assert (shown.stderr, "\x1b" in shown.stdout) == ("", False)


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LANG": "C", "LC_ALL": ""},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    ],
    ids=["LC_ALL=C", "LANG=C", "ascii", "latin-1"],
)
def test_whatever_the_character_set_json_stays_json(
    enrolled: Facauth, locale: dict[str, str]
) -> None:
    enrolled("rename", "Barack", "Zoë 李 🦊")
    done = subprocess.run(
        ["sh", "-c", '"$@" list --json', "sh", *PROGRAM],
        env=enrolled.environment(locale),
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    encoding = locale.get("PYTHONIOENCODING", "utf-8")
    listed = json.loads(done.stdout.decode(encoding))
    assert listed["people"][0]["name"] == "Zoë 李 🦊"
    assert done.stderr == b""


def test_what_a_character_set_lacks_is_escaped(enrolled: Facauth) -> None:
    enrolled("rename", "Barack", "Zoë 李")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    assert enrolled.process("list", env=env).stdout.startswith("Zo\\xeb \\u674e\t1\t")


def test_a_path_that_is_no_text_is_shown_escaped(enrolled: Facauth) -> None:
    result = enrolled.shell("""absent=$(printf '\\377.jpg'); "$@" sign-in "$absent" """, 2)
    assert result.stdout == ""
    assert result.stderr == "facauth: \\udcff.jpg does not exist; check the path\n"


def test_an_interrupted_sign_in_lets_nobody_in(enrolled: Facauth) -> None:
    with enrolled.start("sign-in", "-") as process:
        assert process.stdin
        process.stdin.write(bytes(2**20))  # more than a pipe holds: now it reads
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (130, b"")
    assert b"Traceback" not in stderr
    assert enrolled.names() == {"Barack": 1}
    assert enrolled.keeping.is_alone()


@pytest.mark.parametrize("module", ["facauth.cli", "facauth.errors", "typer", "facauth.cli.output"])
def test_ctrl_c_while_modules_are_imported(facauth: Facauth, tmp_path: Path, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import os, signal, sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
"""
    )
    result = facauth.process("list", env={"PYTHONPATH": str(tmp_path)}, exit_code=130)
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("instruction", ["complete_bash", "source_bash", "bash_source", "x"])
def test_a_shell_that_completes_commands_gets_a_command(facauth: Facauth, instruction: str) -> None:
    env = {"_FACAUTH_COMPLETE": instruction, "COMP_WORDS": "facauth li", "COMP_CWORD": "1"}
    result = facauth.process("--version", env=env)
    assert (result.stdout.startswith("facauth "), result.stderr) == (True, "")


def test_an_interrupted_question_removes_nobody(enrolled: Facauth) -> None:
    result = enrolled.on_terminal("remove", "Barack", typed=b"\x03", exit_code=130)
    assert "Traceback" not in result.stderr
    assert enrolled.names() == {"Barack": 1}
