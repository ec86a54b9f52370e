"""Every number that can change a decision, with unit, direction and source.

"measurements" is docs/measurements.md, whose sections show what a number rests on.
"""

from __future__ import annotations

from typing import NamedTuple

from facauth.errors import Reason, UsageProblem


class ImageLimits(NamedTuple):
    """Limits of image files, checked before decoding."""

    max_bytes: int = 64 * 2**20  # larger than any camera's JPEG or HEIC
    max_avif_bytes: int = (
        8 * 2**20
    )  # Pillow takes .4 s a MB of EXIF; photos of 12 megapixels have 3
    max_pixels: int = 64_000_000  # 192 MB as RGB; a phone's 48 megapixels pass, bombs do not
    max_side_px: int = 32_766  # OpenCV warps nothing longer; 1 x 64,000,000 pixels take 1.6 GB
    # How a file is cut up, see container.py: beyond any photo, and still done in a second or so.
    max_reads: int = 500_000  # by the decoder; a photo needs a few thousand
    max_repeats: int = 64  # of one kind of metadata
    max_values: int = 2**17  # in TIFF directories; half of it are max_pixels in tiles of 64 x 64
    max_scans: int = 20  # over max_pixels, .075 s each; progressive JPEG has 10, CMYK 18
    max_profile_bytes: int = 4 * 2**20  # colour profiles of presses have 3 MB; more is ignored


class DetectionLimits(NamedTuple):
    """YuNet's working point."""

    max_side_px: int = 640  # more finds nothing more (measured on 25 full-frame photos)
    min_score: float = 0.6  # in [0, 1]; a face at or above it
    min_score_turned: float = 0.8  # in a photo turned to find one: a cat on its head scores .62
    # Upright at or above it without a look at the other ways up: of 1,072 photos 83 % score so,
    # and none of them does when turned (highest .915).
    upright_score: float = 0.92
    try_face_px: float = 80.0  # face size at which the other ways up are tried
    nms_iou: float = 0.3  # boxes that overlap more are one face
    # A second look at each face of several, scaled to both sizes: one of them scores so much. Of
    # 1,105 second faces of LFW 106 do not: blur, foliage, a dog, statues, half of a face.
    look_face_px: tuple[float, ...] = (64.0, 112.0)
    min_score_again: float = 0.7
    max_looks: int = 8  # further ones, smaller than these, count as faces
    # The subject is so many times as prominent as any other face (area of the box, by up to a third
    # less away from the middle), or the other has at most this share of its sharpness.
    min_prominence_ratio: float = 3.0
    max_blurred_ratio: float = 0.25


class QualityLimits(NamedTuple):
    """A face passes a `min_` at or above it and a `max_` at or below it; see structs.Quality."""

    min_inter_eye_distance_px: float
    min_sharpness: float
    max_noise: float
    min_luminance_mean: float
    max_under_exposure: float
    max_over_exposure: float
    min_dynamic_range_bits: float
    max_head_pose_deg: float
    min_face_inside: float


class LivenessLimits(NamedTuple):
    """The conditions outside of which the liveness networks cannot judge.

    Size, sharpness and noise are those below which sign-in refuses anyway: the fine-tuned layers
    judge poorer photos than the original ones could (measurements, Liveness).
    """

    min_context: float = 1.3  # frame over face box, narrower side; headshots and selfies have it
    min_inter_eye_distance_px: float = 16.0  # in photo pixels
    min_sharpness: float = 0.07  # as in Quality
    max_noise: float = 8.0  # grey levels, as in Quality
    min_chroma: float = 5.0  # as in Quality, 0-255; nearly every grey photo looks like an attack


class SpoofPolicy(NamedTuple):
    """Which live scores pass, and whether a photo may leave one doubt; see spoof.verdict."""

    name: str
    min_unsure_score: float  # P(live) in [0, 1]; below it an attack, from it on it cannot be judged
    min_live_score: float  # in [0, 1]; from it on live
    sure_live_score: float  # in [0, 1]; from min_live_score up to it live, but in doubt
    accept_doubt: bool  # a single doubt passes; two never do
    challenge_required: bool = False  # a photo, or a clip without a challenge, is refused


class ClipLimits(NamedTuple):
    """Limits of clips, and how the frames decide together (measurements, Clips)."""

    max_bytes: int = 64 * 2**20
    max_s: float = 30.0  # later frames are not looked at
    max_pixels: int = 9_000_000  # of a frame; 4,096 x 2,160 pass
    max_decode_s: float = 20.0  # then the process that decodes is ended
    max_memory_mb: int = 2048  # address space of that process
    frames_a_second: float = 10.0  # others are skipped
    max_side_px: int = 960  # larger frames are scaled down
    track_side_px: int = 320  # at which the face is followed through all frames
    judged_frames: int = 12  # one of each of as many parts of the clip
    min_judged_frames: int = 9  # so many of them show the subject
    min_usable_frames: int = 4  # so many of them could be judged alone
    min_length_s: float = 4.5  # from the first face to the last; screens pass shorter clips
    # The lowest third of the frames: mean of the log-odds, so far below the policy's score at most.
    max_lowest_below: float = 0.81  # .4 for a score of .6; live clips -.06 and more, attacks -.57
    max_replays: int = 2  # frames that show an enrolled picture; one sitting has up to 10 of 144
    # In decision.space: the weakest link of a tree that joins all judged frames. Clips of one
    # person .31 and more; 92 % of 922 clips of two people less.
    min_link: float = 0.3


class ChallengeRules(NamedTuple):
    """The prompts of a challenge, and when a movement counts as made (measurements, Challenge)."""

    start_s: tuple[float, float] = (0.8, 1.4)  # the first prompt comes within
    window_s: float = 2.0  # for a movement; a turn takes .3 to .7 s
    pause_s: tuple[float, float] = (0.7, 1.1)  # until the next prompt
    grace_s: float = 0.5  # of the pause, to look back
    end_s: float = 0.2  # of the clip, after the last window
    lifetime_s: float = 120.0  # from the drawing to the sign-in
    max_drawn: int = 1000  # at once in a store; the oldest goes first
    min_start_poses: int = 4  # before the first prompt
    max_gap_s: float = 0.5  # between two frames that show the face; live faces .3 at most
    held_s: float = 0.25  # a movement is made in every frame for so long
    # Against the pose before the first prompt; nose_drop and size as ratios.
    min_turn_deg: float = 20.0  # yaw, from five points; real turns 29 to 58
    max_up_nose_drop: float = 0.86  # real looks up .72 to .82, people at rest .92 and more
    min_nearer: float = 1.25  # people at rest 1.07 at most
    max_rest_deg: float = 12.0  # when a prompt comes
    min_rest_nose_drop: float = 0.9
    max_rest_nearer: float = 1.15


class ReplayLimits(NamedTuple):
    """When a photo is the enrolled picture again; see plane.Plane and replay.verdict_on.

    benchmarks/replay.py prints what they do, on photos they were set with and on held out ones.
    "Other photos" are of the same person, in LFW.
    """

    # The picture is shown where enough features lie on one plane, and either nearly all that look
    # alike do, or the grey pictures agree there as well.
    min_inliers: int = 20  # other sessions of a webcam 7; another photo of one event 60
    min_inlier_ratio: float = 0.85  # simulated screens .88 in one part; other photos .83
    min_inliers_alike: int = 7  # real recaptures 7 and more
    min_agreement: float = 1.65  # inlier ratio + correlation; recaptures 1.67, other photos 1.63
    min_alike: float = 0.94  # correlation that is enough alone; real prints .95, other photos .91
    # Yet it may be the same sitting: the frame hardly moved, or the face left its plane.
    max_still_displacement: float = 0.04  # in diagonals; a fixed camera .03, a framed screen .07
    max_still_lift: float = 0.05  # brightness, of the full range; frames .03, recaptures .06 to .10
    max_still_sharper: float = 1.3  # detail, or its inverse; frames 1.13, real prints 2.4 to 7.7
    max_depth: float = 0.15  # correlation that a face loses on its frame's plane; pictures .03
    min_copy_detail: float = 0.97  # of frame and face; copies .973, most frames of a video less
    # An editor's pixels, wherever they went; and many that look alike on no plane are never new.
    min_same_detail: float = 0.9875  # most edits more, other photos of one press event .967
    min_moved_detail: float = 0.955  # enough where nothing of the room is left; other photos .93
    max_room_pairs: int = 20  # so few features of the frame that look alike are nothing left
    min_pairs: int = 80  # of frame and face; other photos 76


class AttemptLimits(NamedTuple):
    """Failures in a row before a delay, and before a stop: SP 800-63B-4, 3.2.3.3."""

    max_failures: int  # from here on each further try has to wait
    stop_failures: int  # from here on there is none until it is unlocked
    first_delay_s: float = 30.0  # doubles with each further failure
    max_delay_s: float = 3600.0
    # So long after a store's first enrolment an enrolled file itself counts as one failure and not
    # as an attack: people try facauth with the photo that they have just enrolled.
    trying_s: float = 3600.0


class Rates(NamedTuple):
    """The error rates that thresholds are made from; lower is stricter."""

    verify_fmr: float = 1e-4  # sign-in --as: a stranger passes for the named person (SP 800-63B-4)
    identify_fpir: float = 1e-3  # sign-in: a stranger passes for anybody in the store
    same_person_fmr: float = 1e-3  # register: photos of one call, or of an enrolled person
    disagreeing_fmr: float = 1e-2  # below it a photo does not show the person of the other photos
    duplicate_fmr: float = 1e-5  # register: the face is enrolled under another name
    max_asked: float = 0.1  # of a sign-in; higher ones were not measured


class LearningRules(NamedTuple):
    """The photos that sign-in --learn may add to a person, and how long they stay."""

    max_templates: int = 2  # with one registered photo the three that compare well (measurements)
    max_days: int = 365  # faces change, and a person who signs in has newer learned photos
    stricter: float = 100.0  # the sign-in's false match rate (verify_fmr at most) over learning's


class CalibrationSource(NamedTuple):
    """The photos that false match rates were measured on, and the threshold of the usual rate."""

    name: str
    source: str
    people: int
    photos: int
    min_similarity: float  # at verify_fmr, with one enrolment photo
    fmr_interval: tuple[float, float]  # of the rate that it really has, 95 %


IMAGE = ImageLimits()
DETECTION = DetectionLimits()
LIVENESS = LivenessLimits()
CLIP = ClipLimits()
CHALLENGE = ChallengeRules()
# Sign-in is judged on what cameras and phones take. Of set-ups that no training saw, at .3, .6, .7:
# 15, 8, 5 % of 170 screens pass, and 3, 13, 24 % of 215 live photos are refused (measurements,
# Liveness); of press photos 2, 9, 12 %. Register accepts those down to .1, as it does 25 % of the
# screens: it marks them, and an operator sees what he enrols.
DEFAULT = SpoofPolicy("default", 0.1, 0.6, sure_live_score=0.7, accept_doubt=True)
STRICT = SpoofPolicy("strict", 0.1, 0.6, sure_live_score=0.7, accept_doubt=False)
LENIENT = SpoofPolicy("lenient", 0.1, 0.3, sure_live_score=0.7, accept_doubt=True)
CAMERA = DEFAULT._replace(name="camera", challenge_required=True)
POLICIES = {policy.name: policy for policy in (DEFAULT, STRICT, LENIENT, CAMERA)}
REPLAY = ReplayLimits()
RATES = Rates()
LEARNED = LearningRules()
LIMITS = AttemptLimits(10, 100)

# Sign-in refuses 0.4 % of LFW, enrolment 2 %; see measurements, Quality.
SIGN_IN_QUALITY = QualityLimits(
    min_inter_eye_distance_px=16,
    min_sharpness=0.07,
    max_noise=8.0,
    min_luminance_mean=0.08,
    max_under_exposure=0.8,
    max_over_exposure=0.2,
    min_dynamic_range_bits=4.5,
    max_head_pose_deg=50,
    min_face_inside=0.8,
)
ENROLMENT_QUALITY = QualityLimits(
    min_inter_eye_distance_px=28,
    min_sharpness=0.12,
    max_noise=4.5,
    min_luminance_mean=0.2,
    max_under_exposure=0.3,
    max_over_exposure=0.1,
    min_dynamic_range_bits=6.0,
    max_head_pose_deg=40,
    min_face_inside=0.95,
)

# The share of dlib's half in the squared length of what is stored; SFace has the rest. What counts
# in a comparison is decision/space.py's, which undoes it.
DLIB_WEIGHT = 0.75

# By how much the best person must be ahead of the next one, in similarity over the threshold: about
# what a false match rate ten times lower asks for. Of 41,851 genuine sign-ins to 1,000 people of
# LFW it refuses none.
MIN_MARGIN = 0.055

# Share of genuine tries that are refused at FMR 1e-4 with so many registered photos, of the same
# 262 people of LFW (benchmarks/templates.py; 95 %: 1.4-2.9, .2-.9 and .16-.6 %).
FNMR_WITH_PHOTOS = {1: 0.0213, 2: 0.0048, 3: 0.0034}

# What decision/calibration.json was made of, the map from similarity to false match rate;
# benchmarks/calibration.py makes it.
CALIBRATION = CalibrationSource(
    "lfw", "Labeled Faces in the Wild, a part", 2339, 3963, 0.41068, (5.3e-05, 2.1e-04)
)


def asked_rate(rate: float | None, *, claimed: bool) -> float:
    """The highest share of strangers that may pass a sign-in: the given one, or the default.

    With a claimed name it is the FMR of one comparison, otherwise the FPIR of all comparisons.
    Raises UsageProblem for an impossible share; NaN is one.
    """
    if rate is None:
        return RATES.verify_fmr if claimed else RATES.identify_fpir
    if not 0 < rate <= RATES.max_asked:
        message = f"--fmr {rate:g} is not above 0 and at most {RATES.max_asked:g}"
        raise UsageProblem(Reason("match.impossible_rate", message, "give a rate such as 1e-4"))
    return rate
