"""Live, attack, or cannot judge: three answers, and "live" only when everything says so."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.errors import Attack, Reason, UnusableImage
from facauth.settings import DEFAULT, LIVENESS, LivenessLimits, SpoofPolicy
from facauth.spoof import liveness
from facauth.spoof.liveness import conditions, context, judge, live_score, require_live, view, views
from facauth.structs import Face, Liveness, LiveVerdict, Quality, Sighting

Pixels = NDArray[np.uint8]

SQUARE = Face((40.0, 30.0, 50.0, 60.0), np.zeros((5, 2), np.float32), 0.9)
WIDTH, HEIGHT = 400, 300
VIEW = (80, 80, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class Net:
    """Stands for one network: each crop of a batch gets the same probabilities, three of each tail.

    Given only three, both tails say the same.
    """

    def __init__(self, *probabilities: float) -> None:
        self.probabilities = probabilities * (6 // len(probabilities))
        self.crops: NDArray[np.float32] = np.empty((0, 3, 80, 80), np.float32)

    def setInput(self, blob: NDArray[np.float32]) -> None:  # noqa: N802, as in OpenCV
        self.crops = blob

    def forward(self) -> NDArray[np.float32]:
        return np.tile(np.array(self.probabilities, np.float32), (len(self.crops), 1))


def networks(*near: float, far: tuple[float, ...] | None = None) -> Any:
    """Both networks; `far` only where they disagree."""
    return SimpleNamespace(live_2_7=Net(*near), live_4_0=Net(*(near if far is None else far)))


def sighting() -> Sighting:
    return Sighting(NOISE, (SQUARE,), 0)


def good() -> Quality:
    """Passes every condition by far, whichever there are."""
    values: dict[str, Any] = {field.name: 0.0 for field in fields(Quality)}
    for name in LIVENESS._fields:
        measure = measure_of(name)
        if name.startswith("min_") and measure in values:
            values[measure] = getattr(LIVENESS, name) + 100.0
    return Quality(**{**values, "faces": 1})


def verdict(
    quality: Quality, score: float, patch: pytest.MonkeyPatch, policy: SpoofPolicy = DEFAULT
) -> Liveness:
    patch.setattr(liveness, "live_score", lambda *_, **__: score)
    return judge(sighting(), SQUARE, quality, policy, networks=networks(0, 1, 0))


# --- the score -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probabilities", "live"),
    [((0.02, 0.97, 0.01), True), ((0.97, 0.02, 0.01), False), ((0.01, 0.02, 0.97), False)],
)
def test_the_class_in_the_middle_is_live(probabilities: tuple[float, ...], live: bool) -> None:
    score = live_score(sighting().pixels, SQUARE, networks(*probabilities))
    assert score == pytest.approx(0.97 if live else 0.02, abs=1e-3)
    found = judge(sighting(), SQUARE, good(), DEFAULT, networks=networks(*probabilities))
    assert found.verdict is (LiveVerdict.LIVE if live else LiveVerdict.ATTACK)


def test_both_networks_have_a_say() -> None:
    live, attack = (0.0, 0.9, 0.1), (0.9, 0.1, 0.0)
    pixels = sighting().pixels
    mixed = [
        live_score(pixels, SQUARE, networks(*near, far=far))
        for near, far in ((live, attack), (attack, live))
    ]
    assert mixed == pytest.approx([0.5, 0.5], abs=1e-3)


def test_both_tails_have_a_say() -> None:
    live, attack = (0.0, 0.9, 0.1), (0.9, 0.1, 0.0)
    pixels = sighting().pixels
    mixed = [
        live_score(pixels, SQUARE, networks(*a, *b)) for a, b in ((live, attack), (attack, live))
    ]
    assert mixed == pytest.approx([0.5, 0.5], abs=1e-3)


@settings(derandomize=True, deadline=None, max_examples=50, database=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_score_is_a_probability_and_rises_with_both(a: float, b: float, more: float) -> None:
    low, high = sorted((a, more))
    scores = [live_score(NOISE, SQUARE, networks(0, p, 0, far=(0, b, 0))) for p in (low, high)]
    assert 0 <= scores[0] <= scores[1] + 1e-9 <= 1 + 1e-6


@pytest.mark.parametrize("near", [math.nan, math.inf, -math.inf, -5.0, 7.0])
@pytest.mark.parametrize("far", [math.nan, 1.0])
def test_what_is_no_probability_is_never_nonsense(near: float, far: float) -> None:
    """A number that is no probability counts as the nearest one; NaN is never live."""
    nets = networks(0, near, 0, far=(0, far, 0))
    found = judge(sighting(), SQUARE, good(), DEFAULT, networks=nets)
    if math.isnan(near) or math.isnan(far):
        assert found.verdict is not LiveVerdict.LIVE
    else:
        assert 0 <= found.live_score <= 1


def test_the_networks_see_blue_first() -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    nets = networks(0, 1, 0)
    live_score(red, SQUARE, nets)
    for net in (nets.live_2_7, nets.live_4_0):
        assert (net.crops[:, 2] == 200).all()
        assert (net.crops[:, :2] == 0).all()


# --- the verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (DEFAULT.min_live_score, LiveVerdict.LIVE),
        (math.nextafter(DEFAULT.min_live_score, 0), LiveVerdict.CANNOT_JUDGE),
        (DEFAULT.min_unsure_score, LiveVerdict.CANNOT_JUDGE),
        (math.nextafter(DEFAULT.min_unsure_score, 0), LiveVerdict.ATTACK),
        (1.0, LiveVerdict.LIVE),
        (0.0, LiveVerdict.ATTACK),
    ],
)
def test_live_at_or_above_the_limit(
    monkeypatch: pytest.MonkeyPatch, score: float, expected: LiveVerdict
) -> None:
    found = verdict(good(), score, monkeypatch)
    assert found.verdict is expected
    assert found.live_score == score
    assert found.min_live_score == DEFAULT.min_live_score
    assert found.sure is (score >= DEFAULT.sure_live_score)
    assert bool(found.reasons) is (expected is not LiveVerdict.LIVE)


def test_not_a_number_is_never_live(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(good(), math.nan, monkeypatch).verdict is not LiveVerdict.LIVE


def test_a_limit_that_is_not_a_number_lets_nobody_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    no_limit = DEFAULT._replace(min_live_score=math.nan)
    assert verdict(good(), 1.0, monkeypatch, no_limit).verdict is not LiveVerdict.LIVE
    no_limits = no_limit._replace(min_unsure_score=math.nan)
    assert verdict(good(), 1.0, monkeypatch, no_limits).verdict is LiveVerdict.ATTACK
    nowhere_sure = DEFAULT._replace(sure_live_score=math.nan)
    assert not verdict(good(), 1.0, monkeypatch, nowhere_sure).sure


CONDITIONS = list(LIVENESS._fields)


def measure_of(limit: str) -> str:
    return limit.removeprefix("min_").removeprefix("max_")


def unmet(context: float, quality: Quality, limits: LivenessLimits) -> list[Reason]:
    return [each.unmet for each in conditions(context, quality, limits) if not each.met]


def word(limit: str) -> str:
    """As in reason codes: without a unit."""
    return measure_of(limit).removesuffix("_px")


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("score", [0.0, 0.5, 1.0, math.nan])
def test_outside_of_a_condition_it_cannot_judge(
    monkeypatch: pytest.MonkeyPatch, name: str, score: float
) -> None:
    out_of_reach = math.inf if name.startswith("min_") else -math.inf
    monkeypatch.setattr(liveness, "LIVENESS", LIVENESS._replace(**{name: out_of_reach}))
    found = verdict(good(), score, monkeypatch)
    assert found.verdict is LiveVerdict.CANNOT_JUDGE
    (reason,) = found.reasons
    assert reason.code == f"liveness.{word(name)}"


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_measure_that_is_not_a_number_meets_nothing(name: str) -> None:
    measure = measure_of(name)
    seen, quality = 100.0, good()
    assert unmet(seen, quality, LIVENESS) == []
    if measure == "context":
        seen = math.nan
    else:
        quality = replace(quality, **{measure: math.nan})  # type: ignore[arg-type]
    assert [reason.code for reason in unmet(seen, quality, LIVENESS)] == [f"liveness.{word(name)}"]


def test_every_condition_has_its_own_words() -> None:
    limits = {name: math.inf if name.startswith("min_") else -math.inf for name in CONDITIONS}
    reasons = unmet(100.0, good(), LIVENESS._replace(**limits))
    assert len(reasons) == len({reason.code for reason in reasons}) == len(CONDITIONS)
    for reason in reasons:
        assert reason.message
        assert reason.advice


# --- the refusal ---------------------------------------------------------------------------------

WHY = Reason("liveness.test", "no", "try again")


def found(verdict: Any, *reasons: Reason) -> Liveness:
    return Liveness(verdict, 0.99, 0.5, 0.8, (), reasons)


def test_only_live_passes() -> None:
    require_live(found(LiveVerdict.LIVE))
    with pytest.raises(Attack) as attack:
        require_live(found(LiveVerdict.ATTACK, WHY))
    with pytest.raises(UnusableImage) as unusable:
        require_live(found(LiveVerdict.CANNOT_JUDGE, WHY))
    assert attack.value.reasons == unusable.value.reasons == (WHY,)
    assert (int(attack.value.exit_code), int(unusable.value.exit_code)) == (3, 4)


@pytest.mark.parametrize("odd", ["live", None, True, 1.0])
def test_what_only_looks_like_live_does_not_pass(odd: object) -> None:
    with pytest.raises(UnusableImage):
        require_live(found(odd, WHY))


# --- the crops -----------------------------------------------------------------------------------

coordinates = st.floats(-600, 1000)
sizes = st.floats(0.5, 3000)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    st.tuples(coordinates, coordinates, sizes, sizes),
    st.sampled_from([(400, 300), (300, 400), (1, 1), (1, 50), (50, 1), (80, 80), (999, 7)]),
    st.sampled_from([2.7, 4.0]),
)
def test_crops_stay_inside_the_frame(
    box: tuple[float, float, float, float], frame: tuple[int, int], scale: float
) -> None:
    """Every pixel says 1 to 255: a crop that left the frame would be empty, or smaller."""
    pixels = np.random.default_rng(1).integers(1, 256, (frame[1], frame[0], 3), np.uint8)
    face = Face(box, np.zeros((5, 2), np.float32), 0.9)
    crops = views(pixels, face, scale)
    assert 1 <= len(crops) <= 3
    for crop in crops:
        assert crop.shape == VIEW
        assert crop.dtype == np.uint8
        assert crop.min() >= 1
    assert context(pixels, face) > 0


def gradient(width: int, height: int) -> Pixels:
    """Red tells x, green tells y."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.dstack([x, y, np.zeros_like(x)]).round().astype(np.uint8)


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(
    st.tuples(st.floats(0, 300), st.floats(0, 200), st.floats(30, 100), st.floats(30, 100)),
    st.floats(1, 5),
)
def test_a_crop_shows_what_it_should(box: tuple[float, float, float, float], scale: float) -> None:
    """The face in its middle, or as near as the frame allows, and `scale` boxes wide."""
    x, y, w, h = box
    scale = min(scale, (WIDTH - 1) / w, (HEIGHT - 1) / h)
    crop = view(gradient(WIDTH, HEIGHT), Face(box, np.zeros((5, 2), np.float32), 0.9), scale)
    for channel, start, length, limit in ((0, x, w, WIDTH), (1, y, h, HEIGHT)):
        left = min(max(0, start + length / 2 - length * scale / 2), limit - 1 - length * scale)
        ends = [255 * left / (limit - 1), 255 * (left + length * scale) / (limit - 1)]
        seen = [float(crop[..., channel].min()), float(crop[..., channel].max())]
        assert seen == pytest.approx(ends, abs=4)


def test_a_mirrored_photo_gives_mirrored_crops() -> None:
    pixels = gradient(WIDTH, HEIGHT)
    mirrored = Face((WIDTH - 90.0, 30.0, 50.0, 60.0), SQUARE.landmarks_px, 0.9)
    for scale in (1.0, 2.7, 4.0):
        straight = view(pixels, SQUARE, scale).astype(int)
        turned = view(pixels[:, ::-1].copy(), mirrored, scale)[:, ::-1].astype(int)
        assert np.abs(straight - turned).max() <= 4


@pytest.mark.parametrize(("width", "height", "expected"), [(100, 600, 2.0), (500, 120, 2.0)])
def test_context_counts_on_the_narrower_side(width: int, height: int, expected: float) -> None:
    assert context(np.zeros((height, width, 3), np.uint8), SQUARE) == pytest.approx(expected)
