"""The camera at the terminal: a device that is a file, and a clock that its frames move."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import ROOT, SAMPLES, Facauth, Photo, Result, killing, tree
from filming import BLACK, FAR, NOTHING, Scene, Set, Time, clip
from moving import MOVES, REST, Head
from rich.console import Console

from facauth.challenge import Action, Challenge, Prompt
from facauth.cli import camera as conversation
from facauth.cli.screen import Cue, Drawn
from facauth.faces.detect import only_face
from facauth.faces.footage import Track
from facauth.store.clock import Clock, binding
from facauth.structs import NOTHING_COMPARED, Pose

if TYPE_CHECKING:
    from facauth.faces.footage import Footage
    from facauth.system import Stages

BARACK, EILEEN, JOE, NOBODY = "obama_2010.jpg", "collins.png", "biden_2010.jpg", "no_face.png"
SIMULATED = "simulated_recapture.jpg"
COUNTDOWN = [f"look at the camera: {left}" for left in (3, 2, 1)]
ASKED = ["look left", "look at the camera", "come nearer", "look at the camera"]
RECORDED = [*COUNTDOWN, "look at the camera", *ASKED, "checking"]
TOLD = ["look at the camera", *RECORDED]
PASSES = "facauth: matched at a false match rate of 1 in 1,000"
RESTS = "facauth: the sign-in rests on a challenge"
ONE_SIGN_IN = 3 + 3 * 11 + 63  # frames: of a usable face, of the countdown, recorded


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Set]:
    """A camera for the commands, and the same clock for the store."""
    film = Set(tmp_path)
    stored = binding.set(Clock(lambda: film.time.now_s, lambda: film.time.now_s))
    with film.bound():
        yield film
    binding.reset(stored)


PROMPTS = Prompt(Action.LOOK_LEFT, 1.0, 3.0), Prompt(Action.COME_NEARER, 4.0, 6.0)
PROMPTS_OF_TWO = [
    PROMPTS,
    (Prompt(Action.COME_NEARER, 0.8, 2.8), Prompt(Action.LOOK_LEFT, 3.6, 5.6)),
]


def following(stages: Stages) -> Callable[[Footage], Track]:
    """A stage that finds the prompts followed: the clips here show one picture, which cannot."""

    def pose(at_s: float) -> Pose:
        yaw_deg, size_px = (40.0, 100.0) if 1.4 < at_s < 2.6 else (0.0, 100.0)
        return Pose(at_s, yaw_deg, 1.0, 140.0 if 4.4 < at_s < 5.6 else size_px)

    def follow(footage: Footage) -> Track:
        frames = list(footage.frames)
        seen = [stages.sight(frame.pixels) for frame in frames[:: len(frames) // 11]]
        judged = [(sighting, only_face(sighting)) for sighting in seen]
        return Track(tuple(pose(frame.at_s) for frame in frames), tuple(judged))

    return follow


@pytest.fixture
def obeying(facauth: Facauth, film: Set, stages: Stages) -> Facauth:
    """Whoever is filmed does what is asked."""
    facauth.bind(follow=following(stages))
    return facauth


@pytest.fixture
def enrolled(obeying: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> Facauth:
    """A store that knows Eileen and Barack, and draws the same prompts each time."""
    obeying.knows(Eileen=photo(EILEEN), Barack=photo("obama_2009.jpg"))
    number = count()
    monkeypatch.setattr(
        "facauth.store.challenges.draw", lambda: Challenge.of(str(next(number)), PROMPTS)
    )
    return obeying


def failures(facauth: Facauth, name: str = "Barack") -> int:
    count: int = facauth("show", name, "--json").json["person_record"]["failures"]
    return count


def told(result: Result) -> list[str]:
    return result.stderr.splitlines()


def events(result: Result) -> list[dict[str, Any]]:
    """What stderr holds with --json."""
    return [json.loads(line) for line in told(result)]


# --- how it is called -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("sign-in",), ("register", "Ada"), ("spoof-check",)])
def test_an_image_or_the_camera_and_not_both(
    facauth: Facauth, film: Set, photo: Photo, command: tuple[str, ...]
) -> None:
    neither = facauth(*command, exit_code=2)
    assert neither.stderr == "facauth: neither an image nor --camera is given; choose one\n"
    for more in (["--camera"], ["--device", "1"]):
        both = facauth(*command, photo(EILEEN), *more, exit_code=2)
        assert (both.stdout, both.stderr) == (
            "",
            "facauth: an image and the camera are named; choose one\n",
        )
    assert film.opened == []
    assert facauth.keeping.is_untouched()


def test_watching_is_with_the_camera_and_without_a_drawing(
    facauth: Facauth, film: Set, photo: Photo
) -> None:
    both = facauth("sign-in", photo(EILEEN), "--watch", exit_code=2)
    assert both.stderr == "facauth: an image and the camera are named; choose one\n"
    drawn = facauth("sign-in", "--watch", "--explain", "out.png", exit_code=2)
    assert drawn.stderr == "facauth: --explain draws one comparison; leave out --watch\n"
    assert film.opened == []


# --- one sign-in ----------------------------------------------------------------------------------


def test_the_person_at_the_camera_signs_in(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    before, folders = enrolled.enrolled(), (tree(enrolled.here), tree(enrolled.home))
    result = enrolled("sign-in", "--camera")
    assert result.stdout == "Barack\n"
    assert (tree(enrolled.here), tree(enrolled.home)) == folders
    assert enrolled.keeping.is_alone()
    assert told(result) == [*TOLD, PASSES, RESTS]
    assert film.opened == [("0", film.device)]
    assert film.device.closed
    assert enrolled.enrolled() == before
    assert enrolled.events()[-1] == ("sign-in", "signed_in", None)


def test_the_device_is_the_one_that_was_named(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    enrolled("sign-in", "--device", "/dev/video2")
    assert [name for name, _ in film.opened] == ["/dev/video2"]


def test_advice_comes_until_the_face_is_usable(enrolled: Facauth, film: Set) -> None:
    film.shows((NOBODY, 12), (BLACK, 12), ("two_faces.jpg", 12), (BARACK, 1))
    result = enrolled("sign-in", "--camera")
    assert told(result) == [
        "look at the camera",
        "no face is seen; look at the camera",
        "the camera's picture is black; open its shutter, uncover it, get light",
        "several faces are seen; one person at a time",
        *RECORDED,
        PASSES,
        RESTS,
    ]


def test_who_stands_far_away_is_called(enrolled: Facauth, film: Set) -> None:
    """The movements of a small face cannot be measured; its quality is enough."""
    film.shows((f"{FAR}{BARACK}", 12), (BARACK, 1))
    result = enrolled("sign-in", "--camera")
    far = "the face is too far away for the prompts; come closer"
    assert told(result) == ["look at the camera", far, *RECORDED, PASSES, RESTS]
    film.opened.clear()
    film.shows((f"{FAR}{BARACK}", 1))
    gave_up = enrolled("sign-in", "--camera", "--json", exit_code=4)
    assert gave_up.codes == ["camera.too_far"]


def test_prompts_come_at_their_times(
    enrolled: Facauth, film: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    film.shows((BARACK, 1))
    times = dict[str, float]()
    write = conversation.prompt_at

    def noting(drawn: Challenge, at_s: float) -> Any:
        found = write(drawn, at_s)
        times.setdefault(found[0].words, at_s)
        return found

    monkeypatch.setattr(conversation, "prompt_at", noting)
    enrolled("sign-in", "--camera")
    assert times["look left"] == pytest.approx(1.0, abs=0.1)
    assert times["come nearer"] == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_prompts_are_needed_with_quiet_too(enrolled: Facauth, film: Set, option: str) -> None:
    film.shows((BARACK, 1))
    result = enrolled("sign-in", "--camera", option)
    assert (result.stdout, told(result)) == ("Barack\n", TOLD)


def test_with_json_prompts_are_json_lines(enrolled: Facauth, film: Set) -> None:
    film.shows((NOBODY, 5), (BARACK, 1))
    result = enrolled("sign-in", "--camera", "--json")
    assert result.json["person"] == "Barack"
    said = events(result)
    assert [each["event"] for each in said] == [
        *("prompt", "advice", "countdown", "countdown", "countdown"),
        *("prompt", "prompt", "prompt", "prompt", "prompt", "checking"),
    ]
    assert said[1]["code"] == "face.none"
    assert said[2]["seconds"] == 3
    assert [each.get("action") for each in said[5:10]] == [
        *("look_ahead", "look_left", "look_ahead", "come_nearer", "look_ahead")
    ]
    assert (said[6]["from_s"], said[6]["to_s"]) == (1.0, 3.0)


def test_a_photo_before_the_camera_does_not_follow(enrolled: Facauth, film: Set) -> None:
    enrolled.bind()
    film.shows((BARACK, 1))
    result = enrolled("sign-in", "--camera", "--json", exit_code=4)
    assert result.codes == ["challenge.not_followed"]
    assert enrolled.events()[-1] == ("sign-in", "unusable_image", "challenge.not_followed")


@pytest.mark.parametrize("asked", PROMPTS_OF_TWO)
def test_who_follows_is_found_to_follow(
    enrolled: Facauth,
    film: Set,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[Prompt, Prompt],
) -> None:
    """With every real stage, by a model of a head."""
    monkeypatch.setattr("facauth.store.challenges.draw", lambda: Challenge.of("0", asked))
    enrolled.bind()
    head, now = Head(SAMPLES / "obama_2012.jpg"), ["look at the camera"]
    poses = {now[0]: head.frame(REST)}
    for action in (Action.LOOK_LEFT, Action.COME_NEARER):
        poses[str(action).replace("_", " ")] = head.frame(MOVES[action])
    write = conversation.prompt_at

    def heard(drawn: Challenge, at_s: float) -> Any:
        found = write(drawn, at_s)
        now[0] = found[0].words
        return found

    monkeypatch.setattr(conversation, "prompt_at", heard)
    film.looks = lambda: poses[now[0]]
    result = enrolled("sign-in", "--camera", "--json")
    assert (result.json["person"], result.json["basis"]) == ("Barack", "challenge")
    poses["look left"] = poses["come nearer"]  # one of them too much, one of them not done
    enrolled("sign-in", "--camera", exit_code=4)


def test_the_result_rests_on_a_challenge(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    result = enrolled("sign-in", "--camera", "--policy", "camera", "--json")
    assert result.json["basis"] == "challenge"


def test_the_challenge_is_drawn_here(enrolled: Facauth, film: Set) -> None:
    result = enrolled("sign-in", "--camera", "--challenge", "drawn", exit_code=2)
    assert result.stderr == "facauth: --challenge is for a clip; leave out --challenge\n"
    assert film.opened == []


def test_a_stranger_does_not_sign_in(enrolled: Facauth, film: Set) -> None:
    film.shows((JOE, 1))
    result = enrolled("sign-in", "--camera", exit_code=1)
    assert result.stdout == ""
    assert told(result)[-1] == "facauth: the face matches nobody; try another photo, or register"


def test_a_screen_before_the_camera_is_an_attack(enrolled: Facauth, film: Set) -> None:
    film.shows((SIMULATED, 1))
    result = enrolled("sign-in", "--camera", exit_code=3)
    assert result.stdout == ""
    assert enrolled.events()[-1][1] == "attack"


# --- nothing to look at ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "code"), [(BLACK, "camera.black"), (NOBODY, "face.none"), (NOTHING, "camera.silent")]
)
def test_without_a_usable_picture_it_gives_up(
    enrolled: Facauth, film: Set, scene: str, code: str
) -> None:
    film.shows((scene, 1))
    before = enrolled.enrolled()
    begun = film.time.now_s
    result = enrolled("sign-in", "--camera", "--as", "Barack", "--json", exit_code=4)
    assert result.codes == [code]
    assert film.time.now_s - begun < 32
    assert film.device.closed
    assert enrolled.enrolled() == before
    assert failures(enrolled) == 0


def test_a_camera_that_is_pulled_out_during_the_prompts(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 60), (NOTHING, 1))
    result = enrolled("sign-in", "--camera", exit_code=4)
    assert result.stdout == ""
    assert "facauth: the camera gave no picture for 5 s; " in result.stderr
    assert film.device.closed


@pytest.mark.parametrize(
    ("then", "codes"),
    [
        (NOBODY, ["challenge.not_followed"]),
        (NOTHING, ["camera.silent", "challenge.not_followed"]),
    ],
)
def test_who_leaves_at_the_prompts_has_failed(
    enrolled: Facauth, film: Set, then: str, codes: list[str]
) -> None:
    """An attacker could otherwise ask again until the prompts fit a clip that he has."""
    enrolled.bind()
    film.shows((BARACK, 60), (then, 1))
    result = enrolled("sign-in", "--camera", "--as", "Barack", "--json", exit_code=4)
    assert result.codes == codes
    assert failures(enrolled) == 1


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("63", "there is no camera /dev/video63; connect one, or name another with --device ("),
        ("/dev/null", "/dev/null is not a camera; name another with --device ("),
        ("foo", "foo is neither the number nor the path of a camera; name another with --device ("),
        ("clip.avi", "clip.avi is not a camera; name another with --device ("),
    ],
)
def test_a_device_that_is_no_camera(
    enrolled: Facauth, device: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real program accepts no file as a camera."""
    clip(enrolled.here / "clip.avi", (BARACK, 1))
    before = enrolled.enrolled(), enrolled.events()
    for command in ("sign-in", "spoof-check"):
        result = enrolled.process(command, "--device", device, exit_code=7)
        assert result.stdout == ""
        assert told(result)[-1].startswith(f"facauth: {words}")
    assert (enrolled.enrolled(), enrolled.events()) == before


def test_a_lock_out_is_told_before_the_camera_is_opened(enrolled: Facauth, film: Set) -> None:
    film.shows((JOE, 1))
    for _ in range(10):
        enrolled("sign-in", "--camera", "--as", "Barack", exit_code=1)
    film.opened.clear()
    result = enrolled("sign-in", "--camera", "--as", "Barack", exit_code=5)
    assert film.opened == []
    assert result.stdout == ""
    assert len(told(result)) == 1


# --- Ctrl-C ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "last", "counted"),
    [(1, "look at the camera", 0), (20, COUNTDOWN[1], 0), (60, "look left", 2)],
)
def test_ctrl_c_leaves_nothing(
    enrolled: Facauth, film: Set, frame: int, last: str, counted: int
) -> None:
    """Before the recording it costs no attempt. From then on an attacker could wait for the
    prompts that he has a clip of, so that it counts as any sign-in that was killed.
    """
    film.shows((BARACK, 1), interrupted_at=frame)
    before, folder = (enrolled.enrolled(), enrolled.events()), tree(enrolled.here)
    result = enrolled("sign-in", "--camera", "--as", "Barack", exit_code=130)
    assert result.stdout == ""
    assert [line for line in told(result) if line][-1] == last
    assert film.device.closed
    assert (enrolled.enrolled(), enrolled.events()) == before
    assert tree(enrolled.here) == folder
    assert failures(enrolled) == counted


@pytest.mark.parametrize("frame", [1, 30, 60])
def test_ctrl_c_enrols_nobody(facauth: Facauth, film: Set, frame: int) -> None:
    film.shows((BARACK, 1), interrupted_at=frame)
    result = facauth("register", "Barack", "--camera", exit_code=130)
    assert result.stdout == ""
    assert film.device.closed
    assert (facauth.names(), facauth.events()) == ({}, [])


# --- register, spoof-check ------------------------------------------------------------------------


def test_register_takes_three_photos(facauth: Facauth, film: Set) -> None:
    film.shows(("obama_2009.jpg", 24), ("obama_2012.jpg", 24), (BARACK, 1))
    result = facauth("register", "Barack", "--camera")
    assert result.stdout == "registered Barack (3 photos)\n"
    assert told(result)[:4] == [
        "photo 1: look at the camera",
        "photo 2: turn your head a little",
        "photo 3: come a bit nearer",
        "checking",
    ]
    assert facauth.names() == {"Barack": 3}
    assert facauth.events() == [("register", "registered", None)]
    assert film.device.closed


def test_one_person_in_three_photos(facauth: Facauth, film: Set) -> None:
    film.shows((BARACK, 48), (EILEEN, 1))
    result = facauth("register", "Barack", "--camera", exit_code=6)
    assert result.stdout == ""
    assert facauth.names() == {}


def test_each_photo_of_the_camera_has_a_name(facauth: Facauth, film: Set) -> None:
    film.shows((SIMULATED, 24), (BARACK, 24), (EILEEN, 1))
    result = facauth("register", "Barack", "--camera", "--json", exit_code=3)
    assert [(each["image"], each["verdict"]) for each in result.json["results"]] == [
        ("camera photo 1", "attack"),
        ("camera photo 2", "usable"),
        ("camera photo 3", "usable"),
    ]


def test_spoof_check_records_five_seconds(facauth: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    begun = film.time.now_s
    result = facauth("spoof-check", "--camera")
    assert result.stdout == "camera: live\n"
    assert told(result) == ["look at the camera", *COUNTDOWN, "look at the camera", "checking"]
    assert film.time.now_s - begun == pytest.approx(0.3 + 3.3 + 5.1, abs=0.3)
    assert facauth.keeping.is_untouched()


def test_spoof_check_finds_a_screen(facauth: Facauth, film: Set) -> None:
    film.shows((SIMULATED, 1))
    result = facauth("spoof-check", "--camera", "--json", exit_code=3)
    assert result.json["results"][0]["image"] == "camera"


# --- a door ---------------------------------------------------------------------------------------

VISITS: tuple[Scene, ...] = (
    *((NOBODY, 9), (BARACK, ONE_SIGN_IN + 9), (NOBODY, 20)),
    *((JOE, ONE_SIGN_IN + 9), (NOBODY, 20), (EILEEN, ONE_SIGN_IN + 9), (NOBODY, 1)),
)
ALL_VISITS = 9 + 3 * (ONE_SIGN_IN + 9 + 20)


def test_one_after_the_other(enrolled: Facauth, film: Set, stages: Stages) -> None:
    enrolled.bind(
        follow=following(stages), replay=lambda *_: NOTHING_COMPARED
    )  # one photo of Eileen
    film.shows(*VISITS, interrupted_at=ALL_VISITS)
    result = enrolled("sign-in", "--watch", exit_code=130)
    assert result.stdout == (
        "signed in: Barack\nrefused: the face matches nobody\nsigned in: Eileen\n"
    )
    waiting = "look at the camera to sign in"
    assert told(result) == [*[waiting, *RECORDED] * 3, waiting]
    assert film.device.closed  # the only one: it stayed open
    assert [verdict for _, verdict, _ in enrolled.events()[-3:]] == [
        *("signed_in", "no_match", "signed_in")
    ]


def test_with_json_each_of_them_is_a_line(enrolled: Facauth, film: Set, stages: Stages) -> None:
    enrolled.bind(
        follow=following(stages), replay=lambda *_: NOTHING_COMPARED
    )  # one photo of Eileen
    film.shows(*VISITS, interrupted_at=ALL_VISITS)
    result = enrolled("sign-in", "--watch", "--json", exit_code=130)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["exit_code"], each["person"]) for each in answers] == [
        *((0, "Barack"), (1, None), (0, "Eileen"))
    ]
    assert {each["schema"] for each in answers} == {"facauth/1"}
    assert all(each["error_rate"] == 0.001 for each in answers)


def test_who_stays_is_asked_again_after_three_seconds(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1), interrupted_at=2 * ONE_SIGN_IN + 50)
    result = enrolled("sign-in", "--watch", exit_code=130)
    assert result.stdout == "signed in: Barack\n" * 2


def test_networks_are_loaded_once(
    enrolled: Facauth, film: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[object]()
    stages = enrolled._bound

    def counted(*needs: str) -> Any:
        made.append(needs)
        return stages(*needs)

    monkeypatch.setattr(enrolled, "_bound", counted)
    film.shows((BARACK, 1), interrupted_at=2 * ONE_SIGN_IN + 50)
    enrolled("sign-in", "--watch", exit_code=130)
    assert len(made) == 1


def test_who_is_removed_meanwhile_is_not_let_in_again(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1), interrupted_at=2 * ONE_SIGN_IN + 50)
    film.meanwhile = {ONE_SIGN_IN + 15: lambda: enrolled.code_of("remove", "Barack", "--yes")}
    result = enrolled("sign-in", "--watch", exit_code=130)
    assert result.stdout == "signed in: Barack\nremoved Barack\nrefused: the face matches nobody\n"


def test_passers_by_cost_no_attempt(enrolled: Facauth, film: Set) -> None:
    before = enrolled.events()
    film.shows(*[(BARACK, 2), (NOBODY, 9)] * 5, (NOBODY, 1), interrupted_at=90)
    result = enrolled("sign-in", "--watch", "--as", "Barack", exit_code=130)
    assert result.stdout == ""
    assert enrolled.events() == before
    assert failures(enrolled) == 0


def test_limits_are_in_force_at_the_door(enrolled: Facauth, film: Set) -> None:
    """After ten failures nobody is asked for anything for 30 s, and after the next for 60 s."""
    film.shows((JOE, 1), interrupted_at=11 * (ONE_SIGN_IN + 31) + 500)
    begun = film.time.now_s
    result = enrolled("sign-in", "--watch", "--as", "Barack", exit_code=130)
    stranger, locked = (
        "refused: the face does not match Barack",
        "refused: there were too many failed sign-ins",
    )
    assert result.stdout.splitlines() == [*[stranger] * 10, locked, stranger, locked]
    assert film.time.now_s - begun > 30


def test_a_claim_of_an_unknown_name_ends_it(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    result = enrolled("sign-in", "--watch", "--as", "Nobody", exit_code=6)
    assert result.stdout == ""
    assert told(result)[-1] == "facauth: nobody is enrolled as Nobody; see facauth list"


def test_a_camera_that_goes_away_ends_it(enrolled: Facauth, film: Set) -> None:
    film.shows((NOBODY, 9), (NOTHING, 1))
    result = enrolled("sign-in", "--watch", exit_code=4)
    assert result.stdout == ""
    assert told(result)[-1].startswith("facauth: the camera gave no picture for 5 s; ")


def test_a_black_picture_is_waited_for(enrolled: Facauth, film: Set) -> None:
    """A door is dark at night."""
    film.shows((BLACK, 350), (BARACK, 1), interrupted_at=350 + ONE_SIGN_IN + 9)
    assert enrolled("sign-in", "--watch", exit_code=130).stdout == "signed in: Barack\n"


# --- a terminal -----------------------------------------------------------------------------------

HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"  # the cursor
HALF_BLOCK = "▀".encode()


@dataclass
class Terminal:
    """What the real program did with a terminal on stdin and stderr, and a pipe on stdout."""

    exit_code: int
    stdout: str
    drawn: bytes
    as_before: bool  # the terminal's modes


def on_terminal(
    facauth: Facauth,
    film: Set,
    *arguments: str,
    typed_at: bytes = b"",
    size: tuple[int, int] = (24, 80),
    env: dict[str, str] | None = None,
) -> Terminal:
    """Run it; press Ctrl-C as soon as `typed_at` is drawn."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    modes = termios.tcgetattr(its)
    script = 'exec "$@" <"$0" 2>"$0"'  # opened again: the terminal whose Ctrl-C interrupts
    program = [sys.executable, "-m", "filming", str(film.path), *arguments]
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    size_of = {"COLUMNS": str(size[1]), "LINES": str(size[0])}
    process = subprocess.Popen(
        ["sh", "-c", script, os.ttyname(its), *program],
        cwd=facauth.here,
        env=facauth.environment({"PYTHONPATH": paths, **size_of, **(env or {})}),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    drawn = b""
    with process, closing(io.FileIO(ours, "r+")) as terminal, killing(process):
        while process.poll() is None or select([ours], [], [], 0)[0]:
            if select([ours], [], [], 0.05)[0]:
                drawn += os.read(ours, 65536)
            if typed_at and typed_at in drawn:
                terminal.write(b"\x03")
                typed_at = b""
        assert process.stdout
        said = process.stdout.read().decode()
        after = termios.tcgetattr(its)
    os.close(its)
    return Terminal(process.returncode, said, drawn, after == modes)


def test_the_preview_and_the_prompts_are_drawn(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    seen = on_terminal(enrolled, film, "sign-in", "--camera")
    assert (seen.exit_code, seen.stdout) == (4, "")  # a photo follows no prompts
    assert b"the face did not move as asked" in seen.drawn
    assert seen.drawn.count(HALF_BLOCK) > 20 * 48 * 9
    for words in ("L O O K   A T   T H E   C A M E R A :   3", "checking", "━", "─"):
        assert words.encode() in seen.drawn
    assert (
        sum(
            " ".join(words.upper()).encode() in seen.drawn
            for words in ("look left", "look right", "look up", "come nearer")
        )
        == 2
    )
    assert seen.drawn.count(HIDDEN) == 1
    assert seen.drawn.rindex(SHOWN) > seen.drawn.rindex(HALF_BLOCK)
    assert seen.as_before


def test_ctrl_c_gives_the_terminal_back(enrolled: Facauth, film: Set) -> None:
    film.shows((BARACK, 1))
    before = enrolled.enrolled(), enrolled.events()
    seen = on_terminal(
        enrolled, film, "sign-in", "--camera", typed_at=b"L O O K   A T   T H E   C A M E R A   "
    )
    assert (seen.exit_code, seen.stdout) == (130, "")
    assert seen.drawn.rindex(SHOWN) > seen.drawn.rindex(HIDDEN)
    assert seen.as_before
    assert (enrolled.enrolled(), enrolled.events()) == before


@pytest.mark.parametrize(
    ("size", "env"),
    [((12, 80), {}), ((24, 30), {}), ((24, 80), {"NO_COLOR": "1"}), ((24, 80), {"TERM": "vt100"})],
)
def test_without_room_or_colours_there_are_words_alone(
    facauth: Facauth, film: Set, size: tuple[int, int], env: dict[str, str]
) -> None:
    film.shows((BARACK, 1))
    seen = on_terminal(facauth, film, "spoof-check", "--camera", size=size, env=env)
    assert (seen.exit_code, seen.stdout) == (0, "camera: live\n")
    assert HALF_BLOCK not in seen.drawn
    assert b"L O O K   A T   T H E   C A M E R A" in seen.drawn or b"LOOK AT THE" in seen.drawn


@pytest.mark.parametrize(("options", "env"), [(["--quiet"], {}), ([], {"TERM": "dumb"})])
def test_where_nothing_can_be_drawn_there_are_lines(
    facauth: Facauth, film: Set, options: list[str], env: dict[str, str]
) -> None:
    film.shows((BARACK, 1))
    seen = on_terminal(facauth, film, "spoof-check", "--camera", *options, env=env)
    assert b"\x1b" not in seen.drawn
    assert seen.drawn.decode().split("\r\n")[:5] == TOLD[:5]


def test_a_door_shows_each_result(enrolled: Facauth, film: Set) -> None:
    film.shows((JOE, 1))
    seen = on_terminal(enrolled, film, "sign-in", "--watch", typed_at=b"refused: ")
    assert seen.exit_code == 130
    assert seen.stdout.startswith("refused: ")
    assert seen.drawn.rindex(SHOWN) > seen.drawn.rindex(HIDDEN)


def drawn_in(seconds: float) -> list[str]:
    """What is written while ten pictures and one prompt come in a second."""
    now = Time()

    class Slow(io.StringIO):
        def flush(self) -> None:
            now.wait(seconds if "▀" in self.getvalue()[at:] else 0)

    at, file, pieces = 0, Slow(), list[str]()
    console = Console(file=file, force_terminal=True, color_system="256", width=88, height=24)
    with Drawn(console, lambda: now.now_s) as screen:
        for number in range(10):
            screen.tell(Cue("prompt", "look up" if number > 4 else "look left"))
            screen.show(np.full((72, 96, 3), number * 20, np.uint8))
            now.wait(0.1)
            pieces.append(file.getvalue()[at:])
            at = len(file.getvalue())
    return pieces


def test_a_slow_terminal_gets_fewer_pictures_and_each_prompt() -> None:
    fast, slow = drawn_in(0.005), drawn_in(0.3)
    assert all("▀" in piece for piece in fast)
    assert sum("▀" in piece for piece in slow) in (2, 3)
    for pieces in fast, slow:
        assert "L O O K   U P" in pieces[5]
