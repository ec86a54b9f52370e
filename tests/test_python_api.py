"""The Python interface, and the examples that the documents show of it."""

from __future__ import annotations

import asyncio
import doctest
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SAMPLES, Photo
from conftest import Facauth as Cli
from PIL import Image

import facauth
from facauth import Attack, Conflict, Facauth, NoMatch, SetupProblem, UnusableImage, UsageProblem
from facauth import api as module
from facauth.samples import sample

PAGE = (ROOT / "docs" / "how-to" / "python.md").read_text()
FIRST, SECOND, LATER = "obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg"
JOE, NOBODY, SPOOF = "biden_2010.jpg", "no_face.png", "simulated_recapture.jpg"


@pytest.fixture
def faces(facauth: Cli) -> Facauth:
    facauth.store.parent.mkdir(mode=0o700, exist_ok=True)
    return Facauth(facauth.store)


def pixels(path: str) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def code(kind: type[facauth.FacauthError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as refusal:
        call()
    return refusal.value.reasons[0].code


def test_the_example_of_the_class(faces: Facauth, facauth: Cli) -> None:
    names = {"store": facauth.store, "sample": sample}
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner()
    for test in finder.find(module.Facauth, "Facauth", globs=names):
        runner.run(test)
    assert (runner.failures, runner.tries) == (0, 5)


def test_what_is_public_can_be_imported_and_is_documented() -> None:
    for name in facauth.__all__:
        assert getattr(facauth, name).__name__ == name
        assert f"`{name}" in PAGE or name == "Reason"
    methods = {name for name in vars(Facauth) if not name.startswith("_")}
    assert {f"`{name}(" for name in methods} <= {found + "(" for found in re.findall(r"`\w+", PAGE)}
    assert all(getattr(Facauth, name).__doc__ for name in methods)
    with pytest.raises(AttributeError, match="no attribute 'pipelines'"):
        facauth.pipelines  # noqa: B018


def test_importing_facauth_imports_nothing_else() -> None:
    code = "import sys, facauth; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in said.stdout.split() if name.startswith("facauth")}
    assert ours == {"facauth"}


@pytest.mark.parametrize("given", [str, Path, lambda path: Path(path).read_bytes(), pixels])
def test_photos_are_paths_bytes_or_pixels(
    faces: Facauth, photo: Photo, given: Callable[[str], Any]
) -> None:
    done = faces.register("Barack", given(photo(FIRST)), given(photo(SECOND)))
    assert (done.person, done.photos, len(done.evidence)) == ("Barack", 2, 2)
    assert faces.sign_in(given(photo(LATER))).person == "Barack"
    assert faces.sign_in(given(photo(LATER)), name="barack").person == "Barack"
    with pytest.raises(Attack):
        faces.sign_in(given(photo(FIRST)))


def test_a_sign_in_is_that_of_the_command_line(faces: Facauth, facauth: Cli, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST), consent="agreed")
    assert facauth("sign-in", photo(LATER)).stdout == "Barack\n"
    signed_in = faces.sign_in(photo(LATER))
    assert signed_in.evidence.match
    assert facauth.events() == [
        ("register", "registered", None),
        ("sign-in", "signed_in", None),
        ("sign-in", "signed_in", None),
    ]
    (row,) = faces.people()
    assert (row.name, row.photos, row.consent) == ("Barack", 1, "agreed")
    assert faces.remove("BARACK") == "Barack"
    assert facauth.names() == {}


def test_refusals_are_raised_with_their_codes(faces: Facauth, photo: Photo) -> None:
    assert code(SetupProblem, lambda: faces.sign_in(photo(JOE))) == "store.missing"
    faces.register("Barack", photo(FIRST))
    assert code(NoMatch, lambda: faces.sign_in(photo(JOE))) == "match.none"
    assert code(Attack, lambda: faces.sign_in(photo(SPOOF))) == "liveness.presentation_attack"
    assert code(UnusableImage, lambda: faces.sign_in(photo(NOBODY))) == "face.none"
    assert code(Conflict, lambda: faces.sign_in(photo(LATER), name="Nobody")) == "name.unknown"
    assert code(Conflict, lambda: faces.register("Hussein", photo(LATER))) == (
        "face.enrolled_elsewhere"
    )
    assert code(UsageProblem, lambda: faces.sign_in("absent.jpg")) == "image.missing"
    assert code(UsageProblem, lambda: faces.sign_in("-")) == "image.missing"
    assert code(UsageProblem, lambda: faces.register("Ada")) == "usage"
    grey = np.zeros((9, 9), np.uint8)
    assert code(UsageProblem, lambda: faces.sign_in(grey)) == "image.not_pixels"
    assert code(UsageProblem, lambda: Facauth(policy="lax")) == "usage"
    assert code(UsageProblem, lambda: faces.sign_in(photo(JOE), rate=7.0)) == (
        "match.impossible_rate"
    )


def test_a_policy_counts(facauth: Cli, faces: Facauth, photo: Photo) -> None:
    strict = Facauth(facauth.store, policy="strict")
    assert strict.spoof_check(photo(JOE)).liveness.min_live_score >= (
        faces.spoof_check(photo(JOE)).liveness.min_live_score
    )


def test_searching_and_comparing(faces: Facauth, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST))
    (face,) = faces.identify(photo(LATER))
    assert face.person == "Barack"
    (nobody,) = faces.identify(photo(JOE))
    assert (nobody.person, nobody.reasons[0].code) == (None, "match.none")
    assert faces.identify(photo(NOBODY)) == []
    assert faces.compare(photo(FIRST), photo(LATER)).same_person
    assert not faces.compare(photo(FIRST), photo(JOE)).same_person
    with pytest.raises(UnusableImage):
        faces.compare(photo(FIRST), photo(NOBODY))


def test_spoof_check(faces: Facauth, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST))
    assert faces.spoof_check(photo(LATER)).verdict == "live"
    assert faces.spoof_check(photo(SPOOF)).verdict == "attack"
    assert faces.spoof_check(photo(FIRST), "Barack").verdict == "attack"


def test_threads_take_turns(faces: Facauth, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: faces.sign_in(photo(LATER)).person, range(8)))
    assert done == ["Barack"] * 8


def test_an_encrypted_store(facauth: Cli, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACAUTH_PASSPHRASE", "correct horse battery staple")
    facauth("key", "init", "--passphrase")
    monkeypatch.delenv("FACAUTH_PASSPHRASE")
    with pytest.raises(SetupProblem):
        Facauth(facauth.store).register("Barack", photo(FIRST))
    faces = Facauth(facauth.store, passphrase=lambda: "correct horse battery staple")
    faces.register("Barack", photo(FIRST))
    assert faces.sign_in(photo(LATER)).person == "Barack"


# --- the documents -------------------------------------------------------------------------------


def example(name: str) -> str:
    (code,) = re.findall(rf"(?s)<!-- example: {name} -->\n```python\n(.*?)```", PAGE)
    return str(code)


@pytest.fixture
def beside_samples(facauth: Cli) -> Path:
    shutil.copytree(SAMPLES, facauth.here / "sample_images")
    return facauth.here


def test_the_script_of_the_documents(beside_samples: Path, facauth: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-c", example("script")],
        cwd=beside_samples,
        env=facauth.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "welcome, Barack Obama\n"


def test_the_application_of_the_documents(beside_samples: Path, photo: Photo) -> None:
    import httpx

    names: dict[str, Any] = {}
    exec(example("fastapi"), names)
    names["faces"].register("Barack", photo(FIRST))

    async def enter(name: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=names["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            files = {"photo": Path(photo(name)).read_bytes()}
            return await client.post("/enter", files=files)

    assert asyncio.run(enter(LATER)).json() == {"person": "Barack"}
    refused = asyncio.run(enter(JOE))
    assert (refused.status_code, refused.json()) == (401, {"detail": "match.none"})


def test_a_challenge_is_for_one_clip(faces: Facauth, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST))
    challenge = faces.challenge("Barack")
    assert len(challenge.prompts) == 2
    for expected in ("challenge.not_followed", "challenge.expired"):
        refused = partial(faces.sign_in, photo(LATER), name="Barack", challenge=challenge.id)
        assert code(UnusableImage, refused) == expected


def test_several_photos_must_each_pass(faces: Facauth, photo: Photo) -> None:
    faces.register("Barack", photo(FIRST))
    assert code(UnusableImage, lambda: faces.sign_in(photo(LATER), photo(JOE))) == (
        "photos.several_people"
    )
    assert code(UsageProblem, faces.sign_in) == "usage"


def test_bytes_are_never_taken_for_a_folder(
    faces: Facauth, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo 1").mkdir()
    faces.register("Barack", Path(photo(FIRST)).read_bytes())
    assert faces.sign_in(Path(photo(LATER)).read_bytes()).person == "Barack"


def test_a_file_that_has_the_name_of_another_photo(
    faces: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each photo is looked at, whatever it is called."""
    faces.register("Barack", photo(FIRST))
    shutil.copy(photo(JOE), tmp_path / "photo 2")
    monkeypatch.chdir(tmp_path)
    both = "photo 2", Path(photo(LATER)).read_bytes()
    assert code(UnusableImage, lambda: faces.sign_in(*both)) == "photos.several_people"
    assert faces.sign_in(both[1]).person == "Barack"
