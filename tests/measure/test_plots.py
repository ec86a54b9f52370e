"""What is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from plain import PLAIN
from portraits import encodings

from facauth.errors import ExitCode, FacauthError
from facauth.measure.folders import Presentation
from facauth.measure.plots import curves, draw, draw_match, require_extra, scores_of
from facauth.measure.recognition import evaluate
from facauth.measure.spoof import Seen
from facauth.structs import LiveVerdict

SCORES = some.lists(some.floats(0, 1) | some.just(math.nan), min_size=1, max_size=20)


def trial(species: str | None, score: float, verdict: LiveVerdict) -> tuple[Presentation, Seen]:
    photo = Presentation("x.jpg", "", species, species or "live")
    return photo, Seen(verdict, score, (), None)


@given(SCORES, some.dictionaries(some.sampled_from("abc"), SCORES, min_size=1))
def test_apcer_falls_and_bpcer_rises_with_the_threshold(
    live: list[float], attacks: dict[str, list[float]]
) -> None:
    found = curves(live, attacks)
    assert (np.diff(found.apcer_worst) <= 0).all()
    assert (np.diff(found.apcer_pooled) <= 0).all()
    assert (np.diff(found.bpcer) >= 0).all()
    assert (found.apcer_worst >= found.apcer_pooled - 1e-12).all()
    assert (found.apcer_worst[-1], found.bpcer[-1]) == (0, 1)


def test_what_could_not_be_judged_has_no_score() -> None:
    trials = [
        trial(None, 0.9, LiveVerdict.LIVE),
        trial(None, 0.4, LiveVerdict.CANNOT_JUDGE),
        trial("print", 0.1, LiveVerdict.ATTACK),
    ]
    assert scores_of(trials) == ([0.9], {"print": [0.1]})


@pytest.mark.parametrize("species", ["print", None, "attack $\\oops$ \udcff"])
def test_a_png_is_drawn_even_without_live_photos_or_attacks(
    tmp_path: Path, species: str | None
) -> None:
    trials = [trial(species, score, LiveVerdict.LIVE) for score in (0.1, 0.9, math.nan)]
    draw(trials, 0.5, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra()
    monkeypatch.setattr("facauth.measure.plots.find_spec", lambda _: None)
    with pytest.raises(FacauthError, match=r"pip install 'matplotlib>=3\.10'") as refused:
        require_extra()
    assert refused.value.exit_code == ExitCode.SETUP


@pytest.mark.parametrize("counts", [(), (1, 1), (2, 2), (4,) * 10])
def test_people_are_drawn_however_few(tmp_path: Path, counts: tuple[int, ...]) -> None:
    found = evaluate(encodings(*counts), calibration=PLAIN.calibration, at_fmr=1e-4, photos=1)
    draw_match(found.rows, 1, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"
