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
from conftest import PATIENCE_S, Facauth, Photo, tree

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
def test_quiet_says_results_only(facauth: Facauth, photo: Photo, quiet: str) -> None:
    for exit_code, stdout, *command in (
        (0, "", "list"),
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
    ):
        result = facauth(*map(str, command), quiet, exit_code=int(str(exit_code)))
        assert (result.stdout, result.stderr) == (stdout, "")


def test_quiet_keeps_an_internal_error_to_its_code(enrolled: Facauth, photo: Photo) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    enrolled.bind(encode=broken)
    result = enrolled("sign-in", photo(AGAIN), "--quiet", exit_code=70)
    assert (result.stdout, result.stderr) == ("", "")


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
    said = "facauth: 1 in 1,000 strangers would pass as somebody enrolled here\n"
    assert (result.stdout, result.stderr) == ("Barack\n", said)


def test_a_reader_that_left_ends_the_program_silently(enrolled: Facauth) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with enrolled.start("list", stdout=writing) as process:
        os.close(writing)
        _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGPIPE
    assert complaints == b""


@pytest.mark.parametrize("layout", ["plain", "json"])
def test_a_result_that_cannot_be_written_is_never_a_success(
    enrolled: Facauth, photo: Photo, layout: str
) -> None:
    more = "--json" if layout == "json" else ""
    result = enrolled.shell(f'"$@" sign-in "{photo(AGAIN)}" {more} >/dev/full', exit_code=70)
    assert "Traceback" not in result.stderr


def test_a_closed_stdout_is_never_a_success(enrolled: Facauth) -> None:
    result = enrolled.shell('"$@" list >&-', exit_code=70)
    assert "Traceback" not in result.stderr
    result = enrolled.shell('"$@" list --json >&-', exit_code=70)
    assert "Traceback" not in result.stderr


def test_a_closed_stderr_changes_no_exit_code(enrolled: Facauth, photo: Photo) -> None:
    enrolled.shell('"$@" remove Nobody --yes 2>&-', exit_code=6)
    enrolled.shell(f'"$@" register Joe "{photo(JOE)}" 2>&-', exit_code=0)


def test_a_closed_stdin_is_no_photo(enrolled: Facauth) -> None:
    result = enrolled.shell('"$@" sign-in - <&-', exit_code=4)
    assert (result.stdout, "internal error" in result.stderr) == ("", False)


def test_a_closed_stdin_confirms_nothing(enrolled: Facauth) -> None:
    result = enrolled.shell('"$@" remove Barack <&-', exit_code=2)
    assert result.stderr == "facauth: nobody is there to confirm it; add --yes\n"
    assert enrolled.names() == {"Barack": 1}


def test_without_a_terminal_nothing_is_removed_unless_confirmed(enrolled: Facauth) -> None:
    before = tree(enrolled.store.parent)
    result = enrolled.process("remove", "Barack", stdin=b"y\n", exit_code=2)
    assert (result.stdout, "add --yes" in result.stderr) == ("", True)
    assert tree(enrolled.store.parent) == before


def test_at_a_terminal_somebody_is_asked_first(enrolled: Facauth) -> None:
    declined = enrolled.on_terminal("remove", "barack", typed=b"n\n", exit_code=2)
    assert declined.stderr.startswith("Delete Barack for good? [y/N]: ")
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


def test_no_color_shows_a_table_without_colours(enrolled: Facauth) -> None:
    shown = enrolled.on_terminal("list", env={"NO_COLOR": "1"}).stdout
    assert shown.splitlines()[1].startswith("Barack  1 ")
    assert "\x1b[3" not in shown
    assert "\x1b[9" not in shown


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
    before = tree(enrolled.store.parent)
    with enrolled.start("sign-in", "-") as process:
        assert process.stdin
        process.stdin.write(bytes(2**20))  # more than a pipe holds: now it reads
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (130, b"")
    assert b"Traceback" not in stderr
    assert enrolled.names() == {"Barack": 1}
    assert tree(enrolled.store.parent).keys() == before.keys()


def test_an_interrupted_question_removes_nobody(enrolled: Facauth) -> None:
    result = enrolled.on_terminal("remove", "Barack", typed=b"\x03", exit_code=130)
    assert "Traceback" not in result.stderr
    assert enrolled.names() == {"Barack": 1}
