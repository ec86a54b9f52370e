"""evaluate spoof and evaluate replay: rates on folders of photos, gates, and nothing written."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SAMPLES, TERMINAL_COLUMNS, Facauth, tree
from PIL import Image
from simulator import recapture

from facauth.settings import DEFAULT, LENIENT, STRICT, SpoofPolicy
from facauth.store.store import Store

EILEEN, JOE, GRACE = "collins.png", "biden_2010.jpg", "hopper_1984.jpg"
BARACK = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
SIMULATED, NOBODY = "simulated_recapture.jpg", "no_face.png"
REAL_REPLAY = ROOT.parent / "shared" / "data" / "replay"

Laid = Callable[..., Path]


@pytest.fixture
def laid(facauth: Facauth) -> Laid:
    """A folder of sample photos, made from path=sample."""

    def lay(**photos: str) -> Path:
        folder = facauth.here / "photos"
        for name, sample in photos.items():
            path = folder / name.replace("__", "/")
            path = path.with_name(f"{path.name}{Path(sample).suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SAMPLES / sample, path)
        return folder

    return lay


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the networks say these scores, photo by photo in order of their paths."""

    def say(*scores: float) -> None:
        rest = iter(scores)
        monkeypatch.setattr("facauth.spoof.liveness.live_score", lambda *_: next(rest))

    return say


@pytest.fixture
def six(laid: Laid) -> Path:
    """Three attacks of two species, then three live photos of two persons."""
    return laid(
        attack_print__1=EILEEN,
        attack_screen__1=JOE,
        attack_screen__2=BARACK[0],
        live__Barack__1=BARACK[1],
        live__Barack__2=BARACK[2],
        live__Eileen__1=EILEEN,
    )


Say = Callable[..., None]
RATE = {"rate", "count", "of", "groups", "interval", "method"}


def spoof(facauth: Facauth, folder: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
    envelope = facauth("evaluate", "spoof", str(folder), "--json", *options, exit_code=exit_code)
    found: dict[str, Any] = envelope.json
    return found


def test_the_rates_of_six_photos(facauth: Facauth, six: Path, scores: Say) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    evaluation = spoof(facauth, six)["evaluation"]
    apcer = {row["name"]: row["apcer"] for row in evaluation["species"]}
    assert apcer["attack_screen"]["rate"] == 0.5
    assert apcer["attack_print"] == {
        "rate": 0.0,
        "count": 0,
        "of": 1,
        "groups": 1,
        "interval": [0.0, 1.0],
        "method": "rule_of_three",
    }
    assert evaluation["worst_species"] == "attack_screen"
    assert evaluation["live"]["bpcer"]["rate"] == pytest.approx(1 / 3)
    assert evaluation["live"]["bpcer"]["method"] == "bootstrap_by_group"
    persons = {row["name"]: row["bpcer"]["rate"] for row in evaluation["live_groups"]}
    assert persons == {"live/Barack": 0.5, "live/Eileen": 0.0}
    assert evaluation["errors"] == [
        {
            "image": str(six / "attack_screen/1.jpg"),
            "species": "attack_screen",
            "live_score": 0.7,
        },
        {"image": str(six / "live/Barack/2.jpg"), "species": None, "live_score": 0.06},
    ]


def test_the_keys_of_the_json_object(facauth: Facauth, six: Path, scores: Say) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    envelope = spoof(facauth, six)
    assert (envelope["command"], envelope["verdict"]) == ("evaluate spoof", "evaluated")
    evaluation = envelope["evaluation"]
    assert set(evaluation) == {
        *(
            "threshold",
            "attack_threshold",
            "worst_species",
            "species",
            "attack_groups",
            "live",
            "live_sources",
        ),
        *("live_groups", "errors", "unreadable", "intervals"),
    }
    species, live = evaluation["species"][0], evaluation["live"]
    assert set(species) == {"name", "photos", "apcer", "unsure", "apnrr", "iapar", "unjudged"}
    assert set(live) == {"name", "photos", "bpcer", "unsure", "bpnrr", "unjudged"}
    for rate in (species["apcer"], species["apnrr"], live["bpcer"], live["bpnrr"]):
        assert set(rate) == RATE
    assert species["iapar"] is None
    assert (evaluation["threshold"], evaluation["unreadable"]) == (DEFAULT.min_live_score, [])


def test_plain_text_when_piped(facauth: Facauth, six: Path, scores: Say) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    result = facauth("evaluate", "spoof", str(six))
    limits = f"live from {DEFAULT.min_live_score:g}, attack below {DEFAULT.min_unsure_score:g}"
    assert result.stdout.splitlines() == [
        "Attacks        n  judged  unsure  live  APCER            95 %  APNRR",
        "attack_print   1       1       0     0   0.0%  0.0% to 100.0%   0.0%",
        "attack_screen  2       2       0     1  50.0%   1.3% to 98.7%   0.0%",
        "worst species: attack_screen, APCER 50.0%, 1.3% to 98.7%",
        "",
        "Live             n  judged  unsure  attack  BPCER           95 %  BPNRR",
        "all live photos  3       3       0       1  33.3%  0.0% to 90.6%   0.0%",
        "live/Barack      2       2       0       1  50.0%  1.3% to 98.7%   0.0%",
        "",
        f"{limits}; persons and set-ups without an error: see --json",
    ]
    assert result.stderr == ""


def test_a_table_on_a_terminal(facauth: Facauth, six: Path) -> None:
    shown = facauth.on_terminal("evaluate", "spoof", str(six)).stdout
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    columns = ["Attacks", "n", "judged", "unsure", "live", "APCER", "95", "%", "APNRR"]
    assert lines[0].split() == columns
    assert max(map(len, lines)) <= TERMINAL_COLUMNS


@pytest.mark.parametrize(
    ("threshold", "apcer", "bpcer"), [("0", 1.0, 0.0), ("0.7", 0.5, 1 / 3), ("1", 0.0, 1.0)]
)
def test_another_threshold_on_the_same_scores(
    facauth: Facauth, six: Path, scores: Say, threshold: str, apcer: float, bpcer: float
) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    evaluation = spoof(facauth, six, "--threshold", threshold)["evaluation"]
    assert evaluation["threshold"] == float(threshold)
    worst = max(row["apcer"]["rate"] for row in evaluation["species"])
    assert (worst, evaluation["live"]["bpcer"]["rate"]) == (apcer, pytest.approx(bpcer))


def test_a_score_that_is_no_number_is_an_attack_at_any_threshold(
    facauth: Facauth, six: Path, scores: Say
) -> None:
    scores(*[math.nan] * 6)
    evaluation = spoof(facauth, six, "--threshold", "0")["evaluation"]
    assert [row["apcer"]["rate"] for row in evaluation["species"]] == [0, 0]
    assert evaluation["live"]["bpcer"]["rate"] == 1
    assert {each["live_score"] for each in evaluation["errors"]} == {None}


@pytest.mark.parametrize(
    ("options", "missed"),
    [
        (("--max-apcer", "0.5", "--max-bpcer", "0.34"), []),
        (("--max-apcer", "0.49"), ["evaluate.apcer"]),
        (("--max-bpcer", "0.33"), ["evaluate.bpcer"]),
        (("--max-apcer", "0", "--max-bpcer", "0"), ["evaluate.apcer", "evaluate.bpcer"]),
    ],
)
def test_gates(
    facauth: Facauth, six: Path, scores: Say, options: tuple[str, ...], missed: list[str]
) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    envelope = spoof(facauth, six, *options, exit_code=1 if missed else 0)
    assert envelope["verdict"] == ("gate_missed" if missed else "evaluated")
    assert [reason["code"] for reason in envelope["reasons"]] == missed
    assert envelope["evaluation"]["worst_species"] == "attack_screen"


def test_a_missed_gate_still_prints_the_rates(facauth: Facauth, six: Path, scores: Say) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    result = facauth("evaluate", "spoof", str(six), "--max-apcer", "0.05", exit_code=1)
    assert result.stdout.startswith("Attacks")
    assert result.stderr == (
        "facauth: the APCER of attack_screen is 50.0%, over 5.0%; see which photos with --json\n"
    )


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT], ids=lambda policy: policy.name)
def test_a_policy_says_what_is_unsure_which_is_neither_right_nor_wrong(
    facauth: Facauth, six: Path, scores: Say, policy: SpoofPolicy
) -> None:
    between = math.nextafter(DEFAULT.min_live_score, 0)
    scores(between, 0.7, between, between, 0.05, 0.8)
    more = [] if policy is DEFAULT else ["--policy", policy.name]
    evaluation = spoof(facauth, six, *more)["evaluation"]
    limits = evaluation["threshold"], evaluation["attack_threshold"]
    assert limits == (policy.min_live_score, policy.min_unsure_score)
    accepted = between >= policy.min_live_score
    live, species = evaluation["live"], evaluation["species"]
    assert (live["unsure"]["count"], live["bpcer"]["count"]) == (0 if accepted else 1, 1)
    assert (live["bpcer"]["of"], live["bpnrr"]["count"], live["unjudged"]) == (3, 0, {})
    assert [row["unsure"]["count"] for row in species] == ([0, 0] if accepted else [1, 1])
    assert [row["apcer"]["count"] for row in species] == ([1, 2] if accepted else [0, 1])


def test_photos_without_an_answer_are_counted_apart(facauth: Facauth, laid: Laid) -> None:
    folder = laid(live__1=EILEEN, live__2=NOBODY, attack__1=SIMULATED, attack__2=NOBODY)
    evaluation = spoof(facauth, folder)["evaluation"]
    (species,) = evaluation["species"]
    assert (species["photos"], species["apcer"]["of"], species["apnrr"]["rate"]) == (2, 1, 0.5)
    assert species["unjudged"] == {"face.none": 1}
    assert evaluation["live"]["bpnrr"]["rate"] == 0.5


def test_a_gate_on_what_nobody_could_judge_is_missed(facauth: Facauth, laid: Laid) -> None:
    folder = laid(attack__1=NOBODY)
    assert spoof(facauth, folder)["evaluation"]["species"][0]["apcer"]["rate"] is None
    spoof(facauth, folder, "--max-apcer", "1", exit_code=1)
    spoof(facauth, folder, "--max-bpcer", "1", exit_code=1)


def test_a_file_that_is_no_image_is_named_and_counts_nowhere(facauth: Facauth, laid: Laid) -> None:
    folder = laid(live__1=EILEEN, attack__1=SIMULATED)
    (folder / "live" / "2.jpg").write_bytes(b"no image")
    envelope = spoof(facauth, folder, exit_code=8)
    assert envelope["verdict"] == "partial"
    evaluation = envelope["evaluation"]
    assert evaluation["unreadable"] == [
        {"image": str(folder / "live/2.jpg"), "reason": "image.format"}
    ]
    assert evaluation["live"]["photos"] == 1
    spoof(facauth, folder, "--max-bpcer", "1", exit_code=8)
    folder = laid(attack__2=EILEEN)
    spoof(facauth, folder, "--max-apcer", "0", exit_code=1)  # weighs more


def test_sources_are_told_apart(facauth: Facauth, laid: Laid, scores: Say) -> None:
    folder = laid(a__attack__1=JOE, a__live__1=EILEEN, b__live__1=EILEEN)
    scores(0.05, 0.9, 0.05)
    evaluation = spoof(facauth, folder)["evaluation"]
    assert [row["name"] for row in evaluation["species"]] == ["a/attack"]
    sources = {row["name"]: row["bpcer"]["rate"] for row in evaluation["live_sources"]}
    assert sources == {"a": 0.0, "b": 1.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--threshold", "1.5"), "--threshold is not between 0 and 1"),
        (("--max-apcer", "nan"), "--max-apcer is not between 0 and 1"),
        (("--max-bpcer", "-1"), "--max-bpcer is not between 0 and 1"),
        (("--plot", "out.jpg"), "out.jpg cannot be written: its name does not end in .png"),
        (("--plot", "absent/out.png"), "its folder cannot be written"),
        (("--jobs", "0"), "invalid value for '--jobs'"),
    ],
)
def test_options_that_cannot_be_meant_so(
    facauth: Facauth, six: Path, options: tuple[str, ...], said: str
) -> None:
    result = facauth("evaluate", "spoof", str(six), *options, exit_code=2)
    assert said in result.stderr
    assert result.stdout == ""


def test_a_folder_laid_out_otherwise(facauth: Facauth, laid: Laid) -> None:
    folder = laid(photos__1=EILEEN)
    result = facauth("evaluate", "spoof", str(folder), exit_code=2)
    assert result.stderr == (
        f"facauth: {folder} holds neither live/ nor attack*/ with photos; "
        "make live/ and attack*/, or SOURCE/live/ and SOURCE/attack*/, with photos\n"
    )


def test_attacks_that_sign_in(
    facauth: Facauth, laid: Laid, scores: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Store] = []

    def copied(store: Store, copy: Callable[[Store], Store] = Store.in_memory) -> Store:
        copies.append(store)
        return copy(store)

    monkeypatch.setattr(Store, "in_memory", copied)
    for name, sample in (("Joe", JOE), ("Barack", BARACK[0])):
        facauth("register", name, str(SAMPLES / sample), "--accept-spoof")
    folder = laid(attack__1=BARACK[2], attack__2=BARACK[1], attack__3=EILEEN, live__1=BARACK[2])
    before = facauth.keeping.everything()
    # each attack is judged once for APCER and once more as it signs in
    scores(0.9, 0.9, 0.05, 0.05, 0.9, 0.9, 0.9)
    evaluation = spoof(facauth, folder, "--store", str(facauth.store))["evaluation"]
    (species,) = evaluation["species"]
    assert species["apcer"]["count"] == 2  # Barack's photo and Eileen's are called live ...
    assert (species["iapar"]["count"], species["iapar"]["of"]) == (1, 3)  # ... and one is enrolled
    assert facauth.keeping.everything() == before
    assert len(copies) == 1  # a store of thousands is hundreds of megabytes


def test_a_store_without_people_can_let_nobody_in(facauth: Facauth, six: Path) -> None:
    facauth("evaluate", "spoof", str(six), "--store", "absent.sqlite3", exit_code=7)
    assert not (facauth.here / "absent.sqlite3").exists()
    facauth.knows_nobody()
    empty = str(facauth.store)
    result = facauth("evaluate", "spoof", str(six), "--store", empty, exit_code=2)
    assert result.stderr == (
        f"facauth: nobody with a current photo is enrolled in {empty}; "
        "register there whom the attacks show\n"
    )


@pytest.mark.slow
def test_nothing_is_written_but_the_plot(
    facauth: Facauth, six: Path, scores: Say, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    spoof(facauth, six)
    assert tree(tmp_path) == before
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)
    spoof(facauth, six, "--plot", "out.png")
    after = tree(tmp_path)
    assert "here/out.png" in after.keys() - before.keys()
    with Image.open(facauth.here / "out.png") as image:
        assert image.format == "PNG"


def test_a_plot_that_cannot_be_written_loses_no_rates(
    facauth: Facauth, six: Path, scores: Say
) -> None:
    scores(0.05, 0.7, 0.02, 0.9, 0.06, 0.8)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", full)
        answer = spoof(facauth, six, "--plot", "full.png", exit_code=2)
    assert answer["reasons"][0]["message"] == (
        "full.png cannot be written (No space left on device)"
    )
    assert answer["evaluation"]["live"]["photos"] == 3


def test_a_plot_needs_its_extra(
    facauth: Facauth, six: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facauth.measure.plots.find_spec", lambda _: None)
    result = facauth("evaluate", "spoof", str(six), "--plot", "out.png", exit_code=7)
    assert result.stderr.endswith("pip install 'matplotlib>=3.10'\n")


@pytest.mark.slow
def test_several_processes_find_the_same(facauth: Facauth, six: Path) -> None:
    def found(jobs: str) -> Any:
        arguments = ("evaluate", "spoof", str(six), "--json", "--jobs", jobs)
        return facauth.process(*arguments).json["evaluation"]

    assert found("2") == found("1")


# ---- replay


def replay(facauth: Facauth, source: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
    envelope = facauth("evaluate", "replay", str(source), "--json", *options, exit_code=exit_code)
    found: dict[str, Any] = envelope.json
    return found


@pytest.fixture
def recaptured(laid: Laid) -> Path:
    """Two originals, simulated recaptures of both, and another photo of one of the persons."""
    folder = laid(
        original__Barack=BARACK[0], original__Eileen=EILEEN, other__Barack__2012=BARACK[2]
    )
    for seed, path in enumerate(sorted((folder / "original").iterdir())):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.uint8)
        (folder / "screen").mkdir(exist_ok=True)
        shown = recapture(pixels, medium="screen", seed=seed)
        Image.fromarray(shown).save(folder / "screen" / f"{path.stem}.png")
    return folder


@pytest.mark.slow
def test_recaptures_are_found_and_another_photo_is_not(facauth: Facauth, recaptured: Path) -> None:
    options = ("--max-apcer", "0", "--max-bpcer", "0")
    envelope = replay(facauth, recaptured, *options)
    assert (envelope["command"], envelope["verdict"]) == ("evaluate replay", "evaluated")
    evaluation = envelope["evaluation"]
    assert set(evaluation) == {
        *("worst_medium", "media", "other", "errors", "unreadable", "intervals")
    }
    (screen,) = evaluation["media"]
    assert set(screen) == {"name", "pairs", "frame_only", "same_sitting", "found"}
    assert (screen["name"], screen["pairs"], screen["frame_only"]) == ("screen", 2, 0)
    assert screen["found"]["rate"] == 1
    assert (evaluation["other"]["pairs"], evaluation["other"]["false_alarms"]["rate"]) == (1, 0)


def test_the_gates_of_replay(facauth: Facauth, laid: Laid) -> None:
    folder = laid(original__a=BARACK[0], screen__a=EILEEN, other__a=BARACK[0])
    both = replay(facauth, folder, "--max-apcer", "0.5", "--max-bpcer", "0.5", exit_code=1)
    assert [each["code"] for each in both["reasons"]] == ["evaluate.apcer", "evaluate.bpcer"]
    assert [each["verdict"] for each in both["evaluation"]["errors"]] == ["new", "enrolled_picture"]
    replay(facauth, folder, "--max-apcer", "1", "--max-bpcer", "1")


def test_a_gate_on_other_photos_needs_some(facauth: Facauth, laid: Laid) -> None:
    folder = laid(original__a=BARACK[0], screen__a=BARACK[0])
    envelope = replay(facauth, folder, "--max-bpcer", "1", exit_code=1)
    assert envelope["evaluation"]["other"] is None


def test_without_a_face_the_frames_are_compared(facauth: Facauth, laid: Laid) -> None:
    folder = laid(original__a=NOBODY, screen__a=NOBODY, other__a=EILEEN)
    evaluation = replay(facauth, folder)["evaluation"]
    assert (evaluation["media"][0]["frame_only"], evaluation["media"][0]["found"]["rate"]) == (1, 1)
    assert evaluation["other"]["false_alarms"]["rate"] == 0
    text = facauth("evaluate", "replay", str(folder)).stdout
    assert text.splitlines()[-1] == "no face: only the whole frames were compared"


def test_a_list_whose_files_are_missing_is_partial(facauth: Facauth, laid: Laid) -> None:
    folder = laid(a=BARACK[0])
    pairs = folder / "pairs.csv"
    pairs.write_text("original,recapture\na.jpg,a.jpg\na.jpg,absent.jpg\n")
    evaluation = replay(facauth, pairs, exit_code=8)["evaluation"]
    assert evaluation["media"][0]["pairs"] == 1
    assert evaluation["unreadable"] == [
        {"image": str(folder / "absent.jpg"), "reason": "image.missing"}
    ]


def test_a_recapture_without_its_original_is_refused(facauth: Facauth, laid: Laid) -> None:
    result = facauth(
        "evaluate", "replay", str(laid(original__a=BARACK[0], screen__b=JOE)), exit_code=2
    )
    assert "has no original; put one photo called b into original/" in result.stderr


@pytest.mark.skipif(not REAL_REPLAY.is_dir(), reason="the real recaptures are not at hand")
def test_real_recaptures_of_faces_are_found(facauth: Facauth) -> None:
    media = replay(facauth, REAL_REPLAY / "faces")["evaluation"]["media"]
    found = {row["name"]: row["found"]["count"] for row in media}
    assert found["screen"] == 3
    assert found["paper"] >= 2


def test_evaluate_needs_to_know_what(facauth: Facauth) -> None:
    result = facauth("evaluate", exit_code=2)
    assert result.stderr == (
        "facauth: missing command; see facauth evaluate --help\n"
        "Usage: facauth evaluate [OPTIONS] COMMAND [ARGS]...\n"
    )
