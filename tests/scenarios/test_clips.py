"""Signing in by a clip, with a challenge and without one: moving.py makes the clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import moving
import numpy as np
import pytest
from conftest import SAMPLES, Facauth, Photo, tree
from moving import REST, Head, Movement, Pixels

from facauth.challenge import Action, Challenge
from facauth.faces.quality import measure
from facauth.store.clock import Clock, binding
from facauth.structs import LiveVerdict

ENROLLED, OTHER_DAY, SOMEBODY = "obama_2009.jpg", "obama_2010.jpg", "biden_2010.jpg"
STILL = [REST] * 51  # five seconds
Clip = Callable[[Sequence[Pixels]], str]


@pytest.fixture(scope="module")
def head() -> Head:
    """Barack's, on another day than the enrolled photo."""
    return Head(SAMPLES / OTHER_DAY)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Writes a clip; returns its path."""
    made = iter(range(100))
    return lambda frames: moving.write(tmp_path / f"{next(made)}.avi", frames)


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack and Joe."""
    facauth.knows(Barack=photo(ENROLLED), Joe=photo(SOMEBODY))
    return facauth


def drawn(facauth: Facauth, *arguments: str) -> Challenge:
    """A new challenge, as a program gets it. It is one that the model of a head can follow: that
    has no neck, and looking up is tested on poses (tests/test_challenge.py).
    """
    while True:
        fields = facauth("challenge", "--json", *arguments).json["challenge"]
        challenge = Challenge.of_json(fields["id"], json.dumps(fields["prompts"]))
        if Action.LOOK_UP not in {prompt.action for prompt in challenge.prompts}:
            return challenge


def followed(head: Head, challenge: Challenge) -> list[Pixels]:
    """The head as it follows the prompts."""
    return moving.filmed(head, moving.answer(challenge))


def nodding(head: Head, seconds: float) -> list[Pixels]:
    """The head as it moves a little."""
    turns = [(round(0.2 * np.sin(number), 1), 0.0, 0.0) for number in range(round(seconds * 10))]
    return moving.filmed(head, turns)


# --- clips ----------------------------------------------------------------------------------------


def test_a_clip_signs_in(enrolled: Facauth, clip: Clip, head: Head, tmp_path: Path) -> None:
    file = clip(nodding(head, 5.2))
    before = tree(tmp_path)
    result = enrolled("sign-in", file, "--json").json
    assert (result["person"], result["basis"], result["match"]["compared"]) == ("Barack", "clip", 2)
    assert result["quality"]["faces"] == 1
    changed = {path for path, _ in set(tree(tmp_path).items()) ^ set(before.items())}
    assert all("store.sqlite3" in path or path == "data" for path in changed)  # no frame is kept


def test_a_folder_of_frames_is_a_clip(enrolled: Facauth, head: Head, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(nodding(head, 5)):
        cv2.imwrite(str(folder / f"{number:03}.jpg"), frame[..., ::-1])
    assert enrolled("sign-in", str(folder), "--json").json["basis"] == "clip"


def test_a_clip_can_be_piped_in(enrolled: Facauth, clip: Clip, head: Head) -> None:
    content = Path(clip(nodding(head, 5))).read_bytes()
    assert enrolled("sign-in", "-", stdin=content).stdout == "Barack\n"


def test_a_photo_says_that_it_is_one(enrolled: Facauth, photo: Photo) -> None:
    assert enrolled("sign-in", photo(OTHER_DAY), "--json").json["basis"] == "still"


def test_the_result_says_on_what_it_rests(enrolled: Facauth, clip: Clip, head: Head) -> None:
    said = enrolled("sign-in", clip(nodding(head, 5))).stderr
    assert said.endswith("facauth: the sign-in rests on a clip without a challenge\n")
    challenge = drawn(enrolled)
    said = enrolled("sign-in", clip(followed(head, challenge)), "--challenge", challenge.id).stderr
    assert said.endswith("facauth: the sign-in rests on a challenge\n")


def test_a_clip_is_checked_without_a_store(facauth: Facauth, clip: Clip, head: Head) -> None:
    file = clip(nodding(head, 5))
    result = facauth("spoof-check", file, "--json").json
    assert (result["verdict"], len(result["results"])) == ("live", 1)
    assert (
        "clip.too_short"
        in facauth("spoof-check", clip(nodding(head, 1)), "--json", exit_code=4).codes
    )


def test_a_note_on_a_clip_calls_it_so(facauth: Facauth, clip: Clip, head: Head) -> None:
    facauth.bind(measure=lambda *shown: replace(measure(*shown), faces=2))
    said = facauth("spoof-check", clip(nodding(head, 5))).stderr
    assert said == "facauth: the clip shows 2 faces; only the dominant one counts\n"


def test_somebody_else_in_a_clip_is_nobody(enrolled: Facauth, clip: Clip) -> None:
    file = clip(nodding(Head(SAMPLES / "hopper_1984.jpg"), 5))
    enrolled("sign-in", file, exit_code=4)  # a grey photo is never surely live


def test_a_person_is_enrolled_by_a_clip(facauth: Facauth, clip: Clip, head: Head) -> None:
    assert "(1 photo)" in facauth("register", "Barack", clip(nodding(head, 5))).stdout
    assert facauth.rows("SELECT count(*) FROM templates") == [(1,)]


@pytest.mark.parametrize(
    ("seconds", "code", "advice"),
    [(2, "clip.too_short", "record 5 seconds or more"), (0.1, "clip.too_short", "record 5 sec")],
)
def test_a_short_clip_is_not_enough(
    enrolled: Facauth, clip: Clip, head: Head, seconds: float, code: str, advice: str
) -> None:
    result = enrolled("sign-in", clip(nodding(head, seconds)), "--json", exit_code=4)
    assert result.codes == [code]
    assert result.json["reasons"][0]["advice"].startswith(advice)


def test_a_clip_without_a_face(enrolled: Facauth, clip: Clip) -> None:
    frame = cv2.imread(str(SAMPLES / "no_face.png"))
    assert frame is not None
    picture = np.asarray(cv2.resize(frame, (640, 480)), np.uint8)
    result = enrolled("sign-in", clip([picture] * 50), exit_code=4)
    assert result.stderr.startswith("facauth: the face is seen for less than 4.5 seconds; ")


def test_two_people_cut_together_are_nobody(enrolled: Facauth, clip: Clip, head: Head) -> None:
    joe = [cv2.resize(f, head.pixels.shape[1::-1]) for f in nodding(Head(SAMPLES / SOMEBODY), 2.5)]
    spliced = [*nodding(head, 2.5), *(np.asarray(frame, np.uint8) for frame in joe)]
    result = enrolled("sign-in", clip(spliced), "--json", exit_code=4)
    assert result.codes == ["clip.face_changes"]


def test_the_face_that_moves_is_the_face_that_is_judged(
    enrolled: Facauth, clip: Clip, head: Head
) -> None:
    """Joe is there from the beginning, and then Barack's picture comes in before him."""
    frames = []
    for number, frame in enumerate(nodding(Head(SAMPLES / SOMEBODY), 5)):
        small = cv2.resize(frame, (200, 200 * frame.shape[0] // frame.shape[1]))
        wide = np.full((480, 900, 3), 128, np.uint8)
        wide[: small.shape[0], :200] = small
        if number > 2:
            wide[:, 300 : 300 + head.pixels.shape[1]] = head.pixels
        frames.append(wide)
    result = enrolled("sign-in", clip(frames), "--json", exit_code=4)
    assert result.codes == ["clip.face_changes"]


def test_the_enrolled_picture_moved_about_is_found(enrolled: Facauth, clip: Clip) -> None:
    """Its frames are as live as the photo; replay tells them."""
    frames = moving.moved_about(Head(SAMPLES / ENROLLED).pixels, [(0.1, 0.0, 0.2), REST] * 26)
    enrolled.bind(liveness=lambda *_: _live())
    result = enrolled("sign-in", clip(frames), "--json", exit_code=3)
    assert result.codes == ["replay.enrolled_picture"]


def _live() -> Any:
    from conftest import alive

    assert alive().verdict is LiveVerdict.LIVE
    return alive()


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5])
def test_a_clip_that_is_cut_off(enrolled: Facauth, clip: Clip, head: Head, cut: float) -> None:
    file = Path(clip(nodding(head, 5)))
    content = file.read_bytes()
    file.write_bytes(content[: 64 + int(len(content) * cut)])
    result = enrolled("sign-in", str(file), "--json", exit_code=4)
    assert result.codes[0] in ("clip.damaged", "clip.too_short")


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\0\x18ftypmp42" + bytes(500),
        b"\x1aE\xdf\xa3" + bytes(500),
        b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(500),
        b"\0\0\0\x08moov",
    ],
)
def test_what_only_begins_as_a_clip(enrolled: Facauth, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(content)
    result = enrolled("sign-in", str(file), exit_code=4)
    assert "the clip is damaged, cut off or takes too long to decode" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "content", [b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0"]
)
def test_a_list_of_other_files_is_no_clip(
    enrolled: Facauth, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(content)
    assert enrolled("sign-in", str(file), "--json", exit_code=4).codes == ["image.format"]


# --- challenges -----------------------------------------------------------------------------------


def test_who_follows_the_prompts_signs_in_once(enrolled: Facauth, clip: Clip, head: Head) -> None:
    challenge = drawn(enrolled)
    file = clip(followed(head, challenge))
    result = enrolled("sign-in", file, "--challenge", challenge.id, "--json").json
    assert (result["person"], result["basis"]) == ("Barack", "challenge")
    again = enrolled("sign-in", file, "--challenge", challenge.id, "--json", exit_code=4)
    assert (again.codes, again.json["person"]) == (["challenge.expired"], None)


def test_the_challenge_is_shown_as_text(enrolled: Facauth) -> None:
    lines = enrolled("challenge").stdout.splitlines()
    assert len(lines) == 3
    assert all(" s: " in line for line in lines[1:])


def test_a_clip_for_another_challenge(enrolled: Facauth, clip: Clip, head: Head) -> None:
    first = drawn(enrolled)
    file = clip(followed(head, first))
    others = iter(lambda: drawn(enrolled), None)
    other = next(c for c in others if c.prompts[0].action != first.prompts[0].action)
    before = enrolled.rows("SELECT failures FROM tries WHERE subject = ''")
    result = enrolled("sign-in", file, "--challenge", other.id, "--json", exit_code=4)
    assert result.codes == ["challenge.not_followed"]
    assert enrolled.rows("SELECT failures FROM tries WHERE subject = ''") == before


def test_who_does_nothing(enrolled: Facauth, clip: Clip, head: Head) -> None:
    challenge = drawn(enrolled)
    file = clip(moving.filmed(head, [REST] * len(moving.answer(challenge))))
    result = enrolled("sign-in", file, "--challenge", challenge.id, "--json", exit_code=4)
    assert result.codes == ["challenge.not_followed"]


def test_a_photo_follows_no_prompt(enrolled: Facauth, photo: Photo) -> None:
    challenge = drawn(enrolled)
    result = enrolled(
        "sign-in", photo(OTHER_DAY), "--challenge", challenge.id, "--json", exit_code=4
    )
    assert result.codes == ["challenge.not_followed"]
    assert result.json["reasons"][0]["message"] == "a photo cannot answer a challenge"


Imitation = Callable[[Head, Sequence[Movement]], list[Pixels]]
IMITATIONS: dict[str, Imitation] = {
    "a still moved about": lambda head, asked: moving.moved_about(head.pixels, asked),
    "a print that is bent": lambda head, asked: moving.bent(head.pixels, head.face, asked),
}


@pytest.mark.parametrize("kind", IMITATIONS)
def test_a_picture_that_is_moved_as_asked(
    enrolled: Facauth, clip: Clip, head: Head, kind: str
) -> None:
    """Even if every frame were taken for live."""
    enrolled.bind(liveness=lambda *_: _live())
    for _ in range(3):
        challenge = drawn(enrolled)
        file = clip(IMITATIONS[kind](head, moving.answer(challenge)))
        result = enrolled("sign-in", file, "--challenge", challenge.id, "--json", exit_code=4)
        assert set(result.codes) <= {
            "challenge.not_followed",
            "clip.too_short",
            "clip.face_changes",
        }


def test_a_challenge_is_for_its_name(enrolled: Facauth, clip: Clip, head: Head) -> None:
    for drawn_for, used_for in (((), ("--as", "Barack")), (("--as", "Joe"), ("--as", "Barack"))):
        challenge = drawn(enrolled, *drawn_for)
        file = clip(followed(head, challenge))
        options = (*used_for, "--challenge", challenge.id, "--json")
        assert enrolled("sign-in", file, *options, exit_code=4).codes == ["challenge.expired"]
    challenge = drawn(enrolled, "--as", "barack")
    file = clip(followed(head, challenge))
    assert enrolled("sign-in", file, "--as", "BARACK", "--challenge", challenge.id).stdout


def test_a_challenge_for_an_unknown_name_tells_nothing(enrolled: Facauth) -> None:
    assert drawn(enrolled, "--as", "Nobody").prompts


def test_nobody_draws_until_the_prompts_fit(enrolled: Facauth, photo: Photo) -> None:
    """Each challenge counts until it is used, for the name that it was drawn for."""
    for _ in range(10):
        enrolled("challenge", "--as", "Barack")
    refused = enrolled("challenge", "--as", "barack", "--json", exit_code=5)
    assert (refused.codes, refused.json["challenge"]) == (["limit.delay"], None)
    enrolled("sign-in", photo(OTHER_DAY), "--as", "Barack", exit_code=5)
    enrolled("challenge")
    enrolled("challenge", "--as", "Joe")
    assert enrolled("unlock", "Barack").stdout == "unlocked Barack (10 failures forgotten)\n"


def test_a_challenge_that_is_used_does_not_count(
    enrolled: Facauth, photo: Photo, clip: Clip, head: Head
) -> None:
    def failures() -> list[tuple[int]]:
        return enrolled.rows("SELECT failures FROM tries WHERE subject = ''")

    enrolled("challenge")
    challenge = drawn_first(enrolled)
    assert failures() == [(2,)]
    refused = enrolled("sign-in", photo(OTHER_DAY), "--challenge", challenge, "--json", exit_code=4)
    assert refused.codes == ["challenge.not_followed"]
    assert failures() == [(2,)]  # the sign-in in the place of the challenge, and the other one
    enrolled("sign-in", photo(OTHER_DAY))
    assert failures() == [(0,)]
    kept = [drawn_first(enrolled) for _ in range(2)]
    enrolled("sign-in", photo(OTHER_DAY))  # a success forgets the challenges, too
    for each in kept:
        enrolled("sign-in", photo(OTHER_DAY), "--challenge", each, exit_code=4)
    assert failures() == [(2,)]


def drawn_first(facauth: Facauth) -> str:
    """The id of a new challenge."""
    return str(facauth("challenge").stdout.splitlines()[0])


@pytest.mark.parametrize("later_s", [121.0, -3600.0])
def test_a_challenge_runs_out(enrolled: Facauth, clip: Clip, head: Head, later_s: float) -> None:
    """By either clock."""
    challenge = drawn(enrolled)
    file = clip(followed(head, challenge))
    now = Clock()
    token = binding.set(Clock(lambda: now.world_s() + later_s, now.boot_s))
    try:
        result = enrolled("sign-in", file, "--challenge", challenge.id, "--json", exit_code=4)
    finally:
        binding.reset(token)
    assert result.codes == ["challenge.expired"]


def test_a_store_keeps_neither_name_nor_id(enrolled: Facauth) -> None:
    challenge = drawn(enrolled, "--as", "Nobody Else")
    content = enrolled.keeping.content()
    assert challenge.id.encode() not in content
    assert b"Nobody Else" not in content
    assert b"nobody else" not in content


def test_the_camera_can_be_required(
    enrolled: Facauth, photo: Photo, clip: Clip, head: Head
) -> None:
    config = enrolled.home / "config" / "facauth" / "config.toml"
    file = clip(nodding(head, 5))
    for settings, flags in ((None, ("--policy", "camera")), ('camera = "required"\n', ())):
        if settings:
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(settings)
            config.chmod(0o600)
        for source in (photo(OTHER_DAY), file):
            result = enrolled("sign-in", source, *flags, "--json", exit_code=4)
            assert result.codes == ["challenge.missing"]
    lenient = enrolled("sign-in", file, "--policy", "lenient", "--json", exit_code=4)
    assert lenient.codes == ["challenge.missing"]
    challenge = drawn(enrolled)
    answered = clip(followed(head, challenge))
    assert enrolled("sign-in", answered, "--challenge", challenge.id).stdout == "Barack\n"
