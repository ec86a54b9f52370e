"""spoof-check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.bound import LIVENESS, policy_of, stages, unlocked
from facauth.cli.options import CAMERA, Call, Device, Explain, Jobs, Policy, UseCamera, device_of
from facauth.cli.output import answering, progress
from facauth.cli.tables import on_terminal, table
from facauth.cli.wording import not_compared
from facauth.envelope import liveness_fields, looked_at, quality_fields, replay_fields
from facauth.errors import ExitCode, Reason, UnusableImage, UsageProblem, image_name
from facauth.evidence import evidence_of
from facauth.explain import explain, require_picture
from facauth.records import PersonName

if TYPE_CHECKING:
    from facauth.admin import CaptureSignature
    from facauth.envelope import Answer
    from facauth.settings import SpoofPolicy
    from facauth.structs import Liveness, LiveVerdict, Quality, Replay
    from facauth.system import Stages

VERDICT_CODES = {  # of structs.LiveVerdict
    "live": ExitCode.OK,
    "attack": ExitCode.ATTACK,
    "cannot_judge": ExitCode.UNUSABLE_IMAGE,
}
# The worst of several images decides. From best to worst: live, a photo that cannot be judged, a
# path that does not exist, an attack.
SEVERITY = (ExitCode.OK, ExitCode.UNUSABLE_IMAGE, ExitCode.USAGE, ExitCode.ATTACK)


Photos = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Photos, or folders of them.", show_default=False),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="NAME",
        help="Also compare with this person's enrolled photos.",
        show_default=False,
    ),
]


def spoof_check(
    call: Call,
    images: Photos = None,
    camera: UseCamera = False,
    device: Device = None,
    against: Against = None,
    policy: Policy = None,
    jobs: Jobs = None,
    explanation: Explain = None,
) -> None:
    """Tell live faces from photos of a screen or a print.

    With --camera it records five seconds.
    The exit code is that of the worst image: 3 attack, 2 not a file, 4 cannot judge, 0 live.

    Example: facauth spoof-check photo.jpg --against "Ada Lovelace"
    """
    from facauth.batch import in_order, jobs_for, photos_in
    from facauth.cli.camera import recorded

    with answering(call, "results") as answer:
        chosen = policy_of(policy)
        filming = device_of(images, camera=camera, device=device)
        photos = photos_in(images or []) if filming is None else [CAMERA]
        require_explainable(explanation, photos, against)
        enrolled = None if against is None else signatures(call, answer, against)
        with (
            recorded(call, filming) as seeing,
            progress(len(photos), wanted=call.shows_progress) as advance,
        ):
            check = partial(Check, chosen, enrolled, explanation, seeing)
            results = []
            for result in in_order(check, photos, jobs_for(photos, jobs)):
                results.append(result)
                advance()
        summarise(answer, results)


def require_explainable(target: Path | None, photos: Sequence[str], against: str | None) -> None:
    """Raises UsageProblem unless there is one comparison to draw, and a file to draw it in."""
    if target is not None and (len(photos) != 1 or against is None):
        raise UsageProblem(
            Reason("usage", "--explain draws one comparison", "give one image and --against NAME")
        )
    require_picture(target, photos)


def signatures(call: Call, answer: Answer, against: str) -> list[CaptureSignature]:
    """The replay signatures of a person's photos; a note if some have none."""
    from facauth import admin

    with unlocked(call, answer) as store:
        name = PersonName.parse(against)
        enrolled = admin.signatures(store, name)
        unsigned, known_as = admin.unsigned(store, name), admin.known_as(store, name)
        older = sum(signature.aligned is None for signature in enrolled)
        answer.notes += not_compared(known_as, unsigned, len(enrolled), older)
    return enrolled


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result for one image; it can be sent to another process."""

    image: str  # for display
    verdict: LiveVerdict
    exit_code: ExitCode
    liveness: Liveness | None  # None, as the next two, without a usable face
    replay: Replay | None
    quality: Quality | None
    reasons: tuple[Reason, ...]
    notes: list[str]
    elapsed_ms: dict[str, float]

    def fields(self) -> dict[str, Any]:
        """As one of the JSON object's `results`."""
        return {
            "image": self.image,
            "verdict": str(self.verdict),
            "exit_code": int(self.exit_code),
            "liveness": liveness_fields(self.liveness),
            "replay": replay_fields(self.replay),
            "quality": quality_fields(self.quality),
            "reasons": [asdict(reason) for reason in self.reasons],
        }


class Check:
    """Checks images, with networks that are loaded once."""

    def __init__(
        self,
        policy: SpoofPolicy,
        enrolled: Sequence[CaptureSignature] | None,
        explanation: Path | None,
        seeing: Callable[[Stages], Stages] | None = None,  # of the camera; None: files
    ) -> None:
        self._stages = stages(*LIVENESS)
        if seeing is not None:
            self._stages = seeing(self._stages)
        self._policy, self._enrolled = policy, enrolled
        self._explanation = explanation

    def __call__(self, image: str) -> ImageResult:
        """The result for one image; without a usable face it cannot be judged."""
        from facauth import pipeline
        from facauth.structs import LiveVerdict

        try:
            spoof = pipeline.spoof_check(self._stages, image, self._policy, self._enrolled)
            found, verdict = spoof.evidence, spoof.verdict
            reasons = spoof.refusal.reasons if spoof.refusal else ()
            code = VERDICT_CODES[verdict]
        except (UsageProblem, UnusableImage) as error:
            found, verdict = evidence_of(error)[-1], LiveVerdict.CANNOT_JUDGE
            code, reasons = error.exit_code, error.reasons
        notes = looked_at(found)
        if self._explanation:
            notes.append(explain(self._explanation, found, self._enrolled or ()))
        return ImageResult(
            image_name(image),
            verdict,
            code,
            found.liveness,
            found.replay,
            found.quality,
            reasons,
            notes,
            found.elapsed_ms,
        )


def summarise(answer: Answer, results: Sequence[ImageResult]) -> None:
    """The answer is that of the worst image."""
    worst = max(results, key=lambda result: SEVERITY.index(result.exit_code))
    answer.verdict, answer.exit_code = str(worst.verdict), worst.exit_code
    fields = worst.fields()
    answer.more |= {name: fields[name] for name in ("liveness", "replay", "quality", "reasons")}
    answer.more["elapsed_ms"] = {
        stage: round(ms, 1) for stage, ms in sum_of(result.elapsed_ms for result in results).items()
    }
    answer.more["results"] = [result.fields() for result in results]
    answer.lines += lines(results)
    for result in results:
        whose = f"{result.image}: " if len(results) > 1 else ""
        answer.notes += [whose + note for note in result.notes]


def lines(results: Sequence[ImageResult]) -> list[str]:
    """A table on a terminal, a line per image elsewhere."""
    rows = [
        (
            result.image,
            str(result.verdict).replace("_", " "),
            "; ".join(reason.message for reason in result.reasons),
        )
        for result in results
    ]
    if on_terminal():
        return [table(("Image", "Verdict", "Why"), rows)]
    return [f"{image}: {verdict}{f' ({why})' if why else ''}" for image, verdict, why in rows]


def sum_of(times: Iterable[dict[str, float]]) -> dict[str, float]:
    """The total of each stage."""
    total: dict[str, float] = {}
    for stages_ms in times:
        for stage, ms in stages_ms.items():
            total[stage] = total.get(stage, 0.0) + ms
    return total
