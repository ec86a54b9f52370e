"""Liveness by the Silent-Face networks: a face before the camera, or a picture of one.

There are three verdicts. Outside of what the networks can judge, the verdict is "cannot judge",
neither "live" nor "attack".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from facauth.errors import Attack, Reason, UnusableImage
from facauth.networks import side_by_side
from facauth.settings import LIVENESS
from facauth.structs import Condition, Liveness, LiveVerdict

if TYPE_CHECKING:
    import cv2

    from facauth.networks import Networks
    from facauth.settings import LivenessLimits, SpoofPolicy
    from facauth.structs import Face, Pixels, Quality, Sighting, Subject

VIEW_PX = 80
# Two tails of three classes each, original and fine-tuned; of the three the others are attacks.
LIVE_CLASSES = (1, 4)
BY = (0.85, 1.0, 1.15)  # the scales around the one each network was trained with
SURE = 1e-7  # no tail is surer of a crop than this; NaN stays NaN


def live_score(pixels: Pixels, face: Face, networks: Networks) -> float:
    """P(live) in [0, 1]: the mean of the log-odds of all views and tails, as a probability."""
    near, far = side_by_side(
        lambda: live_log_odds(views(pixels, face, 2.7), networks.live_2_7),
        lambda: live_log_odds(views(pixels, face, 4.0), networks.live_4_0),
    )
    return 1 / (1 + math.exp(-(near + far) / 2))


def live_log_odds(crops: list[Pixels], network: cv2.dnn.Net) -> float:
    """Mean log-odds of P(live) over (80, 80, 3) RGB crops and both tails; the network takes BGR."""
    import cv2
    import numpy as np

    found = []  # one by one: a batch takes as long, and 5 MB more
    for crop in crops:
        network.setInput(cv2.dnn.blobFromImage(crop, swapRB=True))
        found.append(network.forward()[0, LIVE_CLASSES].astype(np.float64))
    live = np.clip(np.stack(found), SURE, 1 - SURE)
    return float(np.log(live / (1 - live)).mean())


def views(pixels: Pixels, face: Face, scale: float) -> list[Pixels]:
    """The crops one network judges: at three scales.

    Where the frame is too small for the larger ones they are the same crop, which counts once.
    """
    height, width = pixels.shape[:2]
    widest = min((width - 1) / face.box_px[2], (height - 1) / face.box_px[3])
    return [view(pixels, face, size) for size in sorted({min(scale * by, widest) for by in BY})]


def view(pixels: Pixels, face: Face, scale: float) -> Pixels:
    """(80, 80, 3): `scale` times the face box around its centre, moved to lie inside the frame.

    INTER_LINEAR as in training, though it aliases; INTER_AREA refuses more live faces.
    """
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    x, y, w, h = face.box_px
    left = _inside(x + w / 2 - w * scale / 2, w * scale, width)
    top = _inside(y + h / 2 - h * scale / 2, h * scale, height)
    crop = pixels[int(top) : int(top + h * scale) + 1, int(left) : int(left + w * scale) + 1]
    return np.asarray(cv2.resize(crop, (VIEW_PX, VIEW_PX)), dtype=np.uint8)


def _inside(start: float, length: float, limit: int) -> float:
    """`start` moved so that start + length stays within [0, limit - 1]."""
    return max(0.0, min(start, limit - 1 - length))


def context(pixels: Pixels, face: Face) -> float:
    """How many times the face box fits into the frame on its narrower side."""
    height, width = pixels.shape[:2]
    return float(min(width / face.box_px[2], height / face.box_px[3]))


def judge(
    sighting: Sighting, face: Face, quality: Quality, policy: SpoofPolicy, *, networks: Networks
) -> Liveness:
    """The verdict on one face; never refuses by itself."""
    seen = conditions(context(sighting.pixels, face), quality, LIVENESS)
    score = live_score(sighting.pixels, face, networks)
    reasons = unmet(seen)
    verdict = LiveVerdict.CANNOT_JUDGE
    if not reasons:
        verdict, reasons = verdict_on(score, policy)
    return Liveness(verdict, score, policy.min_live_score, policy.sure_live_score, seen, reasons)


def unmet(seen: tuple[Condition, ...]) -> tuple[Reason, ...]:
    """Why a photo cannot be judged; empty if it can."""
    return tuple(condition.unmet for condition in seen if not condition.met)


def require_judgeable(subject: Subject) -> None:
    """Raises UnusableImage if liveness cannot be judged; does not judge it."""
    around = context(subject.sighting.pixels, subject.face)
    reasons = unmet(conditions(around, subject.quality, LIVENESS))
    if reasons:
        raise UnusableImage(*reasons)


def verdict_on(score: float, policy: SpoofPolicy) -> tuple[LiveVerdict, tuple[Reason, ...]]:
    """The verdict on a live score where the conditions are met; NaN is an attack."""
    if score >= policy.min_live_score:
        return LiveVerdict.LIVE, ()
    if score >= policy.min_unsure_score:
        return LiveVerdict.CANNOT_JUDGE, (UNSURE,)
    return LiveVerdict.ATTACK, (ATTACK_REASON,)


UNSURE = Reason(
    "liveness.doubt",
    "the face is not surely live",
    "take a new photo in other light",
)
ATTACK_REASON = Reason(
    "liveness.presentation_attack",
    "this looks like a photo of a screen or a print",
    "take a photo of the face itself",
)


UNMET = {
    "context": (
        "too little is seen around the face",
        "hold the camera further away and do not crop",
    ),
    "inter_eye_distance_px": ("the face is too small", "come closer"),
    "sharpness": ("the face is blurred", "hold still, wipe the lens, focus"),
    "noise": ("the photo is noisy", "get more light"),
    "chroma": ("the photo has no colour", "give a colour photo"),
}


def conditions(context: float, quality: Quality, limits: LivenessLimits) -> tuple[Condition, ...]:
    """What the networks need to be able to judge a photo."""
    eyes_px = quality.inter_eye_distance_px
    return (
        _condition("context", context, limits.min_context),
        _condition("inter_eye_distance_px", eyes_px, limits.min_inter_eye_distance_px),
        _condition("sharpness", quality.sharpness, limits.min_sharpness),
        _condition("noise", quality.noise, limits.max_noise, at_least=False),
        _condition("chroma", quality.chroma, limits.min_chroma),
    )


def _condition(name: str, value: float, limit: float, *, at_least: bool = True) -> Condition:
    message, advice = UNMET[name]
    code = f"liveness.{name.removesuffix('_px')}"
    unmet = Reason(code, f"liveness cannot be judged: {message}", advice)
    return Condition(name, value, limit, at_least, unmet)


def require_live(liveness: Liveness) -> None:
    """Raises Attack or UnusableImage; returns only for the verdict "live"."""
    if liveness.verdict is LiveVerdict.ATTACK:
        raise Attack(*liveness.reasons)
    if liveness.verdict is not LiveVerdict.LIVE:
        raise UnusableImage(*liveness.reasons)
