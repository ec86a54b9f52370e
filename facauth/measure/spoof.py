"""Presentation attack detection on a folder of photos, in the words of ISO/IEC 30107-3.

APCER: share of the attacks of one species (kind of attack) that are called live, of those judged.
BPCER: share of the live photos that are called attacks, of those judged.
Unsure: of those judged, neither: the score is between the two thresholds, and nobody gets in.
APNRR, BPNRR: share of attacks, of live photos, not judged: no face, several, or one too poor.
IAPAR: share of all attacks of one species that sign in, the whole chain with its match included.
Files that are no images count in none of them.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth import pipeline
from facauth.errors import ExitCode, FacauthError, Reason, UnusableImage, UsageProblem, shown
from facauth.measure import gates
from facauth.measure.rates import Rate, rate, worst
from facauth.networks import Checked, Networks
from facauth.places import Place
from facauth.spoof.liveness import UNSURE
from facauth.store.keys import KeyAccess
from facauth.store.store import Store
from facauth.structs import LiveVerdict, Terms
from facauth.system import System

if TYPE_CHECKING:
    from facauth.measure.folders import Presentation
    from facauth.settings import SpoofPolicy
    from facauth.system import Stages


@dataclass(frozen=True, slots=True)
class Seen:
    """What facauth said of one photo."""

    verdict: LiveVerdict | None  # None where there was no face to judge
    live_score: float  # NaN without a verdict
    reasons: tuple[Reason, ...]
    signed_in: bool | None  # None where it was not tried

    @property
    def judged(self) -> bool:
        """Whether the score alone decided: live, attack or unsure."""
        return self.verdict in (LiveVerdict.LIVE, LiveVerdict.ATTACK) or self.unsure

    @property
    def unsure(self) -> bool:
        """Whether it was judged, and is neither live nor an attack."""
        return [reason.code for reason in self.reasons] == [UNSURE.code]

    @property
    def is_image(self) -> bool:
        """Whether the file could be read and decoded."""
        return not any(reason.code.startswith("image.") for reason in self.reasons)


def at_threshold(policy: SpoofPolicy, threshold: float | None) -> SpoofPolicy:
    """The policy of a sign-in, with one threshold and nothing unsure if one is given."""
    if threshold is None:
        return policy
    return policy._replace(min_unsure_score=threshold, min_live_score=threshold)


def require_enrolled(place: Place, keys: KeyAccess) -> None:
    """Raises UsageProblem for a store in which nobody could sign in."""
    with Store.open(place, keys) as store:
        if not store.encodings(Networks(Checked(None)).contract):
            message = f"nobody with a current photo is enrolled in {shown(place)}"
            advice = "register there whom the attacks show"
            raise UsageProblem(Reason("evaluate.nobody_enrolled", message, advice))


class Look:
    """Judges one photo after the other; attacks also try to sign in, if there is a store."""

    def __init__(
        self,
        stages: Callable[[], Stages],
        policy: SpoofPolicy,
        store: Place | None,
        keys: KeyAccess,
    ) -> None:
        self._stages, self._policy = stages(), policy
        self._terms = Terms.of(None, None, policy)
        self._people = None if store is None else copy_of(store, keys)
        if self._people is not None:
            weakref.finalize(self, self._people.close)

    def __call__(self, photo: Presentation) -> Seen:
        """What facauth says of it; raises SetupProblem alone."""
        people = None if photo.species is None else self._people
        try:
            checked = pipeline.spoof_check(self._stages, photo.path, self._policy)
        except (UsageProblem, UnusableImage) as error:
            return Seen(None, math.nan, error.reasons, None if people is None else False)
        signed_in = None if people is None else self._signs_in(photo.path, people)
        found = checked.liveness
        return Seen(found.verdict, found.live_score, found.reasons, signed_in)

    def _signs_in(self, image: str, people: Store) -> bool:
        """Whether a photo passes every stage, as anybody."""
        try:
            pipeline.sign_in(System.of(self._stages, people), image, self._terms)
        except FacauthError as refusal:
            if refusal.exit_code in (ExitCode.SETUP, ExitCode.INTERNAL):
                raise
            return False
        return True


def copy_of(place: Place, keys: KeyAccess) -> Store:
    """The store's people in memory, without attempt limits; the store is not written to."""
    with Store.open(place, keys) as store:
        return store.in_memory()


# ---- rates


@dataclass(frozen=True, slots=True)
class Row:
    """The rates of some photos that are all attacks or all live."""

    name: str
    photos: int
    wrong: Rate  # APCER or BPCER
    unsure: Rate
    silent: Rate  # APNRR or BPNRR
    accepted: Rate | None  # IAPAR; None where signing in was not tried
    unjudged: dict[str, int]  # reason code -> photos


@dataclass(frozen=True, slots=True)
class SpoofEvaluation:
    """Every rate of one folder."""

    live: Row  # all live photos
    live_sources: tuple[Row, ...]  # where there are several
    live_groups: tuple[Row, ...]  # persons
    species: tuple[Row, ...]
    attack_groups: tuple[Row, ...]  # persons or set-ups of each species
    errors: tuple[tuple[Presentation, Seen], ...]
    unreadable: tuple[tuple[Presentation, Seen], ...]

    @property
    def worst_species(self) -> str | None:
        """The one with the highest APCER; None where no attack was judged."""
        return worst({row.name: row.wrong for row in self.species})


Trial = tuple["Presentation", Seen]


def evaluate(trials: Iterable[Trial]) -> SpoofEvaluation:
    """The rates of what was seen."""
    every = list(trials)
    images = [trial for trial in every if trial[1].is_image]
    live = [trial for trial in images if trial[0].species is None]
    attacks = [trial for trial in images if trial[0].species is not None]
    sources = _rows(live, lambda photo: photo.source)
    return SpoofEvaluation(
        live=_row("all live photos", live),
        live_sources=sources if len(sources) > 1 else (),
        live_groups=_rows(live, lambda photo: photo.group),
        species=_rows(attacks, lambda photo: photo.species or ""),
        attack_groups=_rows(attacks, lambda photo: photo.group),
        errors=tuple(trial for trial in images if _is_error(*trial)),
        unreadable=tuple(trial for trial in every if not trial[1].is_image),
    )


def missed(
    found: SpoofEvaluation, max_apcer: float | None, max_bpcer: float | None
) -> list[Reason]:
    """Which limits are missed: by the worst species, and by all live photos together."""
    apcer = {row.name: row.wrong for row in found.species}
    bpcer = {found.live.name: found.live.wrong}
    return [
        *gates.missed("evaluate.apcer", "APCER", apcer, max_apcer),
        *gates.missed("evaluate.bpcer", "BPCER", bpcer, max_bpcer),
    ]


def _rows(trials: Sequence[Trial], key: Callable[[Presentation], str]) -> tuple[Row, ...]:
    grouped: dict[str, list[Trial]] = {}
    for photo, seen in trials:
        grouped.setdefault(key(photo), []).append((photo, seen))
    return tuple(_row(name, members) for name, members in sorted(grouped.items()))


def _row(name: str, trials: Sequence[Trial]) -> Row:
    signed_in = [(photo.group, seen.signed_in) for photo, seen in trials]
    tried = [(group, entered) for group, entered in signed_in if entered is not None]
    silent = [seen for _, seen in trials if not seen.judged]
    return Row(
        name=name,
        photos=len(trials),
        wrong=rate((trial[0].group, _is_error(*trial)) for trial in trials if trial[1].judged),
        unsure=rate((photo.group, seen.unsure) for photo, seen in trials if seen.judged),
        silent=rate((photo.group, not seen.judged) for photo, seen in trials),
        accepted=rate(tried) if tried else None,
        unjudged=dict(sorted(Counter(_codes(silent)).items())),
    )


def _is_error(photo: Presentation, seen: Seen) -> bool:
    wrong = LiveVerdict.ATTACK if photo.species is None else LiveVerdict.LIVE
    return seen.verdict is wrong


def _codes(seen: Iterable[Seen]) -> Iterator[str]:
    return (reason.code for each in seen for reason in each.reasons)
