"""The frozen values that pass between stages; each is checked once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from facauth.errors import Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.records import Consent
    from facauth.settings import SpoofPolicy

    Pixels = NDArray[np.uint8]  # (height, width, 3), RGB, 0-255, upright


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face, in the pixels of the photo it was found in.

    box_px: x, y of the top left corner, width, height; may reach over the frame.
    landmarks_px: (5, 2), x right, y down; in the order eye, eye, nose, mouth corner, mouth
        corner, each pair from the image's left to its right.
    detection_score: in [0, 1], higher is more face-like.
    """

    box_px: tuple[float, float, float, float]
    landmarks_px: NDArray[np.float32]
    detection_score: float


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A photo turned until faces were found: its pixels, the faces, and how far it was turned."""

    pixels: Pixels
    faces: tuple[Face, ...]
    turned_deg: int  # 0, 90, 180 or 270, counter-clockwise


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one face, named after OFIQ / ISO/IEC 29794-5 where it has a name.

    Only numbers: judging them against limits is `require_quality`'s work.
    """

    inter_eye_distance_px: float  # between the eye centres, in photo pixels
    sharpness: float  # deviation of the Laplacian over that of the luminance; higher is sharper
    luminance_mean: float  # of the face, in [0, 1]
    under_exposure: float  # share of face pixels in the darkest tenth, in [0, 1]
    over_exposure: float  # share of face pixels in the brightest 3 %, in [0, 1]
    noise: float  # standard deviation in grey levels, estimated; higher is noisier
    chroma: float  # mean of max - min over the channels, 0-255; 0 is grey
    dynamic_range_bits: float  # entropy of the face's luminance histogram, in [0, 8]
    head_pose_yaw_deg: float  # positive: the face looks to the image's right
    head_pose_pitch_deg: float  # positive: up; coarse, from five points
    head_pose_roll_deg: float  # positive: clockwise
    face_inside: float  # share of the face box inside the frame, in [0, 1]
    centrality: float  # 1 in the middle of the frame, 0 in a corner
    faces: int  # how many faces the photo shows


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """The face that a photo is about, with its photo and its measures."""

    sighting: Sighting
    face: Face
    quality: Quality


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face looks in one frame, and how near it is."""

    at_s: float  # since the first frame
    yaw_deg: float  # positive: to the image's right; coarse, see Quality
    nose_drop: float  # of the nose below the eyes, in eye distances; less when looking up
    size_px: float  # of the face box: the root of its area


class Basis(StrEnum):
    """On what a sign-in rests, from weak to strong."""

    STILL = "still"  # one photo
    CLIP = "clip"  # several frames, which could have been made at any time
    CHALLENGE = "challenge"  # frames that answer a challenge


class LiveVerdict(StrEnum):
    """Three verdicts: "cannot judge" is neither of the others."""

    LIVE = "live"
    ATTACK = "attack"
    CANNOT_JUDGE = "cannot_judge"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that a photo must meet before its liveness can be judged."""

    name: str  # "context", or a measure of Quality
    value: float
    limit: float
    at_least: bool  # the value must be at or above the limit; otherwise at or below it
    unmet: Reason  # why liveness cannot be judged without it

    @property
    def met(self) -> bool:
        """Whether the photo meets it; NaN does not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Liveness:
    """The verdict of the liveness networks on one face, with the conditions of judging."""

    verdict: LiveVerdict
    live_score: float  # P(live) in [0, 1]; higher is more alive
    min_live_score: float  # live at or above it
    sure_live_score: float  # live beyond doubt at or above it
    conditions: tuple[Condition, ...]  # all of them, met or not
    reasons: tuple[Reason, ...]  # empty when live

    @property
    def sure(self) -> bool:
        """Whether there is no doubt that the face is live; NaN is a doubt."""
        return self.verdict is LiveVerdict.LIVE and self.live_score >= self.sure_live_score


class ReplayVerdict(StrEnum):
    """From harmless to grave; only ENROLLED_PICTURE is refused by itself."""

    NOT_COMPARED = "not_compared"  # no signature is stored
    NEW = "new"
    SAME_SITTING = "same_sitting"  # the same place and hour, or a picture of the enrolled photo
    ENROLLED_PICTURE = "enrolled_picture"


@dataclass(frozen=True, slots=True)
class Replay:
    """The replay verdict on a probe, with the comparison that decided."""

    verdict: ReplayVerdict
    compared: int  # with how many stored signatures
    part: str | None  # "frame" or "face": whose numbers follow; None where nothing was compared
    pairs: int  # features that look alike
    inliers: int  # of them, those that lie on one plane
    displacement: float | None  # of the corners on that plane, mean, in diagonals; None: no plane
    correlation: float | None  # of the grey pictures on that plane, in [-1, 1]; None: no plane
    mirrored: bool  # the enrolled picture's mirror image was compared
    reasons: tuple[Reason, ...]  # empty for "new" and "not_compared"
    older: int = 0  # of those compared, without an aligned face: edits are detected less reliably
    itself: bool = False  # the same pixels


NOTHING_COMPARED = Replay(ReplayVerdict.NOT_COMPARED, 0, None, 0, 0, None, None, False, ())


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A face as a unit vector, and its contract. Only encodings of one contract are compared."""

    contract: str
    vector: NDArray[np.float32]  # (256,), unit length

    def __post_init__(self) -> None:
        """Raise ValueError unless the vector has unit length (NaN has not), and freeze it."""
        import numpy as np

        norm = float(np.linalg.norm(self.vector))
        if self.vector.shape != (256,) or not abs(norm - 1.0) < 1e-3:
            raise ValueError("an encoding is 256 numbers of unit length")
        self.vector.setflags(write=False)

    @classmethod
    def of(cls, contract: str, stored: bytes) -> Self:
        """From `as_bytes`. Raises ValueError for anything else."""
        import numpy as np

        with np.errstate(all="ignore"):
            return cls(contract, np.frombuffer(stored, "<f4").astype(np.float32))

    def as_bytes(self) -> bytes:
        """As it is stored: 256 float32, little-endian."""
        return self.vector.astype("<f4").tobytes()


@dataclass(frozen=True, slots=True)
class Match:
    """The best person for a probe, with the numbers of the decision."""

    person: str
    similarity: float  # in [-1, 1]; higher is more alike
    min_similarity: float  # a match at or above it
    fmr: float  # false match rate of this one comparison, for which min_similarity was set
    margin: float | None  # similarity - min_similarity of this person, less the runner-up's
    compared: int  # with how many people
    photos: int = 1  # templates of the person


@dataclass(frozen=True, slots=True)
class Terms:
    """The parameters of a sign-in."""

    rate: float  # share of strangers that may pass: FMR with a claimed name, FPIR without
    policy: SpoofPolicy
    claimed: str | None = None  # compare with this person only
    learn: bool = False  # keep the photo as one of the person's if nothing is in doubt
    challenge: str | None = None  # the id of the challenge that the clip answers

    @classmethod
    def of(
        cls,
        rate: float | None,
        claimed: str | None,
        policy: SpoofPolicy,
        *,
        learn: bool = False,
        challenge: str | None = None,
    ) -> Self:
        """With the default rate where none is given; raises UsageProblem for an impossible one."""
        from facauth.settings import asked_rate

        asked = asked_rate(rate, claimed=claimed is not None)
        return cls(asked, policy, claimed, learn, challenge)


@dataclass(frozen=True, slots=True)
class EnrolmentTerms:
    """The parameters of an enrolment."""

    policy: SpoofPolicy
    replace: bool = False  # delete the photos enrolled so far
    allow_duplicate: bool = False  # accept a face that is enrolled under another name
    accept_spoof: bool = False  # skip the liveness check
    keep_signatures: bool = True
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """The result of sign-in --learn."""

    photos: int | None  # of the person, with the learned one; None: nothing was learned
    reasons: tuple[Reason, ...]  # why not
