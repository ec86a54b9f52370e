"""The enrolled picture again, through the command line: the test that facauth was started for.

Recaptures are simulated (tests/simulator.py) but for the last tests, which need photographs that
are not part of the repository. Liveness is skipped where the replay part alone is to be seen.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Altered, Facauth, Photo, alive, tree
from edits import EDITS, Studio, Subject, subjects
from PIL import Image, ImageOps
from simulator import SAMPLES, Medium, recapture

from facauth.decision.calibration import Calibration
from facauth.decision.match import Gallery, compare
from facauth.networks import Checked, Networks
from facauth.records import PersonName
from facauth.store.change import Change
from facauth.store.clock import Clock, binding
from facauth.store.person import Person
from facauth.store.sealing import Template
from facauth.structs import Encoding, Match

FIRST, AGAIN, ANOTHER = "obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg"
SHOWN = "simulated_recapture.jpg"  # shows ANOTHER
JOE = "biden_2010.jpg"
PAD = ROOT.parent / "shared" / "data" / "pad"
WHY = "this is an enrolled photo, or was made from one"
REFUSAL = f"facauth: {WHY}; take a new photo in another place\n"
ITSELF = "facauth: this is an enrolled photo itself; sign in with another photo\n"


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack."""
    facauth.knows(Barack=photo(ANOTHER))
    return facauth


@pytest.fixture
def scanned(facauth: Facauth, photo: Photo) -> Facauth:
    """The same without a look at liveness."""
    facauth("register", "Barack", photo(ANOTHER), "--accept-spoof")
    return facauth


# --- the customer's test -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("medium", ["screen", "print"])
def test_a_photo_of_the_registered_photo_does_not_sign_in(
    enrolled: Facauth, altered: Altered, medium: Medium, seed: int
) -> None:
    def photographed(image: Image.Image) -> Image.Image:
        return Image.fromarray(recapture(np.asarray(image), medium=medium, seed=seed))

    attack = altered(ANOTHER, photographed)
    unsure = medium == "print"  # the networks are unsure of these before replay is compared
    assert enrolled("sign-in", attack, exit_code=4 if unsure else 3).stdout == ""
    lenient = ("--as", "Barack", "--policy", "lenient")
    assert enrolled("sign-in", attack, *lenient, exit_code=3).stdout == ""
    enrolled.bind(liveness=alive)
    alone = enrolled("sign-in", attack, exit_code=3)
    assert alone.stdout == ""
    assert alone.stderr.endswith((REFUSAL, ITSELF))
    assert enrolled.events()[-1] == ("sign-in", "attack", "replay.enrolled_picture")


def saved_again(quality: int) -> Callable[[Image.Image], Image.Image]:
    def saved(image: Image.Image) -> Image.Image:
        import io

        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return saved


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-saved": saved_again(40),
    "mirrored": ImageOps.mirror,
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "cropped": lambda image: image.crop((40, 20, image.width - 30, image.height - 90)),
    "on its side": lambda image: image.rotate(90, expand=True),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_the_registered_file_does_not_sign_in(
    enrolled: Facauth, altered: Altered, copy: str
) -> None:
    probe = altered(ANOTHER, COPIES[copy])
    result = enrolled("sign-in", probe, exit_code=3)
    assert result.stdout == ""
    assert result.stderr.endswith((REFUSAL, ITSELF))
    answer = enrolled("sign-in", probe, "--json", exit_code=3).json
    assert answer["liveness"]["verdict"] == "live"  # as live as the person: only the replay tells
    assert answer["replay"]["verdict"] == "enrolled_picture"
    assert answer["replay"]["mirrored"] is (copy == "mirrored")
    assert answer["person"] is None


# --- edits ---------------------------------------------------------------------------------------


@cache
def cast() -> tuple[Subject, Subject]:
    """Whose photo is edited, and who lends a body to a face swap."""
    detector = Networks(Checked(None)).detector
    subject, lender = subjects([SAMPLES / ANOTHER, SAMPLES / "hopper_1984.jpg"], detector)
    return subject, lender


def edited(facauth: Facauth, edit: str) -> str:
    """The path of an edit of ANOTHER."""
    path = facauth.here / f"{edit}.png"
    Image.fromarray(Studio([], cast()).edited(cast()[0], edit)).save(path)
    return str(path)


QUICK = ("warp_0.5", "warp_3", "moved", "turned", "glasses", "mirrored_warp", "swap_seamless")


@pytest.mark.parametrize(
    "edit", [*QUICK, *(pytest.param(e, marks=pytest.mark.slow) for e in EDITS if e not in QUICK)]
)
def test_no_edit_of_the_registered_photo_signs_in(scanned: Facauth, edit: str) -> None:
    probe = edited(scanned, edit)
    scanned.bind(liveness=alive)
    before = scanned.enrolled()
    found = scanned("spoof-check", probe, "--against", "Barack", "--json", exit_code=3).json
    assert found["replay"]["verdict"] == "enrolled_picture"
    assert "replay.enrolled_picture" in [each["code"] for each in found["reasons"]]
    assert refusal(scanned, probe, "--as", "Barack")
    assert scanned.enrolled() == before


def test_an_edit_is_told_what_to_do(scanned: Facauth) -> None:
    scanned.bind(liveness=alive)
    result = scanned("sign-in", edited(scanned, "warp_2"), exit_code=3)
    assert (result.stdout, result.stderr.endswith((REFUSAL, ITSELF))) == ("", True)


@pytest.mark.sqlite("a seal is broken before anything is looked at")
def test_a_signature_of_facauth_0_1_is_compared_as_far_as_it_can_be(
    scanned: Facauth, photo: Photo
) -> None:
    """It has no aligned face at its end, and another magic."""
    older = "cast(x'66435331' || substr(signature, 5, length(signature) - 16388) AS BLOB)"
    scanned.change(f"UPDATE templates SET signature = {older}")
    note = (
        "facauth: the replay signature of 1 photo of Barack is of an older version, "
        "which detects edited copies less reliably; register again with --replace\n"
    )
    scanned.bind(liveness=alive)
    scanned("sign-in", photo(ANOTHER), exit_code=3)
    result = scanned("sign-in", photo(FIRST))
    assert (result.stdout, note in result.stderr) == ("Barack\n", True)
    checked = scanned("spoof-check", photo(ANOTHER), "--against", "Barack", exit_code=3)
    assert checked.stderr == note
    scanned("register", "Barack", photo(ANOTHER), "--accept-spoof", "--replace")
    assert note not in scanned("sign-in", photo(FIRST)).stderr


def test_the_registered_file_itself_does_not_sign_in(enrolled: Facauth, photo: Photo) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", photo(ANOTHER), exit_code=3)
    assert (result.stdout, result.stderr) == ("", ITSELF)
    answer = enrolled("sign-in", photo(ANOTHER), "--json", exit_code=3).json
    assert answer["replay"] | {"pairs": 0, "inliers": 0, "part": ""} == {
        "verdict": "enrolled_picture",
        "compared": 1,
        "part": "",
        "pairs": 0,
        "inliers": 0,
        "displacement": pytest.approx(0, abs=1e-3),
        "correlation": pytest.approx(1, abs=1e-2),
        "mirrored": False,
    }
    assert answer["replay"]["inliers"] > 50
    assert enrolled.enrolled() == before


@pytest.mark.slow
def test_another_photo_of_the_same_person_still_signs_in(enrolled: Facauth, photo: Photo) -> None:
    for name in (FIRST, AGAIN):
        for more in ([], ["--policy", "strict"], ["--as", "Barack"]):
            answer = enrolled("sign-in", photo(name), *more, "--json").json
            assert (answer["person"], answer["replay"]["verdict"]) == ("Barack", "new")


def test_every_enrolled_photo_is_looked_for(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Barack", photo(FIRST))
    for name in (FIRST, ANOTHER):
        replay = enrolled("sign-in", photo(name), "--json", exit_code=3).json["replay"]
        assert (replay["verdict"], replay["compared"]) == ("enrolled_picture", 2)
    replay = enrolled("sign-in", photo(AGAIN), "--json").json["replay"]
    assert (replay["verdict"], replay["compared"]) == ("new", 2)


def test_photos_of_others_are_not_looked_for(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Joe", photo(JOE))
    assert enrolled("sign-in", photo(AGAIN), "--json").json["replay"]["compared"] == 1


# --- signatures ----------------------------------------------------------------------------------


def test_without_a_signature_a_replay_is_not_found_and_that_is_said(
    facauth: Facauth, photo: Photo
) -> None:
    facauth("register", "Barack", photo(ANOTHER), "--no-signature")
    assert facauth.rows("SELECT signature FROM templates") == [(None,)]
    result = facauth("sign-in", photo(ANOTHER))
    assert result.stdout == "Barack\n"
    assert result.stderr == (
        "facauth: no replay signature of Barack is stored; "
        "reuse of such a photo cannot be detected\n"
        "facauth: matched at a false match rate of 1 in 1,000\n"
    )
    assert facauth("sign-in", photo(AGAIN), "--json").json["replay"]["verdict"] == "not_compared"
    assert facauth("list", "--json").json["people"][0]["without_signature"] == 1
    facauth("sign-in", photo(SHOWN), exit_code=3)  # liveness has its say all the same


def test_a_photo_without_a_signature_among_others_is_told_of(
    scanned: Facauth, photo: Photo
) -> None:
    scanned("register", "Barack", photo(FIRST), "--accept-spoof", "--no-signature")
    note = (
        "facauth: no replay signature of 1 photo of Barack is stored; "
        "reuse of such a photo cannot be detected\n"
    )
    scanned.bind(liveness=alive)
    assert note in scanned("sign-in", photo(FIRST)).stderr
    result = scanned("spoof-check", photo(FIRST), "--against", "Barack")
    assert (result.stdout, result.stderr) == (f"{photo(FIRST)}: live\n", note)


@pytest.mark.parametrize("signature", [b"", b"fCS0", b"fCS1" + b"x" * 90, b"x" * 70_000])
@pytest.mark.sqlite("a seal is broken before anything is looked at")
def test_a_signature_that_cannot_be_read_lets_nobody_in(
    scanned: Facauth, photo: Photo, signature: bytes
) -> None:
    scanned.change(f"UPDATE templates SET signature = x'{signature.hex()}'")
    before = scanned.events()
    for command in (
        ("sign-in", photo(FIRST)),
        ("register", "Barack", photo(FIRST), "--accept-spoof"),
        ("spoof-check", photo(FIRST), "--against", "Barack"),
    ):
        result = scanned(*command, exit_code=7)
        assert result.stdout == ""
        assert result.stderr.endswith(
            "the store holds a capture signature that cannot be read; "
            "register this person again with --replace\n"
        )
    assert scanned.events() == before
    scanned("register", "Barack", photo(FIRST), "--accept-spoof", "--replace")


def removed(person: Person, change: Change) -> None:
    person.remove(change)


def renamed(person: Person, change: Change) -> None:
    person.rename(change, PersonName.parse("Somebody"))


def replaced(person: Person, change: Change) -> None:
    person.delete_templates(change)
    person.add(change, "test/1", [Template(b"", None, accepted_spoof=True)])


@pytest.mark.parametrize("changed", [removed, renamed, replaced])
def test_whose_photos_change_during_a_sign_in_is_compared_with_those_that_matched(
    scanned: Facauth, photo: Photo, changed: Callable[[Person, Change], None]
) -> None:
    def slow(probe: Encoding, gallery: Gallery, fmr: float, calibration: Calibration) -> Match:
        with scanned.opened() as store, store.transaction() as change:
            changed(store.person("Barack"), change)
            change.erasing = False  # the sign-in reads: the log cannot be emptied now
        return compare(probe, gallery, fmr, calibration)

    scanned.bind(compare=slow, liveness=alive)
    result = scanned("sign-in", photo(ANOTHER), exit_code=3)
    assert result.stderr.endswith(ITSELF)


# --- the same picture twice ----------------------------------------------------------------------


def test_a_copy_of_an_enrolled_photo_adds_nothing(
    enrolled: Facauth, photo: Photo, altered: Altered
) -> None:
    before = enrolled.enrolled()
    copy = altered(ANOTHER, ImageOps.mirror)
    for images in ([photo(ANOTHER)], [copy], [photo(FIRST), copy]):
        result = enrolled("register", "barack", *images, exit_code=6)
        assert result.stdout == ""
        assert result.stderr == (
            f"facauth: photo {len(images)} shows the same picture as an earlier photo; "
            "give another photo: a copy adds nothing\n"
        )
    assert enrolled.events()[-1] == ("register", "conflict", "enrolment.same_picture")
    assert enrolled.enrolled() == before


def test_one_picture_cannot_be_enrolled_twice_at_once(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(FIRST), photo(AGAIN), photo(FIRST), exit_code=6)
    facauth("register", "Barack", photo(FIRST), photo(FIRST), "--no-signature", exit_code=6)
    assert facauth.names() == {}


def test_a_photo_can_replace_itself(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Barack", photo(ANOTHER), "--replace")
    enrolled("sign-in", photo(ANOTHER), exit_code=3)


# --- spoof-check --against -----------------------------------------------------------------------


def test_a_spoof_check_against_somebody_finds_the_replay(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("spoof-check", photo(ANOTHER), "--against", "BARACK", exit_code=3)
    assert (result.stdout, result.stderr) == (
        f"{photo(ANOTHER)}: attack (this is an enrolled photo itself)\n",
        "",
    )
    answer = enrolled(
        "spoof-check", photo(SHOWN), photo(AGAIN), "--against", "Barack", "--json", exit_code=3
    ).json
    found = [(each["verdict"], each["replay"]["verdict"]) for each in answer["results"]]
    assert found == [("attack", "enrolled_picture"), ("live", "new")]
    assert answer["replay"] == answer["results"][0]["replay"]
    assert enrolled("spoof-check", photo(ANOTHER)).stdout == f"{photo(ANOTHER)}: live\n"


def test_a_spoof_check_does_not_ask_whose_face_it_is(enrolled: Facauth, photo: Photo) -> None:
    answer = enrolled("spoof-check", photo(JOE), "--against", "Barack", "--json").json
    assert (answer["replay"]["verdict"], answer["match"]) == ("new", None)


def test_a_spoof_check_against_nobody_fails(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("spoof-check", photo(FIRST), "--against", "Ada", exit_code=6)
    assert result.stderr == "facauth: nobody is enrolled as Ada; see facauth list\n"


def test_a_spoof_check_says_when_there_is_nothing_to_compare_with(
    facauth: Facauth, photo: Photo
) -> None:
    facauth("register", "Barack", photo(FIRST), "--no-signature")
    result = facauth("spoof-check", photo(FIRST), "--against", "Barack")
    assert "no replay signature of Barack is stored" in result.stderr


def test_a_spoof_check_writes_nothing(enrolled: Facauth, photo: Photo) -> None:
    before = enrolled.keeping.everything()
    enrolled("spoof-check", photo(ANOTHER), "--against", "Barack", exit_code=3)
    assert enrolled.keeping.everything() == before
    assert tree(enrolled.here) == {}


# --- --explain -----------------------------------------------------------------------------------


def explained(path: Path) -> tuple[int, int]:
    """Its size, once it is sure that nobody else can read it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return image.size


@pytest.mark.parametrize("command", ["sign-in", "spoof-check"])
def test_a_comparison_can_be_looked_at(enrolled: Facauth, photo: Photo, command: str) -> None:
    out = enrolled.here / "why.png"
    out.write_text("an older one")
    out.chmod(0o644)
    more = [] if command == "sign-in" else ["--against", "Barack"]
    enrolled.bind(liveness=alive)
    result = enrolled(command, photo(SHOWN), *more, "--explain", "why.png", exit_code=3)
    (said,) = [line for line in result.stderr.splitlines() if "one plane" in line]
    assert said.endswith("% of the diagonal; see why.png")
    assert int(said.split()[1]) >= 20
    assert min(explained(out)) > 100


def test_an_accepted_photo_can_be_explained_too(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(AGAIN), "--explain", "why.png")
    assert result.stdout == "Barack\n"
    assert "see why.png" in result.stderr
    explained(enrolled.here / "why.png")


def test_where_nothing_was_compared_nothing_is_drawn(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(FIRST), "--no-signature")
    for name, exit_code in ((AGAIN, 0), (SHOWN, 3), ("no_face.png", 4)):
        result = facauth("sign-in", photo(name), "--explain", "why.png", exit_code=exit_code)
        note = "nothing was compared with an enrolled photo; why.png was not written"
        assert note in result.stderr
    assert tree(facauth.here) == {}


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (".", "its name does not end in .png"),
        ("/dev/null", "its name does not end in .png"),
        ("store.sqlite3", "its name does not end in .png"),
        ("link.png", "it is not a regular file"),
        ("absent/why.png", "its folder cannot be written"),
        (f"{'x' * 300}/why.png", "its folder cannot be written"),
        ("photo.png", "it is one of the photos"),
        ("same.png", "it is one of the photos"),
    ],
)
@pytest.mark.parametrize("command", ["sign-in", "spoof-check", "evaluate"])
def test_only_a_png_that_is_no_photo_is_written(
    scanned: Facauth, photo: Photo, out: str, why: str, command: str
) -> None:
    given = scanned.here / "live" / "photo.png"
    given.parent.mkdir()
    (scanned.here / "same.png").hardlink_to(shutil.copy(photo("collins.png"), given))
    (scanned.here / "photo.png").hardlink_to(given)
    if isinstance(scanned.store, Path):
        (scanned.here / "store.sqlite3").hardlink_to(scanned.store)
    (scanned.here / "link.png").symlink_to(scanned.here / "elsewhere.png")
    before = tree(scanned.here)
    arguments = {
        "sign-in": ("sign-in", "photo.png", "--explain", out),
        "spoof-check": ("spoof-check", "photo.png", "--against", "Barack", "--explain", out),
        "evaluate": ("evaluate", "spoof", ".", "--plot", out),
    }[command]
    result = scanned(*arguments, exit_code=2)
    assert result.stdout == ""
    assert result.stderr.endswith(
        f"facauth: {out} cannot be written: {why}; name another .png file\n"
    )
    assert tree(scanned.here) == before


@pytest.mark.parametrize("arguments", [(FIRST,), (FIRST, AGAIN, "--against", "Barack")])
def test_a_spoof_check_explains_one_comparison(
    enrolled: Facauth, photo: Photo, arguments: tuple[str, ...]
) -> None:
    given = [photo(each) if each.endswith(".jpg") else each for each in arguments]
    result = enrolled("spoof-check", *given, "--explain", "why.png", exit_code=2)
    assert result.stderr == (
        "facauth: --explain draws one comparison; give one image and --against NAME\n"
    )


# --- real recaptures -----------------------------------------------------------------------------


def real(folder: str) -> list[str]:
    """Every fourth photo of a folder, so that the tests stay quick."""
    photos = sorted(map(str, (PAD / folder).rglob("*.*")))
    if not photos:
        pytest.skip(f"{folder} is not here")
    return photos[::4]


def refusal(facauth: Facauth, image: str, *more: str) -> str | None:
    """Why the image does not sign in at a first try; None if it does."""
    facauth.change("DELETE FROM tries")
    code = facauth.code_of("sign-in", image, "--quiet", *more)
    *_, why = facauth.events()[-1]
    assert bool(code) is bool(why)
    return str(why) if why else None


@pytest.mark.slow
def test_real_photos_of_a_phone_do_not_sign_in(facauth: Facauth) -> None:
    """One of them is enrolled as a scan; the others show the same photo of the person, or another.

    With a look at liveness none passes; without it those of the enrolled one are found as well.
    """
    scan, *others = real("phone_full_bleed_c/attack_screen")
    facauth("register", "Ada", scan, "--accept-spoof")
    assert None not in [refusal(facauth, other) for other in others]
    facauth.bind(liveness=alive)
    found = [refusal(facauth, other) for other in others]
    assert found.count("replay.enrolled_picture") >= len(found) / 2


def test_no_real_photo_of_a_monitor_signs_in(facauth: Facauth) -> None:
    facauth("register", "Ada", real("monitor_replay_a/live")[1], "--accept-spoof")
    attacks = real("monitor_replay_a/attack_screen")
    assert None not in [refusal(facauth, attack) for attack in attacks]


# --- the first hour -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "copied", "failures"), [(0.5, False, 1), (1.5, False, 2), (0.5, True, 2)]
)
def test_who_tries_it_with_the_enrolled_photo_is_no_thief_yet(
    facauth: Facauth, photo: Photo, altered: Altered, hours: float, copied: bool, failures: int
) -> None:
    facauth("register", "Barack", photo(ANOTHER))
    given = altered(ANOTHER, lambda image: image.resize((400, 500))) if copied else photo(ANOTHER)
    now = Clock()
    token = binding.set(Clock(lambda: now.world_s() + hours * 3600, now.boot_s))
    try:
        facauth("sign-in", given, "--as", "Barack", exit_code=3)
    finally:
        binding.reset(token)
    assert facauth.rows("SELECT failures FROM tries WHERE subject <> ''") == [(failures,)]
