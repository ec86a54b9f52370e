"""--policy and --accept-spoof: what each lets pass, and what none."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import Altered, Facauth, Photo

from facauth.errors import Reason
from facauth.settings import DEFAULT, LENIENT, STRICT, SpoofPolicy
from facauth.structs import NOTHING_COMPARED, Liveness, LiveVerdict, Replay, ReplayVerdict

POLICIES = (DEFAULT, STRICT, LENIENT)
FIRST, AGAIN, ANOTHER = "obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg"
SCANNED = "hopper_1984.jpg"


def sitting(*_: Any) -> Replay:
    """A replay stage that finds the sitting of an enrolled photo again."""
    from facauth.spoof.replay import REASONS

    return compared(ReplayVerdict.SAME_SITTING, REASONS[ReplayVerdict.SAME_SITTING])()


def compared(verdict: Any, *reasons: Reason) -> Callable[..., Replay]:
    """A replay stage that says so."""
    reasons = reasons or (Reason("test.why", "no", "try again"),)
    found = replace(NOTHING_COMPARED, verdict=verdict, compared=1, reasons=reasons)
    return lambda *_: found


def no_replay(*_: Any) -> Any:
    """A replay stage that forgot its answer."""
    return None


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """From now on the networks say so of every face."""

    def says(live_score: float) -> None:
        monkeypatch.setattr("facauth.spoof.liveness.live_score", lambda *_: live_score)

    return says


Score = Callable[[float], None]


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack."""
    facauth.knows(Barack=photo(FIRST))
    return facauth


def limits(policy: SpoofPolicy) -> tuple[float, float]:
    return policy.min_live_score, policy.sure_live_score


SURE, DOUBT = 1.0, DEFAULT.min_live_score
BELOW = {limit: math.nextafter(limit, 0) for policy in POLICIES for limit in limits(policy)}


@pytest.mark.parametrize(
    ("live_score", "default", "strict", "lenient"),
    [
        (1.0, 0, 0, 0),
        (STRICT.sure_live_score, 0, 0, 0),
        (BELOW[STRICT.sure_live_score], 0, 4, 0),
        (STRICT.min_live_score, 0, 4, 0),
        (BELOW[DEFAULT.min_live_score], 4, 4, 0),
        (LENIENT.min_live_score, 4, 4, 0),
        (BELOW[LENIENT.min_live_score], 4, 4, 4),
        (DEFAULT.min_unsure_score, 4, 4, 4),
        (math.nextafter(DEFAULT.min_unsure_score, 0), 3, 3, 3),
        (math.nan, 3, 3, 3),
    ],
)
def test_a_policy_says_which_scores_pass(
    enrolled: Facauth,
    photo: Photo,
    score: Score,
    live_score: float,
    default: int,
    strict: int,
    lenient: int,
) -> None:
    score(live_score)
    for more, exit_code in (
        ([], default),
        (["--policy", "strict"], strict),
        (["--policy", "lenient"], lenient),
    ):
        enrolled("sign-in", photo(AGAIN), *more, exit_code=exit_code)
        enrolled("spoof-check", photo(AGAIN), *more, exit_code=exit_code)


@pytest.mark.parametrize(
    ("live_score", "default", "strict"),
    [
        (1.0, 0, 0),
        (STRICT.sure_live_score, 0, 0),
        (math.nextafter(STRICT.sure_live_score, 0), 0, 4),
        (DEFAULT.min_live_score, 0, 4),
        (DEFAULT.min_unsure_score, 0, 4),
        (math.nextafter(DEFAULT.min_unsure_score, 0), 3, 3),
        (0.0, 3, 3),
        (math.nan, 3, 3),
    ],
)
def test_register_refuses_what_is_clearly_a_recapture_and_strictly_every_doubt(
    facauth: Facauth, photo: Photo, score: Score, live_score: float, default: int, strict: int
) -> None:
    score(live_score)
    for policy, exit_code in (("strict", strict), ("default", default), ("lenient", default)):
        more = ("--policy", policy)
        facauth("register", "Barack", photo(ANOTHER), "--replace", *more, exit_code=exit_code)
        assert facauth.names() == ({} if exit_code else {"Barack": 1})
        if not exit_code:
            facauth("remove", "Barack", "--yes")


def test_an_enrolled_doubt_is_told_and_remembered_and_no_sign_in(
    facauth: Facauth, photo: Photo, score: Score
) -> None:
    score(DEFAULT.min_unsure_score)
    result = facauth("register", "Barack", photo(FIRST), photo(ANOTHER))
    doubt = "enrolled in doubt: the face is not surely live"
    told = [line for line in result.stderr.splitlines() if "in doubt" in line]
    assert told == [f"facauth: photo 1 of 2 is {doubt}", f"facauth: photo 2 of 2 is {doubt}"]
    assert facauth("list", "--json").json["people"][0]["accepted_spoof"] == 2
    facauth("sign-in", photo(AGAIN), exit_code=4)
    score(SURE)
    facauth("sign-in", photo(AGAIN))
    facauth("register", "Barack", photo(AGAIN))
    assert facauth("list", "--json").json["people"][0]["accepted_spoof"] == 2


def test_a_note_names_the_photos_that_enrol_takes_in_doubt(
    facauth: Facauth, photo: Photo, score: Score
) -> None:
    score(DEFAULT.min_unsure_score)
    staff = facauth.here / "staff"
    staff.mkdir()
    shutil.copy(photo(FIRST), staff / "Barack.jpg")
    doubt = f"in doubt: the face is not surely live ({staff / 'Barack.jpg'})\n"
    dry = facauth("enrol", str(staff), "--dry-run").stderr
    assert f"facauth: 1 photo would be enrolled {doubt}" in dry
    assert f"facauth: 1 photo enrolled {doubt}" in facauth("enrol", str(staff)).stderr


@pytest.mark.parametrize(("live_score", "exit_code"), [(0.1, 0), (0.0999, 4), (math.nan, 4)])
def test_what_cannot_be_judged_and_scores_as_a_recapture_is_not_enrolled(
    facauth: Facauth, photo: Photo, live_score: float, exit_code: int
) -> None:
    unmet = Reason("liveness.context", "too little is seen around the face", "do not crop")

    def cropped(*_: object) -> Liveness:
        return Liveness(LiveVerdict.CANNOT_JUDGE, live_score, 0.6, 0.7, (), (unmet,))

    facauth.bind(liveness=cropped)
    facauth("register", "Barack", photo(FIRST), exit_code=exit_code)
    assert facauth.names() == ({} if exit_code else {"Barack": 1})


@pytest.mark.parametrize(
    ("live_score", "policy", "marked"),
    [(0.6, "default", 0), (0.5999, "default", 1), (0.6, "lenient", 0), (0.35, "lenient", 1)],
)
def test_every_doubt_is_marked_whatever_the_policy(
    facauth: Facauth, photo: Photo, score: Score, live_score: float, policy: str, marked: int
) -> None:
    score(live_score)
    result = facauth("register", "Barack", photo(FIRST), "--policy", policy)
    assert ("enrolled in doubt: the face is not surely live" in result.stderr) == bool(marked)
    assert facauth("list", "--json").json["people"][0]["accepted_spoof"] == marked


def test_register_takes_nothing_else_for_a_doubt(facauth: Facauth, photo: Photo) -> None:
    for odd, exit_code in ((judged(None, 1.0), 4), (judged("live", 1.0), 4), (lambda *_: None, 70)):
        facauth.bind(liveness=odd)
        facauth("register", "Barack", photo(FIRST), exit_code=exit_code)
        assert facauth.names() == {}


@pytest.mark.parametrize(
    ("live_score", "more", "exit_code", "codes"),
    [
        (SURE, (), 0, []),
        (DOUBT, (), 4, ["replay.same_sitting", "liveness.doubt"]),
        (DOUBT, ("--policy", "lenient"), 4, ["replay.same_sitting", "liveness.doubt"]),
        (SURE, ("--policy", "strict"), 4, ["replay.same_sitting"]),
        (0.0, (), 3, ["liveness.presentation_attack"]),
    ],
)
def test_the_same_sitting_needs_a_face_that_is_surely_live(
    enrolled: Facauth,
    photo: Photo,
    score: Score,
    live_score: float,
    more: tuple[str, ...],
    exit_code: int,
    codes: list[str],
) -> None:
    score(live_score)
    enrolled.bind(replay=sitting)
    result = enrolled("sign-in", photo(AGAIN), *more, "--json", exit_code=exit_code)
    assert result.codes == codes
    assert result.json["person"] == (None if exit_code else "Barack")


def test_a_refused_doubt_is_logged_and_tells_what_to_do(
    enrolled: Facauth, photo: Photo, score: Score
) -> None:
    score(DOUBT)
    enrolled.bind(replay=sitting)
    result = enrolled("sign-in", photo(AGAIN), exit_code=4)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: this photo was taken in the same sitting as an enrolled photo; "
        "take a photo at another time or place\n"
        "facauth: the face is not surely live; take a new photo in other light\n"
    )
    assert enrolled.events()[-1] == (
        "sign-in",
        "unusable_image",
        "replay.same_sitting liveness.doubt",
    )


def test_a_spoof_check_hears_both_sides_as_well(
    enrolled: Facauth, photo: Photo, score: Score
) -> None:
    score(DOUBT)
    enrolled.bind(replay=sitting)
    result = enrolled("spoof-check", photo(AGAIN), "--against", "Barack", "--json", exit_code=4)
    assert result.codes == ["replay.same_sitting", "liveness.doubt"]
    enrolled("spoof-check", photo(AGAIN), exit_code=0)


def broken(*_: Any) -> Any:
    raise RuntimeError("a stage")


def judged(verdict: Any, live_score: float) -> Callable[..., Liveness]:
    from facauth.spoof.liveness import ATTACK_REASON

    return lambda *_: Liveness(verdict, live_score, 0.5, 0.8, (), (ATTACK_REASON,))


@pytest.mark.parametrize(
    "more", [(), ("--policy", "lenient"), ("--policy", "strict")], ids=" ".join
)
@pytest.mark.parametrize(
    ("stage", "exit_code"),
    [
        ({"liveness": judged(LiveVerdict.ATTACK, 1.0)}, 3),
        ({"liveness": judged(LiveVerdict.CANNOT_JUDGE, 1.0)}, 4),
        ({"liveness": judged(None, 1.0)}, 4),
        ({"liveness": judged("live", 1.0)}, 4),
        ({"liveness": lambda *_: None}, 70),
        ({"liveness": broken}, 70),
        ({"replay": no_replay}, 70),
        ({"replay": compared("enrolled_picture")}, 3),
        ({"replay": compared(None)}, 3),
        ({"replay": broken}, 70),
        ({"signature": broken}, 70),
        ({"signature": lambda *_: None}, 70),
        ({"measure": broken}, 70),
        ({"encode": lambda *_: None}, 70),
        ({"compare": lambda *_: None}, 70),
    ],
)
def test_whatever_a_stage_says_only_a_clear_yes_signs_in(
    enrolled: Facauth,
    photo: Photo,
    stage: dict[str, Callable[..., Any]],
    exit_code: int,
    more: tuple[str, ...],
) -> None:
    enrolled("sign-in", photo(AGAIN), *more, exit_code=0)  # without the fault it would
    enrolled.bind(**stage)
    result = enrolled("sign-in", photo(AGAIN), *more, exit_code=exit_code)
    assert result.stdout == ""
    assert enrolled.events()[-1][1] != "signed_in" or exit_code == 70
    assert len([event for event in enrolled.events() if event[1] == "signed_in"]) == 1


@pytest.mark.parametrize("name", [AGAIN, "biden_2010.jpg"])
def test_an_attack_is_told_no_match_and_counts_as_an_attempt(
    enrolled: Facauth, photo: Photo, name: str
) -> None:
    """It is compared, so that it counts for whom it comes near, and refused before the match is."""
    enrolled.bind(liveness=judged(LiveVerdict.ATTACK, 0.0), signature=broken, replay=broken)
    result = enrolled("sign-in", photo(name), "--json", exit_code=3)
    answer = result.json
    assert (answer["match"], answer["person"], answer["verdict"]) == (None, None, "attack")
    assert "match" not in "".join(result.codes)
    assert enrolled.events()[-1][:2] == ("sign-in", "attack")


def test_who_does_not_match_is_not_compared_with_photos_of_anybody(
    enrolled: Facauth, photo: Photo
) -> None:
    enrolled.bind(signature=broken, replay=broken)
    enrolled("sign-in", photo("biden_2010.jpg"), exit_code=1)


@pytest.mark.parametrize(
    "command", [("sign-in", FIRST), ("spoof-check", FIRST), ("register", "Ada", FIRST)]
)
def test_a_policy_that_does_not_exist_is_a_usage_error(
    facauth: Facauth, photo: Photo, command: tuple[str, ...]
) -> None:
    *words, name = command
    result = facauth(*words, photo(name), "--policy", "lax", exit_code=2)
    assert (result.stdout, "'strict', 'default', 'lenient'" in result.stderr) == ("", True)
    assert facauth.keeping.is_untouched()


def test_a_check_that_is_skipped_cannot_be_strict(facauth: Facauth, photo: Photo) -> None:
    strict = ("--policy", "strict", "--accept-spoof")
    result = facauth("register", "Ada", photo(FIRST), *strict, exit_code=2)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: --policy strict and --accept-spoof contradict each other; choose one\n"
    )
    assert facauth.keeping.is_untouched()


def test_an_attack_is_not_enrolled(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Barack", photo("simulated_recapture.jpg"), exit_code=3)
    assert result.stdout == ""
    assert result.stderr.startswith("facauth: this looks like a photo of a screen or a print;")
    assert facauth.names() == {}
    assert facauth.events() == [("register", "attack", "liveness.presentation_attack")]


def test_a_scan_is_enrolled_if_asked_for_and_that_is_remembered(
    facauth: Facauth, photo: Photo, altered: Altered
) -> None:
    scan = altered(SCANNED, lambda image: image.convert("L"))
    refused = facauth("register", "Grace", scan, "--policy", "strict", exit_code=4)
    assert "liveness cannot be judged: the photo has no colour" in refused.stderr
    noted = facauth("register", "Grace", scan)
    doubt = "photo 1 of 1 is enrolled in doubt: liveness cannot be judged: the photo has no colour"
    assert f"facauth: {doubt}\n" in noted.stderr
    facauth("remove", "Grace", "--yes")
    result = facauth("register", "Grace", scan, "--accept-spoof")
    assert result.stdout == "registered Grace (1 photo)\n"
    assert "facauth: liveness was not checked (--accept-spoof)\n" in result.stderr
    facauth("register", "Barack", photo(FIRST))
    facauth("register", "Barack", photo(ANOTHER), "--accept-spoof")
    people = facauth("list", "--json").json["people"]
    assert {row["name"]: row["accepted_spoof"] for row in people} == {"Barack": 1, "Grace": 1}
    _, barack, grace = facauth("list", "--format", "table").stdout.splitlines()
    assert barack.startswith("Barack  2 (1 in doubt)")
    assert grace.startswith("Grace   1 (1 in doubt)")
    assert facauth("list").stdout.splitlines()[1].startswith("Grace\t1\t")


def test_a_list_without_scans_has_no_mark(enrolled: Facauth) -> None:
    assert "in doubt" not in enrolled("list", "--format", "table").stdout
