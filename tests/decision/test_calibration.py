"""From an error rate to a similarity and back: stricter never means easier."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.decision.calibration import (
    FILE,
    Calibration,
    in_force,
    shipped,
)
from facauth.defaults import local_calibration
from facauth.errors import ExitCode, SetupProblem, UsageProblem
from facauth.networks import Checked, Networks
from facauth.settings import CALIBRATION, RATES

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
ROWS: list[dict[str, Any]] = DOCUMENT["rows"]
MEASURED = [row for row in ROWS if row["photos"]]
FMRS: list[float] = [point["fmr"] for point in ROWS[0]["points"]]
MIN_FMR: float = DOCUMENT["min_fmr"]

exponents = st.floats(math.log10(MIN_FMR), 0)
rates = exponents.map(lambda exponent: min(1.0, max(MIN_FMR, 10**exponent)))
counts = st.integers(1, 50)
STEP = 1e-6  # of float32 near 0.8, and then some
quick = settings(derandomize=True, deadline=None, max_examples=300, database=None)


def min_similarity(fmr: float, photos: NDArray[np.intp]) -> NDArray[np.float32]:
    return in_force().calibration.min_similarity(fmr, photos)


def fmr_of(similarity: float, photos: int) -> float:
    return in_force().calibration.fmr_of(similarity, photos)


def threshold(fmr: float, photos: int = 1) -> float:
    return float(min_similarity(fmr, np.array([photos]))[0])


def supported(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [point for point in row["points"] if point["fmr"] >= MIN_FMR]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: str(row["photos"]))
def test_points_of_the_file_are_met(row: dict[str, Any]) -> None:
    for point in supported(row):
        assert threshold(point["fmr"], row["photos"]) == pytest.approx(
            point["similarity"], abs=STEP
        )


@quick
@given(rates, rates, counts)
def test_a_lower_rate_is_never_easier(one: float, other: float, photos: int) -> None:
    low, high = sorted((one, other))
    assert threshold(low, photos) >= threshold(high, photos)


@quick
@given(rates, counts, counts)
def test_more_photos_are_never_easier(fmr: float, one: int, other: int) -> None:
    """The mean of more photos is more like anybody, strangers included."""
    few, many = sorted((one, other))
    assert threshold(fmr, many) >= threshold(fmr, few)


@quick
@given(rates, st.lists(counts, min_size=1, max_size=20))
def test_each_person_has_the_threshold_of_their_own_photos(fmr: float, photos: list[int]) -> None:
    together = min_similarity(fmr, np.array(photos)).tolist()
    assert together == [threshold(fmr, count) for count in photos]


def test_without_a_photo_nobody_passes_and_without_people_nothing_is_said() -> None:
    assert math.isnan(threshold(1e-2, 0))
    assert min_similarity(1e-2, np.array([], np.intp)).shape == (0,)


@quick
@given(rates, counts)
def test_a_threshold_can_be_passed_and_missed(fmr: float, photos: int) -> None:
    assert 0.1 < threshold(fmr, photos) < 1


@quick
@given(st.floats(math.log10(MIN_FMR), math.log10(FMRS[0]) - 0.01), counts)
def test_there_and_back(exponent: float, photos: int) -> None:
    fmr = max(MIN_FMR, 10**exponent)
    exact = float(min_similarity(fmr, np.array([photos])).item())
    assert fmr_of(exact, photos) == pytest.approx(fmr, rel=2e-3)


@quick
@given(st.floats(-1, 1), st.floats(-1, 1), counts)
def test_more_alike_is_never_likelier_for_a_stranger(one: float, other: float, photos: int) -> None:
    low, high = sorted((one, other))
    assert MIN_FMR <= fmr_of(high, photos) <= fmr_of(low, photos) <= 1


@quick
@given(st.floats(0.1, 1), counts, counts)
def test_the_same_similarity_says_less_of_a_mean_of_more(s: float, one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert fmr_of(s, many) >= fmr_of(s, few) * (1 - 1e-9)


@quick
@given(rates, st.floats(0.1, 1), counts)
def test_both_ways_decide_alike(fmr: float, similarity: float, photos: int) -> None:
    limit = threshold(fmr, photos)
    if similarity > limit + STEP:
        assert fmr_of(similarity, photos) <= fmr * (1 + 1e-9)
    if similarity < limit - STEP and fmr <= FMRS[0]:
        assert fmr_of(similarity, photos) >= fmr * (1 - 1e-9)


def test_nothing_is_said_beyond_the_ends() -> None:
    assert fmr_of(1.0, 1) == MIN_FMR
    assert fmr_of(threshold(FMRS[0]) - 0.001, 1) == 1
    assert fmr_of(-1.0, 3) == 1
    assert fmr_of(math.nan, 1) == 1


@pytest.mark.parametrize("photos", [1, 3, 50])
def test_between_two_points_it_lies_between_them(photos: int) -> None:
    for high, low in pairwise(fmr for fmr in FMRS if fmr >= MIN_FMR):
        middle = threshold(math.sqrt(low * high), photos)
        assert threshold(high, photos) < middle < threshold(low, photos)


def test_above_what_was_measured_it_does_not_fall_further() -> None:
    for fmr in (FMRS[0] * 1.01, 0.5, 1.0):
        assert threshold(fmr) == threshold(FMRS[0])


@pytest.mark.parametrize(
    "fmr", [MIN_FMR * 0.999, 5e-324, 0.0, -1.0, -math.inf, 1.001, math.inf, math.nan]
)
def test_a_rate_that_cannot_be_promised_is_refused(fmr: float) -> None:
    with pytest.raises(UsageProblem) as refused:
        threshold(fmr)
    (reason,) = refused.value.reasons
    assert reason.code == "match.unsupported_rate"
    assert f"{MIN_FMR:.2g}" in reason.advice
    assert refused.value.exit_code is ExitCode.USAGE


def test_the_lowest_rate_is_met_in_spite_of_rounding() -> None:
    assert threshold(MIN_FMR * (1 - 1e-12)) == threshold(MIN_FMR)


def test_a_count_between_two_measured_ones_lies_between_them() -> None:
    for fmr in (1e-2, 1e-4, 1e-6):
        assert threshold(fmr, 3) <= threshold(fmr, 4) <= threshold(fmr, 5)
        assert threshold(fmr, 2) < threshold(fmr, 5)


def test_beyond_the_counts_that_were_measured_thresholds_rise_to_a_limit() -> None:
    limit = ROWS[-1]["points"]
    for fmr in (1e-2, 1e-4, 1e-6):
        (most,) = (point["similarity"] for point in limit if math.isclose(point["fmr"], fmr))
        assert threshold(fmr, 5) < threshold(fmr, 20) < threshold(fmr, 10_000)
        assert threshold(fmr, 10_000) == pytest.approx(most, abs=1e-5)


# --- the file ---


def test_it_says_what_the_settings_say() -> None:
    for name in ("name", "source", "people", "photos"):
        assert DOCUMENT[name] == getattr(CALIBRATION, name)
    point = ROWS[0]["points"][FMRS.index(RATES.verify_fmr)]
    assert point["similarity"] == CALIBRATION.min_similarity
    assert tuple(point["fmr_interval"]) == CALIBRATION.fmr_interval


def test_the_strictest_group_decides_and_each_is_told() -> None:
    groups = {each["group"] for each in DOCUMENT["groups"]}
    assert groups == {"everybody", "women", "men"}
    assert {point["group"] for row in ROWS for point in row["points"]} <= groups
    for each in DOCUMENT["groups"]:
        low, high = each["fmr_interval"]
        assert low <= each["fmr"] <= high
        assert 0 < each["matched"] < each["pairs"]
        low, high = each["fnmr_interval"]
        assert low <= each["fnmr"] <= high


@pytest.mark.parametrize("photos", [1, 3])
def test_the_rate_is_kept_in_the_worst_group_by_people_who_were_left_out(photos: int) -> None:
    kept = [
        each
        for each in DOCUMENT["groups"]
        if each["photos"] == photos and each["asked_fmr"] in (1e-3, 1e-4)
    ]
    assert len(kept) == 6
    assert all(each["fmr"] <= 1.3 * each["asked_fmr"] for each in kept)


def test_the_space_is_the_mean_of_people_and_nobody() -> None:
    space = Calibration.of(DOCUMENT).space
    lengths = np.linalg.norm(np.reshape(space.centre, (2, 128)), axis=1)
    assert (lengths < 0.95).all()  # a face has 1
    assert (lengths[0] > 0.5).all()  # what all have in common is most of dlib's half
    assert 0 < space.dlib_weight < 0.5


def test_it_was_made_for_the_networks_that_are_shipped() -> None:
    assert DOCUMENT["contract"] == Networks(Checked(None)).contract


def test_its_points_are_monotone() -> None:
    photos = [row["photos"] or math.inf for row in ROWS]
    assert photos == sorted(photos)
    assert photos[0] == 1
    assert photos[-1] == math.inf
    for row in ROWS:
        assert [point["fmr"] for point in row["points"]] == FMRS == sorted(FMRS, reverse=True)
        similarities = [point["similarity"] for point in row["points"]]
        assert all(low < high for low, high in pairwise(similarities))
    for fewer, more in pairwise(ROWS):
        both = zip(fewer["points"], more["points"], strict=True)
        assert all(few["similarity"] <= many["similarity"] for few, many in both)


def test_each_point_lies_in_its_intervals() -> None:
    for row in ROWS:
        for point in row["points"]:
            low, high = point["interval"]
            assert low < point["similarity"] < high
            low, high = point["fmr_interval"]
            assert low <= point["fmr"] <= high


def test_what_is_measured_rests_on_thirty_pairs_of_people() -> None:
    for row in MEASURED:
        bases = [point["basis"] for point in row["points"]]
        assert bases == sorted(bases, reverse=True)  # "measured" first
        assert set(bases) == {"measured", "extrapolated"}
        assert all(point["pairs"] >= 30 for point in row["points"] if point["basis"] == "measured")
    assert {point["basis"] for point in ROWS[-1]["points"]} == {"extrapolated"}


def test_the_lowest_rate_is_a_point_whose_interval_stays_within_ten_times_it() -> None:
    assert MIN_FMR in FMRS
    ends = [point["fmr_interval"][1] for row in ROWS for point in supported(row)]
    asked = [point["fmr"] for row in ROWS for point in supported(row)]
    assert all(end <= 10.5 * fmr for end, fmr in zip(ends, asked, strict=True))


def test_what_was_left_out_is_named_with_its_reason() -> None:
    assert DOCUMENT["excluded"]
    for pair in DOCUMENT["excluded"]:
        assert len(set(pair["people"])) == 2
        assert pair["people"] not in DOCUMENT["suspected_and_kept"]
        assert pair["reason"]
        assert pair["similarity"] > ROWS[0]["points"][FMRS.index(1e-6)]["similarity"]


def test_another_file_of_the_same_kind_can_be_read() -> None:
    """As one made of somebody's own photos will be."""
    points = [{"fmr": 0.1, "similarity": 0.6}, {"fmr": 0.01, "similarity": 0.7}]
    own = Calibration.of({"rows": [{"photos": 1, "points": points}], "min_fmr": 0.01})
    assert own.min_similarity(0.1, np.array([1, 9])).tolist() == pytest.approx([0.6, 0.6])
    assert own.fmr_of(0.65, 1) == pytest.approx(10**-1.5)


def test_the_rates_in_use_are_in_their_order_and_supported() -> None:
    """To be the same face is asked for least, to be a duplicate most."""
    assert MIN_FMR <= RATES.duplicate_fmr <= RATES.verify_fmr <= RATES.same_person_fmr < 1
    assert MIN_FMR < RATES.identify_fpir < 1


# --- a local one ---

MOVE = 0.02
Document = dict[str, Any]
Change = Callable[[Document], object]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a local calibration would be; there is none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = local_calibration()
    assert path is not None
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir()
    return path


def local(move: float = MOVE) -> Document:
    """One that differs from the shipped one by so much."""
    document: Document = json.loads(FILE.read_text())
    for row in document["rows"]:
        for point in row["points"]:
            point["similarity"] = round(point["similarity"] + move, 5)
    return document | {"made": "2026-11-23T12:00:00+00:00", "facauth": "0"}


def looser() -> Document:
    """One that asks for less, as the whole of its intervals does."""
    document = local(-MOVE / 4)
    for point in (point for row in document["rows"] for point in row["points"]):
        point["interval"] = [point["similarity"] - 0.01, point["similarity"]]
    return document


def write(path: Path, document: object, mode: int = 0o600) -> None:
    path.write_text(json.dumps(document))
    path.chmod(mode)


def test_a_local_one_is_in_force_from_when_it_is_there_until_it_is_deleted(place: Path) -> None:
    before = threshold(1e-4)
    write(place, local())
    assert threshold(1e-4) == pytest.approx(before + MOVE, abs=STEP)
    assert fmr_of(before + MOVE, 1) == pytest.approx(1e-4, rel=1e-2)
    assert in_force().path == place
    write(place, looser())
    assert threshold(1e-4) == pytest.approx(before - MOVE / 4, abs=STEP)
    place.unlink()
    assert threshold(1e-4) == before
    assert in_force().path is None


def test_a_user_without_a_home_has_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(*_: object, **__: object) -> Path:
        raise RuntimeError

    monkeypatch.setattr("platformdirs.user_config_path", no_home)
    assert in_force().path is None


def test_a_file_in_the_place_of_the_folder_hides_no_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "facauth").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert in_force().path is None


def at(*names: str | int, value: object) -> Change:
    """Sets one of the values in a document."""

    def change(document: Any) -> None:
        for name in names[:-1]:
            document = document[name]
        document[names[-1]] = value

    return change


def without(name: str) -> Change:
    return lambda document: document.pop(name)


POINT = "rows", 0, "points", 6
UNFIT: dict[str, Change] = {
    "nan": at(*POINT, "similarity", value=math.nan),
    "infinite": at(*POINT, "similarity", value=math.inf),
    "infinite at the end": at("rows", 4, "points", -1, "similarity", value=math.inf),
    "no number": at(*POINT, "similarity", value="0.8"),
    "true": at(*POINT, "similarity", value=True),
    "null": at(*POINT, "similarity", value=None),
    "not rising": at(*POINT, "similarity", value=0.3),
    "less with more photos": at("rows", 1, "points", 6, "similarity", value=0.465),
    "negative": at("rows", 0, "points", 0, "similarity", value=-0.5),
    "more than alike": at("rows", 4, "points", -1, "similarity", value=1.5),
    "another rate": at(*POINT, "fmr", value=2e-4),
    "rate nan": at(*POINT, "fmr", value=math.nan),
    "another number of photos": at("rows", 1, "photos", value=4),
    "a row less": lambda document: document["rows"].pop(),
    "a point less": lambda document: document["rows"][2]["points"].pop(),
    "no rows": at("rows", value=[]),
    "rows of nothing": at("rows", value=[{}]),
    "promises more": at("min_fmr", value=MIN_FMR / 2),
    "promises nan": at("min_fmr", value=math.nan),
    "promises nothing": at("min_fmr", value=1.0),
    "promises zero": at("min_fmr", value=0.0),
    "another contract": at("contract", value="dlib+sface/2/6993c5234f98"),
    "interval nan": at(*POINT, "fmr_interval", value=[math.nan, 1.0]),
    "no interval": at(*POINT, "fmr_interval", value=None),
    "interval of three": lambda document: [
        point["fmr_interval"].append(1.0) for point in document["rows"][0]["points"]
    ],
    "people": at("people", value="many"),
    "pairs": at(*POINT, "pairs", value="\x1b[31mmany"),
    "basis": at(*POINT, "basis", value="\x1b[31mmeasured"),
    "without a basis": lambda document: document["rows"][0]["points"][0].pop("basis"),
    "source": at("source", value="\x1b[31mlfw"),
    **{f"without {n}": without(n) for n in ("rows", "min_fmr", "contract", "people", "made")},
}


def refused(path: Path) -> str:
    """The message with which every use of it is refused."""
    uses = (lambda: threshold(1e-4), lambda: fmr_of(0.9, 1), in_force)
    messages = set()
    for use in uses:
        with pytest.raises(SetupProblem) as problem:
            use()
        (reason,) = problem.value.reasons
        assert reason.code == "calibration.unfit"
        assert reason.message.startswith(str(path))
        assert "calibrate anew, or delete it" in reason.advice
        messages.add(reason.message)
    (message,) = messages
    return message


@pytest.mark.parametrize("case", UNFIT)
def test_one_that_cannot_be_trusted_is_refused_and_none_taken_in_its_place(
    place: Path, case: str
) -> None:
    document = local()
    UNFIT[case](document)
    write(place, document)
    refused(place)
    write(place, local())
    assert in_force().path == place


@pytest.mark.parametrize("row", [0, 2, 4])
@pytest.mark.parametrize("end", [None, math.nan, 0.0001])
def test_one_that_is_looser_than_its_own_intervals_show_is_refused(
    place: Path, row: int, end: float | None
) -> None:
    """end: how much of the interval of one point lies above its similarity; None: as shipped."""
    document = looser()
    point = document["rows"][row]["points"][-1]
    shipped_point = DOCUMENT["rows"][row]["points"][-1]
    upper = shipped_point["interval"][1] if end is None else point["similarity"] + end
    point["interval"] = [point["similarity"] - 0.01, upper]
    write(place, document)
    assert refused(place).endswith("lets strangers pass more easily than its own intervals show")


def test_an_altered_shipped_one_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.json"
    monkeypatch.setattr("facauth.decision.calibration.FILE", copy)
    monkeypatch.setattr("facauth.decision.calibration.shipped", shipped.__wrapped__)
    copy.write_bytes(FILE.read_bytes())
    assert in_force().path is None
    for data in (FILE.read_bytes() + b" ", FILE.read_bytes().replace(b"0.41068", b"0.21068"), None):
        copy.write_bytes(data) if data is not None else copy.unlink()
        for alone in (True, False):
            write(place, local()) if not alone else place.unlink(missing_ok=True)
            with pytest.raises(SetupProblem) as problem:
                in_force()
            assert problem.value.reasons[0].code == "weights.unfit"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, "\x00", "{}"])
def test_what_is_no_calibration_is_refused(place: Path, text: str) -> None:
    place.write_text(text)
    place.chmod(0o600)
    assert refused(place).endswith("is damaged")


def test_one_for_other_networks_says_so(place: Path) -> None:
    write(place, local() | {"contract": "other/1"})
    assert refused(place).endswith("was made for other networks")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_one_that_others_can_change_is_refused(place: Path, mode: int) -> None:
    write(place, local(), mode)
    assert refused(place).endswith("can be changed by others")


def test_one_that_belongs_to_others_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, local())
    if os.geteuid() == 0:
        os.chown(place, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert refused(place).endswith("can be changed by others")


def test_one_that_is_too_large_is_refused(place: Path) -> None:
    place.write_bytes(b" " * 2**21)
    place.chmod(0o600)
    assert "cannot be read" in refused(place)


def test_a_folder_and_a_link_to_nowhere_are_refused(place: Path) -> None:
    place.mkdir(mode=0o700)
    assert "cannot be read" in refused(place)
    place.rmdir()
    place.symlink_to("nowhere")
    assert "cannot be read" in refused(place)


def test_one_that_cannot_be_looked_for_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("facauth.decision.calibration.Path.lstat", denied)
    assert refused(place).endswith("cannot be looked for (Permission denied)")
