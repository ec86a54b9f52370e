"""spoof-check: a verdict for each image, the worst as exit code, and nothing written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Altered, Facauth, Photo, tree, with_a_passer_by
from PIL import ImageFilter

from facauth.settings import DEFAULT
from facauth.spoof.liveness import ATTACK_REASON
from facauth.structs import Liveness, LiveVerdict

EILEEN, JOE, NOBODY, TWO = "collins.png", "biden_2010.jpg", "no_face.png", "two_faces.jpg"
SIMULATED = "simulated_recapture.jpg"

Judge = Callable[..., Liveness]


def saying(*verdicts: LiveVerdict) -> Judge:
    """A liveness stage that gives these verdicts, one after the other."""
    rest = iter(verdicts)

    def judge(*_: Any) -> Liveness:
        verdict = next(rest)
        reasons = () if verdict is LiveVerdict.LIVE else (ATTACK_REASON,)
        return Liveness(verdict, 0.9, 0.5, 0.8, (), reasons)

    return judge


def test_a_photo_of_a_person_is_live(facauth: Facauth, photo: Photo) -> None:
    result = facauth("spoof-check", photo(EILEEN))
    assert (result.stdout, result.stderr) == (f"{photo(EILEEN)}: live\n", "")


def test_nothing_is_written(facauth: Facauth, photo: Photo, tmp_path: Path) -> None:
    before = tree(tmp_path)
    facauth("spoof-check", photo(EILEEN), photo(NOBODY), "absent.jpg", exit_code=2)
    assert tree(tmp_path) == before


def test_a_photo_of_a_screen_is_an_attack(facauth: Facauth, photo: Photo) -> None:
    result = facauth("spoof-check", photo(SIMULATED), exit_code=3)
    assert result.stdout == (
        f"{photo(SIMULATED)}: attack (this looks like a photo of a screen or a print)\n"
    )
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("live_score", "verdict", "code"),
    [
        (DEFAULT.min_live_score, "live", 0),
        (math.nextafter(DEFAULT.min_live_score, 0), "cannot_judge", 4),
        (math.nextafter(DEFAULT.min_unsure_score, 0), "attack", 3),
        (math.nan, "attack", 3),
    ],
)
def test_the_limit_itself_is_live_and_below_it_is_not(
    facauth: Facauth,
    photo: Photo,
    monkeypatch: pytest.MonkeyPatch,
    live_score: float,
    verdict: str,
    code: int,
) -> None:
    monkeypatch.setattr("facauth.spoof.liveness.live_score", lambda *_: live_score)
    answer = facauth("spoof-check", photo(EILEEN), "--json", exit_code=code).json
    assert answer["verdict"] == verdict
    assert answer["results"][0]["liveness"]["verdict"] == verdict


def test_a_blurred_face_cannot_be_judged(facauth: Facauth, altered: Altered) -> None:
    blurred = altered(EILEEN, lambda image: image.filter(ImageFilter.GaussianBlur(3)))
    result = facauth("spoof-check", blurred, exit_code=4)
    assert result.stdout == (
        f"{blurred}: cannot judge (liveness cannot be judged: the face is blurred)\n"
    )


def test_a_face_without_surroundings_cannot_be_judged(facauth: Facauth, altered: Altered) -> None:
    cropped = altered(EILEEN, lambda image: image.crop((177, 60, 270, 180)))
    answer = facauth("spoof-check", cropped, "--json", exit_code=4).json
    assert answer["verdict"] == "cannot_judge"
    assert answer["results"][0]["liveness"]["conditions"]["context"]["value"] < 1.3
    assert answer["results"][0]["reasons"][0]["code"] == "liveness.context"


@pytest.mark.parametrize(
    ("name", "why"), [(NOBODY, "no face was found"), (TWO, "2 faces of similar size were found")]
)
def test_without_one_face_there_is_nothing_to_judge(
    facauth: Facauth, photo: Photo, name: str, why: str
) -> None:
    result = facauth("spoof-check", photo(name), exit_code=4)
    assert result.stdout == f"{photo(name)}: cannot judge ({why})\n"


def test_the_face_that_dominates_is_judged(facauth: Facauth, altered: Altered) -> None:
    """The live one, or the one on a screen: whichever is in front, and not who passes by."""
    for name, verdict, code in (("obama_2010.jpg", "live", 0), (SIMULATED, "attack", 3)):
        crowd = altered(name, with_a_passer_by)
        result = facauth("spoof-check", crowd, exit_code=code)
        assert result.stdout.startswith(f"{crowd}: {verdict}")
        assert result.stderr == "facauth: the photo shows 2 faces; only the dominant one counts\n"


def test_a_path_that_does_not_exist_is_a_usage_error(facauth: Facauth) -> None:
    result = facauth("spoof-check", "absent.jpg", exit_code=2)
    assert result.stdout == "absent.jpg: cannot judge (absent.jpg does not exist)\n"


def test_each_image_has_a_line_and_the_worst_decides(facauth: Facauth, photo: Photo) -> None:
    images = [photo(EILEEN), photo(NOBODY), "absent.jpg", photo(JOE)]
    result = facauth("spoof-check", *images, exit_code=2)
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == images
    assert [line.split(": ")[1].split(" (")[0] for line in result.stdout.splitlines()] == [
        "live",
        "cannot judge",
        "cannot judge",
        "live",
    ]


LIVE, ATTACK, DOUBT = LiveVerdict.LIVE, LiveVerdict.ATTACK, LiveVerdict.CANNOT_JUDGE


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((LIVE, LIVE), 0),
        ((LIVE, DOUBT), 4),
        ((DOUBT, LIVE), 4),
        ((ATTACK, DOUBT), 3),
        ((DOUBT, ATTACK), 3),
        ((LIVE, ATTACK), 3),
    ],
)
def test_an_attack_is_worse_than_a_doubt_in_any_order(
    facauth: Facauth, photo: Photo, verdicts: tuple[LiveVerdict, ...], code: int
) -> None:
    facauth.bind(liveness=saying(*verdicts))
    answer = facauth("spoof-check", photo(EILEEN), photo(EILEEN), "--json", exit_code=code).json
    assert [result["verdict"] for result in answer["results"]] == list(verdicts)
    assert answer["exit_code"] == code
    worst = {0: LIVE, 3: ATTACK, 4: DOUBT}[code]
    assert answer["verdict"] == worst


def test_an_attack_is_worse_than_a_path_that_does_not_exist(facauth: Facauth, photo: Photo) -> None:
    facauth.bind(liveness=saying(ATTACK, ATTACK))
    facauth("spoof-check", "absent.jpg", photo(EILEEN), exit_code=3)
    facauth("spoof-check", photo(EILEEN), "absent.jpg", exit_code=3)


def test_a_failing_stage_is_an_internal_error(facauth: Facauth, photo: Photo) -> None:
    def broken(*_: Any) -> Liveness:
        raise RuntimeError("a score, say")

    facauth.bind(liveness=broken)
    result = facauth("spoof-check", photo(EILEEN), exit_code=70)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: internal error (RuntimeError); run facauth --debug … and report it\n"
    )


def test_an_image_from_stdin_is_called_so(facauth: Facauth, photo: Photo) -> None:
    result = facauth("spoof-check", "-", stdin=Path(photo(EILEEN)).read_bytes())
    assert result.stdout == "(stdin): live\n"


def test_a_turned_photo_is_judged_upright_and_that_is_said(
    facauth: Facauth, altered: Altered
) -> None:
    turned = altered(EILEEN, lambda image: image.rotate(270, expand=True))
    result = facauth("spoof-check", turned)
    assert result.stdout == f"{turned}: live\n"
    assert result.stderr == "facauth: the photo was turned by 90 degrees to find the face\n"


def test_a_file_name_cannot_steer_the_terminal(facauth: Facauth, photo: Photo) -> None:
    odd = facauth.here / "\x1b[31mred\nlive.jpg"
    odd.write_bytes(Path(photo(NOBODY)).read_bytes())
    result = facauth("spoof-check", odd.name, exit_code=4)
    assert result.stdout == "\\x1b[31mred\\nlive.jpg: cannot judge (no face was found)\n"
