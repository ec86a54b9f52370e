"""A tour on the sample pictures: what facauth should say, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from facauth import pipeline
from facauth.cli.samples import sample
from facauth.errors import ExitCode, FacauthError
from facauth.networks import Checked, Networks
from facauth.records.store import Store
from facauth.stages import Stages, bind
from facauth.structs import PersonName
from facauth.trace import Trace


@dataclass(frozen=True, slots=True)
class Step:
    """One thing tried: the exit code it should have, the one it had, and what was said."""

    title: str
    expected: ExitCode
    got: ExitCode
    said: str

    @property
    def as_expected(self) -> bool:
        """Whether the demo shows what it promises."""
        return self.got == self.expected


def run() -> list[Step]:
    """Every step, in a store that is deleted afterwards; nothing else is written."""
    stages = bind(Networks(Checked(None)), Trace())
    with (
        TemporaryDirectory(prefix="facauth-demo-") as folder,
        Store.open(Path(folder) / "facauth.sqlite3", create=True) as store,
    ):
        return [_tried(*step) for step in script(stages, store)]


Script = list[tuple[str, ExitCode, Callable[[], str]]]


def script(stages: Stages, store: Store) -> Script:
    """What is tried, in this order."""
    enrol = partial(_register, stages, store)
    enter = partial(_sign_in, stages, store)
    unchecked = partial(enter, skip_liveness=True)
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
            "... and that photo of it as Obama, its liveness not checked",
            ExitCode.ATTACK,
            partial(unchecked, "simulated_recapture.jpg", "Barack Obama"),
        ),
        ("a try after five failures", ExitCode.LOCKED_OUT, partial(unchecked, "obama_2012.jpg")),
    ]


def _register(stages: Stages, store: Store, name: str, *images: str) -> str:
    person = PersonName.parse(name)
    _, photos = pipeline.register(stages, store, person, [sample(image) for image in images])
    return f"{person.text}, {photos} photos" if photos > 1 else person.text


def _sign_in(
    stages: Stages,
    store: Store,
    image: str,
    claimed: str | None = None,
    *,
    skip_liveness: bool = False,
) -> str:
    photo = sample(image)
    return pipeline.sign_in(stages, store, photo, claimed, skip_liveness=skip_liveness).person


def _tried(title: str, expected: ExitCode, attempt: Callable[[], str]) -> Step:
    try:
        return Step(title, expected, ExitCode.OK, attempt())
    except FacauthError as refusal:
        return Step(title, expected, refusal.exit_code, refusal.reasons[0].message)
