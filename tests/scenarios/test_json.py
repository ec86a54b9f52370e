"""The JSON envelope, `facauth/1`: these keys and types, on success and on failure alike.

A change here is a change of a contract: raise the schema's version, or only add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Facauth, Photo

from facauth.demo import Step
from facauth.doctor import Finding
from facauth.errors import ExitCode
from facauth.structs import Face, Sighting

EILEEN, JOE, NOBODY, BARACK, AGAIN = (
    "collins.png",
    "biden_2010.jpg",
    "no_face.png",
    "obama_2009.jpg",
    "obama_2010.jpg",
)

NUMBER = {int, float}
TEXT_OR_NULL = {str, type(None)}

MATCH = {
    "similarity": NUMBER,
    "threshold": NUMBER,
    "fmr": NUMBER,
    "margin": NUMBER | {type(None)},
    "compared": {int},
}
LIVENESS = {
    "verdict": {str},
    "live_score": NUMBER,
    "threshold": NUMBER,
    "sure_threshold": NUMBER,
    "conditions": {
        name: {"value": NUMBER, "max" if name == "noise" else "min": NUMBER, "met": {bool}}
        for name in ("context", "inter_eye_distance_px", "sharpness", "noise", "chroma")
    },
}
REPLAY = {
    "verdict": {str},
    "compared": {int},
    "part": TEXT_OR_NULL,
    "pairs": {int},
    "inliers": {int},
    "displacement": NUMBER | {type(None)},
    "correlation": NUMBER | {type(None)},
    "mirrored": {bool},
}
QUALITY = {
    "inter_eye_distance_px": NUMBER,
    "sharpness": NUMBER,
    "luminance_mean": NUMBER,
    "under_exposure": NUMBER,
    "over_exposure": NUMBER,
    "noise": NUMBER,
    "chroma": NUMBER,
    "dynamic_range_bits": NUMBER,
    "head_pose_yaw_deg": NUMBER,
    "head_pose_pitch_deg": NUMBER,
    "head_pose_roll_deg": NUMBER,
    "face_inside": NUMBER,
    "centrality": NUMBER,
    "faces": {int},
}
REASON = {"code": {str}, "message": {str}, "advice": {str}}
ENVELOPE: dict[str, Any] = {
    "schema": "facauth/1",
    "command": TEXT_OR_NULL,
    "ok": {bool},
    "exit_code": {int},
    "verdict": {str},
    "person": TEXT_OR_NULL,
    "match": MATCH,
    "liveness": LIVENESS,
    "replay": REPLAY,
    "quality": QUALITY,
    "reasons": [REASON],
    "notes": [{str}],
    "elapsed_ms": {int, float},
}
MEASURED = ("match", "liveness", "replay", "quality")
STAGES = {
    "decode",
    "detect",
    "quality",
    "liveness",
    "encode",
    "match",
    "signature",
    "replay",
    "learn",
}
PERSON = {
    "name": {str},
    "photos": {int},
    "enrolled_at": {str},
    "last_sign_in_at": TEXT_OR_NULL,
    "needs_new_photo": {int},
    "without_signature": {int},
    "accepted_spoof": {int},
    "consent": TEXT_OR_NULL,
    "purpose": TEXT_OR_NULL,
    "consent_at": TEXT_OR_NULL,
    "last_photo_at": TEXT_OR_NULL,
    "learned": {int},
}
CHECKED = {
    "image": {str},
    "verdict": {str},
    "exit_code": {int},
    "liveness": LIVENESS,
    "replay": REPLAY,
    "quality": QUALITY,
    "reasons": [REASON],
}
PHOTO = {"image": {str}, "verdict": {str}, "exit_code": {int}, "reasons": [REASON]}
STEP = {"title": {str}, "expected": {int}, "got": {int}, "said": {str}}
LEARNED = {"photos": {int, type(None)}, "reasons": [REASON]}
FINDING = {"check": {str}, "ok": {bool}, "detail": {str}, "advice": {str}}
SETTING = {"key": {str}, "value": TEXT_OR_NULL | NUMBER, "origin": {str}}
MORE: dict[str, dict[str, Any]] = {
    "register": {"photos": {int}, "results": [PHOTO]},
    "sign-in": {
        "error_rate": NUMBER | {type(None)},
        "basis": TEXT_OR_NULL,
        "retry_after_s": NUMBER | {type(None)},
        "learned": LEARNED,
    },
    "list": {"people": [PERSON]},
    "spoof-check": {"results": [CHECKED]},
    "demo": {"steps": [STEP]},
    "doctor": {"checks": [FINDING], "settings": [SETTING]},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A command, the code it should give, and which objects should not be null."""

    arguments: str
    exit_code: int
    holds: str = ""
    answered: bool = True  # whether the command's own fields are there


CASES = (
    Case("register Ada PHOTO:biden_2010.jpg", 0, "quality liveness replay"),
    Case("register Ada PHOTO:biden_2010.jpg --accept-spoof", 0, "quality replay"),
    Case("register Ada PHOTO:no_face.png", 4, "", answered=False),
    Case("register Ada PHOTO:collins.png", 6, "quality liveness", answered=False),
    Case("register Eileen PHOTO:collins.png", 6, "quality liveness replay", answered=False),
    Case("register Ada absent.jpg", 2, "", answered=False),
    Case("sign-in PHOTO:obama_2010.jpg", 0, "quality liveness match replay"),
    Case("sign-in PHOTO:obama_2010.jpg --as Barack", 0, "quality liveness match replay"),
    Case("sign-in PHOTO:obama_2010.jpg --learn", 0, "quality liveness match replay learned"),
    Case("sign-in PHOTO:collins.png", 3, "quality liveness match replay"),
    Case("sign-in PHOTO:biden_2010.jpg", 1, "quality liveness match"),
    Case("sign-in PHOTO:biden_2010.jpg --as Nobody", 6),
    Case("sign-in PHOTO:no_face.png", 4),
    Case("sign-in absent.jpg", 2),
    Case("spoof-check PHOTO:collins.png", 0, "quality liveness"),
    Case("spoof-check PHOTO:collins.png --against Barack", 0, "quality liveness replay"),
    Case("spoof-check PHOTO:collins.png --against Eileen", 3, "quality liveness replay"),
    Case("spoof-check PHOTO:no_face.png absent.jpg", 2),
    Case("spoof-check PHOTO:collins.png --against Nobody", 6, answered=False),
    Case("list", 0),
    Case("list --format csv", 0),
    Case("list --format xml", 2, answered=False),
    Case("remove Eileen --yes", 0),
    Case("remove Eileen", 2),
    Case("remove Nobody --yes", 6),
    Case("rename Eileen Ada", 0),
    Case("rename Eileen Barack", 6),
    Case("demo", 0),
    Case("demo x", 2, answered=False),
    Case("doctor", 7),
    Case("frobnicate", 2, answered=False),
)


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON value has this shape: a set of types, a constant, exact keys or a list."""
    if isinstance(shape, set):
        return type(value) in shape
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and list(value) == list(shape)
            and all(fits(value[key], shape[key]) for key in shape)
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    return bool(value == shape)


def assert_fits(envelope: dict[str, Any], shape: dict[str, Any]) -> None:
    assert list(envelope) == list(shape)
    wrong = {key: envelope[key] for key in shape if not fits(envelope[key], shape[key])}
    assert wrong == {}


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> Facauth:
    """A store that knows Eileen and Barack; demo and doctor that need no networks."""
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK))
    step = Step("a stranger", ExitCode.NO_MATCH, ExitCode.NO_MATCH, "nobody")
    monkeypatch.setattr("facauth.demo.run", lambda: [step])
    found = Finding("numpy", False, "not installed", "install facauth again")
    monkeypatch.setattr("facauth.doctor.examine", lambda _: iter([found]))
    return facauth


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.arguments} -> {case.exit_code}")
def test_the_envelope_has_its_shape(enrolled: Facauth, photo: Photo, case: Case) -> None:
    arguments = [
        photo(word.removeprefix("PHOTO:")) if word.startswith("PHOTO:") else word
        for word in case.arguments.split()
    ]
    result = enrolled(*arguments, "--json", exit_code=case.exit_code)
    command = arguments[0] if arguments[0] != "frobnicate" else None
    measured = {key: None for key in MEASURED if key not in case.holds}
    times = {"elapsed_ms": dict.fromkeys(result.json["elapsed_ms"], NUMBER)}
    more = MORE.get(str(command), {})
    if not case.answered:  # null if the command ran, absent if its call was wrong
        ran = result.json["reasons"][0]["code"] != "usage"
        more = dict.fromkeys(more) if ran else {}
        if command == "register" and ran and case.exit_code in (2, 4):  # of a photo, that is
            more["results"] = [PHOTO]
    expected = {"command": command, "ok": case.exit_code == 0, "exit_code": case.exit_code}
    if command == "sign-in" and "learned" not in case.holds:
        more = {**more, "learned": None}
    if command == "spoof-check" and case.answered:
        more = {"results": [{key: measured.get(key, CHECKED[key]) for key in CHECKED}]}
    assert_fits(result.json, {**ENVELOPE, **measured, **expected, **times, **more})
    assert set(result.json["elapsed_ms"]) <= STAGES
    assert result.stderr == ""


def test_an_internal_error_has_the_same_shape(enrolled: Facauth, photo: Photo) -> None:
    def broken(sighting: Sighting, face: Face) -> None:
        raise RuntimeError("an encoding, say")

    enrolled.bind(encode=broken)
    result = enrolled("sign-in", photo(AGAIN), "--json", exit_code=70)
    nulls: dict[str, Any] = {**dict.fromkeys(MEASURED), "elapsed_ms": {}}
    known = {"command": "sign-in", "verdict": "internal_error", "ok": False, "exit_code": 70}
    assert_fits(result.json, {**ENVELOPE, **nulls, **known})
    assert result.codes == ["internal"]
    assert "an encoding" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "verdict", "codes"),
    [
        ("sign-in {again}", 0, "signed_in", []),
        ("sign-in {eileen}", 3, "attack", ["replay.enrolled_picture"]),
        ("sign-in {joe}", 1, "no_match", ["match.none"]),
        ("sign-in absent.jpg", 2, "usage", ["image.missing"]),
        ("sign-in {nobody}", 4, "unusable_image", ["face.none"]),
        ("sign-in {eileen} --as Ada", 6, "conflict", ["name.unknown"]),
        ("register Ada {eileen}", 6, "conflict", ["face.enrolled_elsewhere"]),
        ("register Eileen {joe}", 6, "conflict", ["name.other_face"]),
        ("register Ada {eileen} {joe}", 6, "conflict", ["photos.several_people"]),
        ("register Ada {joe}", 0, "registered", []),
        ("register Eileen {eileen}", 6, "conflict", ["enrolment.same_picture"]),
        ("remove Eileen", 2, "usage", ["remove.unconfirmed"]),
        ("remove Eileen --yes", 0, "removed", []),
        ("rename Eileen Barack", 6, "conflict", ["name.taken"]),
        ("rename Eileen Ada", 0, "renamed", []),
        ("spoof-check {eileen}", 0, "live", []),
        ("list", 0, "listed", []),
    ],
)
def test_verdicts_and_reason_codes_are_stable(
    enrolled: Facauth,
    photo: Photo,
    arguments: str,
    exit_code: int,
    verdict: str,
    codes: list[str],
) -> None:
    names = {"eileen": EILEEN, "joe": JOE, "nobody": NOBODY, "again": AGAIN}
    photos = {word: photo(name) for word, name in names.items()}
    result = enrolled(*arguments.format(**photos).split(), "--json", exit_code=exit_code)
    assert (result.json["verdict"], result.codes) == (verdict, codes)


@pytest.mark.sqlite("is about the file and its folder")
def test_a_store_that_is_none_is_told_in_json(facauth: Facauth) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_text("a diary\n" * 1000)
    result = facauth("list", "--json", exit_code=7)
    assert (result.json["verdict"], result.codes) == ("setup", ["store.not_a_store"])


def test_a_spoof_check_that_fails_has_its_reasons_where_every_failure_has_them(
    facauth: Facauth, photo: Photo
) -> None:
    result = facauth("spoof-check", photo(NOBODY), "--json", exit_code=4)
    assert result.codes == ["face.none"]


def test_names_are_readable_in_json(enrolled: Facauth) -> None:
    enrolled("rename", "Eileen", 'Zoë "李" [red]')
    result = enrolled("list", "--json")
    assert 'Zoë \\"李\\" [red]' in result.stdout
    assert [person["name"] for person in result.json["people"]] == ["Barack", 'Zoë "李" [red]']
