"""A local calibration keeps the rates of the people it was made of, or is stricter."""

from __future__ import annotations

import json
import math
import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plain import PLAIN

from facauth.decision.calibration import Calibration, InForce, fault_of
from facauth.errors import UsageProblem
from facauth.measure import local as calibrating
from facauth.measure.calibrating import FMRS, PHOTOS
from facauth.measure.comparisons import impostor_comparisons, single_photos
from facauth.measure.local import (
    MIN_PEOPLE,
    Local,
    as_document,
    fair_share,
    keep,
    local_map,
    require_target,
)
from facauth.measure.matching import Ints, Resample

ORDINARY, ALIKE = 0.652, 0.68  # mean similarity of strangers; the shipped map's are about .65
WHEN = "2026-11-23T12:00:00+00:00"
Matrix = NDArray[np.float32]
GROUPED = 120


@pytest.fixture(autouse=True)
def _plain_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that made-up encodings can be judged by the one that they are moved from."""
    monkeypatch.setattr("facauth.decision.calibration.shipped", lambda: PLAIN)


def crowd(
    people: int, photos: int = 1, mean: float = ORDINARY, seed: int = 1
) -> tuple[Matrix, Ints]:
    """Encodings of people whose similarities to each other are nearly normal, as those of LFW."""
    random = np.random.default_rng(seed)
    person = np.arange(people).repeat(photos)
    own = random.normal(size=(people, 100))[person] + 0.3 * random.normal(size=(len(person), 100))
    vectors = np.zeros((len(person), 256), np.float32)
    vectors[:, 0] = math.sqrt(mean)
    vectors[:, 1:101] = math.sqrt(1 - mean) * own / np.linalg.norm(own, axis=1, keepdims=True)
    return vectors, person


@cache
def made(people: int, photos: int = 1, mean: float = ORDINARY) -> Local:
    """With everybody in one group, so that it may be looser than the shipped one, too."""
    vectors, person = crowd(people, photos, mean)
    return local_map(vectors, person, PLAIN, ["all"] * len(person))


@cache
def two_groups() -> Local:
    """Made of people who are ordinary, and of as many who are alike."""
    (ordinary, person), (alike, others) = crowd(GROUPED), crowd(GROUPED, mean=ALIKE, seed=3)
    names = ["ordinary"] * len(person) + ["alike"] * len(others)
    vectors = np.concatenate([ordinary, alike])
    return local_map(vectors, np.concatenate([person, others + GROUPED]), PLAIN, names)


def rates(local: Local, mean: float) -> NDArray[Any]:
    """(2, rates): of 600 other people of the kind, at 1e-1, 1e-2 and 1e-3: local and shipped."""
    limits = [local.rows[0].similarity, np.array(PLAIN.calibration.similarities[0])]
    tail = impostor_comparisons(single_photos(*crowd(600, mean=mean, seed=2)), 0.65)
    return np.stack([Resample(tail).fmrs_at(each[[0, 2, 4]]) for each in limits])


def test_the_strictest_group_decides() -> None:
    local, alike = two_groups(), local_map(*crowd(GROUPED, mean=ALIKE, seed=3), PLAIN)
    assert local.groups == {"alike": GROUPED, "everybody": 2 * GROUPED, "ordinary": GROUPED}
    assert local.people == 2 * GROUPED
    first = local.rows[0]
    assert set(first.groups) == {"alike"}
    assert first.similarity == pytest.approx(alike.rows[0].similarity, abs=0.004)
    pooled = local_map(
        np.concatenate([crowd(GROUPED)[0], crowd(GROUPED, mean=ALIKE, seed=3)[0]]),
        np.arange(2 * GROUPED),
        PLAIN,
    )
    assert (first.similarity > pooled.rows[0].similarity).all()
    kept = rates(local, ALIKE)[0] / FMRS[[0, 2, 4]]
    assert (kept < 1.1).all()
    document = as_document(local, PLAIN, WHEN)
    assert document["local_groups"] == local.groups
    assert fault_of(InForce(Calibration.of(document), document)) is None


def test_without_groups_no_similarity_is_below_the_shipped_one() -> None:
    """For a rate of all together hides the worst group."""
    base = np.array(PLAIN.calibration.similarities)
    loose, kept = made(300, mean=0.63), local_map(*crowd(300, mean=0.63), PLAIN)
    assert (np.stack([row.similarity for row in loose.rows]) < base).any()
    assert (np.stack([row.similarity for row in kept.rows]) >= base).all()


def test_a_small_group_is_told_and_everybody_counts_for_it() -> None:
    vectors, person = crowd(60)
    names = ["few" if each < MIN_PEOPLE - 1 else None for each in person.tolist()]
    local = local_map(vectors, person, PLAIN, names)
    assert local.few == {"few": MIN_PEOPLE - 1}
    assert local.groups == {"everybody": 60}


@pytest.mark.parametrize("people", [MIN_PEOPLE, 60, 300])
def test_it_keeps_the_rates_of_people_who_are_alike(people: int) -> None:
    local, ours = rates(made(people, mean=ALIKE), ALIKE) / FMRS[[0, 2, 4]]
    assert (ours > 2).all()  # that is what it is for
    assert (local < 1.1).all()


def test_of_more_people_it_is_less_strict() -> None:
    kept = [rates(made(people, mean=ALIKE), ALIKE)[0, 0] for people in (MIN_PEOPLE, 60, 300)]
    assert kept == sorted(kept)
    assert kept[-1] > 0.07


def test_people_who_are_less_alike_are_asked_for_less_once_they_are_many() -> None:
    local = made(300, mean=0.63)
    assert (local.rows[0].similarity < PLAIN.calibration.similarities[0]).all()
    assert (rates(local, 0.63)[0] <= FMRS[[0, 2, 4]]).all()


def test_lower_rates_and_more_photos_never_ask_for_less() -> None:
    for local in (made(MIN_PEOPLE), made(30, 6, ALIKE), made(300)):
        similarity = np.stack([row.similarity for row in local.rows])
        assert (np.diff(similarity, axis=1) >= 0).all()
        assert (np.diff(similarity, axis=0) >= 0).all()


def test_what_is_measured_and_what_it_rests_on() -> None:
    (single, *_) = made(300).rows
    assert single.people == 300
    assert single.shown == pytest.approx(FMRS[FMRS >= 100 / (300 * 299 / 2)].min(), rel=0.01)
    assert all(n >= 40 for n in single.pairs[single.shown <= FMRS])  # at the stricter end
    for row in made(300).rows:
        assert (row.interval[0] <= row.similarity).all()
        low, high = row.fmr_interval
        assert (low <= high).all()
        assert (high[row.shown <= FMRS] <= FMRS[row.shown <= FMRS] * 1.001).all()


def test_of_fewer_people_the_intervals_are_wider() -> None:
    widths = []
    for people in (MIN_PEOPLE, 60, 300):
        low, high = made(people).rows[0].fmr_interval
        widths.append((high / low)[6])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10


def test_a_number_of_photos_that_too_few_have_moves_as_the_next_lower_one() -> None:
    local = made(60, 2)
    base = PLAIN.calibration.similarities
    moves = [row.similarity - of for row, of in zip(local.rows, base, strict=True)]
    assert [row.people for row in local.rows] == [60, 60, 0, 0, 0]
    assert [row.photos for row in local.rows] == [*PHOTOS, None]
    assert all((np.equal(row.shown, np.inf) == (row.people == 0)).all() for row in local.rows)
    for move in moves[2:]:
        assert move == pytest.approx(moves[1], abs=1e-3)
    assert moves[1] != pytest.approx(moves[0])


def test_the_same_photos_give_the_same_map() -> None:
    vectors, person = crowd(60)
    again = local_map(vectors, person, PLAIN, ["all"] * 60)
    assert as_document(again, PLAIN, WHEN) == as_document(made(60), PLAIN, WHEN)


@pytest.mark.parametrize("people", [0, 1, MIN_PEOPLE - 1])
def test_too_few_people_are_refused_and_it_says_how_many_are_missing(people: int) -> None:
    with pytest.raises(UsageProblem) as refused:
        local_map(*crowd(people), PLAIN)
    (reason,) = refused.value.reasons
    assert reason.code == "calibrate.too_few"
    assert f"add {MIN_PEOPLE - people} more people" in reason.advice


def test_one_person_under_two_names_is_found_and_makes_it_no_looser() -> None:
    vectors, person = crowd(60, 3)
    person = person.copy()
    person[person == 7] = np.array([7, 60, 60])  # two of the photos under another name
    local = local_map(vectors, person, PLAIN)
    assert list(local.suspects) == [(7, 60)]
    assert made(60, 3).suspects == {}
    assert local.rows[0].similarity[0] >= made(60, 3).rows[0].similarity[0] - 1e-3


def test_a_share_of_too_many_photos_is_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "MAX_PHOTOS", 10)
    person = np.array([0] * 20 + [1] + [2] * 20 + [3] * 2)
    chosen = fair_share(person)
    assert np.bincount(person[chosen]).tolist() in ([4, 1, 3, 2], [3, 1, 4, 2])
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert fair_share(np.array([0, 1, 0])).tolist() == [0, 1, 2]
    monkeypatch.setattr(calibrating, "MAX_PHOTOS", 2)
    assert sorted(person[fair_share(person)].tolist()) == [0, 1, 2, 3]  # nobody is left out


# --- the file ---


def test_what_is_written_is_trusted_when_it_is_read() -> None:
    for local in (made(MIN_PEOPLE), made(30, 6, ALIKE), made(300)):
        document = json.loads(json.dumps(as_document(local, PLAIN, WHEN)))
        assert fault_of(InForce(Calibration.of(document), document)) is None
        assert document["contract"] == PLAIN.document["contract"]


def test_it_holds_numbers_of_the_whole_and_nothing_of_anybody() -> None:
    small, large = (as_document(made(people), PLAIN, WHEN) for people in (MIN_PEOPLE, 300))
    assert small.keys() == large.keys()
    assert len(small["rows"]) == len(large["rows"]) == 5
    texts = {name: value for name, value in large.items() if isinstance(value, str)}
    assert texts == {name: small[name] for name in texts}
    assert large["people"] == 300


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "facauth" / "calibration.json"
    before = os.umask(0o000)
    try:
        keep({"a": 1}, target)
        keep({"a": 2}, target)
    finally:
        os.umask(before)
    assert json.loads(target.read_text()) == {"a": 2}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_cannot_be_replaced_is_left_with_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "calibration.json"
    target.mkdir()
    with pytest.raises(UsageProblem) as refused:
        keep({}, target)
    assert refused.value.reasons[0].code == "calibrate.unfit_target"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(ValueError, match="JSON"):
        keep({"rate": math.nan}, tmp_path / "other.json")
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_is_made_only_where_there_is_none(tmp_path: Path) -> None:
    require_target(tmp_path / "new.json")
    (tmp_path / "old.json").touch()
    (tmp_path / "link.json").symlink_to("nowhere")
    for name in ("old.json", "link.json", "absent/new.json", "old.json/new.json"):
        with pytest.raises(UsageProblem):
            require_target(tmp_path / name)
