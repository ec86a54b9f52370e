"""A tour on the sample pictures: expected and actual answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from facauth import pipeline
from facauth.errors import ExitCode, FacauthError
from facauth.networks import Checked, Networks
from facauth.records import PersonName
from facauth.samples import sample
from facauth.settings import DEFAULT
from facauth.store.store import Store
from facauth.structs import EnrolmentTerms, Terms
from facauth.system import System, bind


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the expected exit code, the actual one, and the answer."""

    title: str
    expected: ExitCode
    got: ExitCode
    said: str

    @property
    def as_expected(self) -> bool:
        """Whether the demo shows what it promises."""
        return self.got == self.expected


def run() -> list[Step]:
    """Run every step in a temporary store; nothing else is written."""
    stages = bind(Networks(Checked(None)))
    with (
        TemporaryDirectory(prefix="facauth-demo-") as folder,
        Store.open(Path(folder) / "facauth.sqlite3", create=True) as store,
    ):
        return [_tried(*step) for step in script(System.of(stages, store))]


Script = list[tuple[str, ExitCode, Callable[[], str]]]


def script(system: System) -> Script:
    """The steps, in order."""
    enrol, enter = partial(_register, system), partial(_sign_in, system)
    return [
        (
            "register Obama with photos of 2009 and 2010",
            ExitCode.OK,
            partial(enrol, "Barack Obama", "obama_2009.jpg", "obama_2010.jpg"),
        ),
        ("register Biden", ExitCode.OK, partial(enrol, "Joe Biden", "biden_2010.jpg")),
        ("Obama's photo of 2012 signs in", ExitCode.OK, partial(enter, "obama_2012.jpg")),
        ("... but not as Biden", ExitCode.NO_MATCH, partial(enter, "obama_2012.jpg", "Joe Biden")),
        ("a stranger", ExitCode.NO_MATCH, partial(enter, "collins.png")),
        ("no face", ExitCode.UNUSABLE_IMAGE, partial(enter, "no_face.png")),
        ("two faces", ExitCode.UNUSABLE_IMAGE, partial(enter, "two_faces.jpg")),
        (
            "Obama's face under another name",
            ExitCode.CONFLICT,
            partial(enrol, "Somebody Else", "obama_2012.jpg"),
        ),
        ("the enrolled photo itself", ExitCode.ATTACK, partial(enter, "obama_2010.jpg")),
        ("a photo of a screen", ExitCode.ATTACK, partial(enter, "simulated_recapture.jpg")),
        (
            "register what that screen shows",
            ExitCode.OK,
            partial(enrol, "Barack Obama", "obama_2012.jpg"),
        ),
        (
            "... and that screen as Obama",
            ExitCode.ATTACK,
            partial(enter, "simulated_recapture.jpg", "Barack Obama"),
        ),
    ]


def _register(system: System, name: str, *images: str) -> str:
    photos = [sample(image) for image in images]
    done = pipeline.register(system, PersonName.parse(name), photos, EnrolmentTerms(DEFAULT))
    return f"{done.person}, {done.photos} photos" if done.photos > 1 else done.person


def _sign_in(system: System, image: str, claimed: str | None = None) -> str:
    return pipeline.sign_in(system, sample(image), Terms.of(None, claimed, DEFAULT)).person


def _tried(title: str, expected: ExitCode, attempt: Callable[[], str]) -> Step:
    try:
        return Step(title, expected, ExitCode.OK, attempt())
    except FacauthError as refusal:
        return Step(title, expected, refusal.exit_code, refusal.reasons[0].message)
