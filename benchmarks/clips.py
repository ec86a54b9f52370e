"""How often clips of live people, of screens and of prints pass, through the program's own stages.

    python benchmarks/clips.py CLIPS [--trained SETUP ...]
    python benchmarks/clips.py CLIPS --challenges N [--stills FOLDER]

CLIPS holds {live,attack…}/SETUP_NN.EXT; all clips of one SETUP show one camera and place. A live
person's first try is the first five seconds that show a face. An attacker may choose: windows of
five seconds start every half second, and an attack passes where any of them does. Beside it stand
single frames: of the live clips the first one that can be judged, of attacks any, as a sender
chooses. Set-ups that the networks learned from are named with --trained, and left out of the sums.

--challenges draws so many challenges for each clip, which then starts at a random moment: how often
a clip that was made before answers them by luck; and how often the stills in a folder do, moved
about and bent as the prompts ask.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cv2
import moving

from facauth.challenge import draw, followed
from facauth.decision.throughout import require_one_face
from facauth.errors import FacauthError
from facauth.faces.clip import film
from facauth.faces.detect import sight
from facauth.faces.footage import Footage, Frame, Track
from facauth.faces.image import decode, read_image
from facauth.measure.rates import interval
from facauth.networks import Checked, Networks
from facauth.settings import CLIP, DEFAULT
from facauth.spoof.verdict import weigh
from facauth.stages import Stages
from facauth.structs import Face, LiveVerdict, Pose
from facauth.system import bind, bind_footage

WINDOW_S, STEP_S = 5.0, 0.5
SEED = 15


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one clip."""

    passes: bool
    first_frame: bool  # the first that can be judged passes
    any_frame: bool
    share: float  # of the frames that can be judged, those that pass


def frames_of(clip: Path) -> list[Frame]:
    """All frames that the program looks at."""
    footage = film(str(clip), lambda name: Path(name).read_bytes(), lambda _: None)  # type: ignore[arg-type,return-value]
    if footage is None:
        raise SystemExit(f"{clip} is no clip")
    return list(footage.frames)


def window(frames: Sequence[Frame], start_s: float) -> list[Frame]:
    """Five seconds, with times from their own beginning."""
    inside = [f for f in frames if start_s - 1e-6 <= f.at_s <= start_s + WINDOW_S + 1e-6]
    return [replace(frame, at_s=frame.at_s - inside[0].at_s) for frame in inside]


def passes(networks: Networks, frames: Sequence[Frame]) -> bool:
    """Whether the frames are taken for one live person."""
    stages = bind_footage(networks, lambda: Footage(frames))
    try:
        with stages.look("clip") as look:
            look.subject()
            refusal = weigh(look.liveness(DEFAULT), None, DEFAULT).refusal
            look.encoding()
            require_one_face(look.encodings, stages.calibration().space)
    except FacauthError:
        return False
    return refusal is None


def still_passes(stages: Stages, frame: Frame) -> bool | None:
    """Whether the frame alone is taken for live; None if it cannot be judged."""
    alone = replace(stages, film=lambda _: None, decode=lambda _: frame.pixels)
    try:
        with alone.look("frame") as look:
            look.subject()
            found = look.liveness(DEFAULT)
    except FacauthError:
        return None
    judged = all(condition.met for condition in found.conditions)
    return found.verdict is LiveVerdict.LIVE if judged else None


def judge(networks: Networks, clip: Path) -> Found:
    """One clip, as clip and frame by frame."""
    stages, frames = bind(networks), frames_of(clip)
    alone = [
        (frame, still_passes(stages, frame)) for frame in frames[:: 3 if len(frames) > 30 else 1]
    ]
    judged = [verdict for _, verdict in alone if verdict is not None]
    if clip.parent.name == "live":
        faces = Track.follow(Footage(frames), networks.detector).poses
        passed = bool(faces) and passes(networks, window(frames, faces[0].at_s))
    else:
        passed = any(passes(networks, each) for each in windows(frames))
    share = sum(judged) / len(judged) if judged else 0.0
    return Found(passed, judged[:1] == [True], any(judged), share)


def windows(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Every window that an attacker may choose."""
    last_s = max(0.0, frames[-1].at_s - WINDOW_S)
    for step in range(round(last_s / STEP_S) + 1):
        yield window(frames, step * STEP_S)


def print_table(networks: Networks, folder: Path, trained: Sequence[str]) -> None:
    """A line a set-up, and the sums of those that no network learned from."""
    rows: dict[str, dict[str, list[Found]]] = {}
    for clip in sorted(folder.glob("*/*.*")):
        setup = clip.stem.rpartition("_")[0]
        rows.setdefault(clip.parent.name, {}).setdefault(setup, []).append(judge(networks, clip))
        print(f"  {clip.parent.name}/{clip.name}", file=sys.stderr, flush=True)
    print(f"{'':<36}{'clips':>6}{'pass':>6}{'first frame':>13}{'any frame':>11}{'frames':>8}")
    for kind, setups in rows.items():
        for setup, found in setups.items():
            print_row(f"{kind} {setup}{'*' if setup in trained else ''}", found)
        sums = [each for setup, found in setups.items() if setup not in trained for each in found]
        print_row(f"{kind}, without *", sums)
        low, high = interval(sum(each.passes for each in sums), len(sums))
        print(f"{'':<36}95 %: {low:.1%} to {high:.1%}")


def print_row(title: str, found: Sequence[Found]) -> None:
    """Counts, and the mean share of frames."""
    counts = [
        sum(getattr(f, name) for f in found) for name in ("passes", "first_frame", "any_frame")
    ]
    share = sum(each.share for each in found) / len(found)
    print(f"{title:<36}{len(found):>6}{counts[0]:>6}{counts[1]:>13}{counts[2]:>11}{share:>8.1%}")


def answered(poses: Sequence[Pose], dice: random.Random) -> bool:
    """Whether a clip that starts at a random moment answers a new challenge."""
    challenge = draw()
    last_s = poses[-1].at_s - challenge.length_s
    if last_s < 0:
        return False
    start_s = dice.uniform(0, last_s)
    inside = [replace(pose, at_s=pose.at_s - start_s) for pose in poses if pose.at_s >= start_s]
    return followed(inside, challenge)


def by_luck(networks: Networks, folder: Path, draws: int) -> None:
    """How often clips that were made before answer challenges; short ones never do."""
    dice = random.Random(SEED)
    counts: dict[str, list[int]] = {}
    for clip in sorted(folder.glob("*/*.*")):
        poses = Track.follow(Footage(frames_of(clip)), networks.detector).poses
        hits = sum(answered(poses, dice) for _ in range(draws)) if poses else 0
        counts.setdefault(clip.parent.name, []).append(hits)
    for kind, of_clips in counts.items():
        tries = draws * len(of_clips)
        print(
            f"{kind}: {sum(of_clips)} of {tries} challenges answered by luck, "
            f"the best clip {max(of_clips) / draws:.1%}"
        )


def imitated(networks: Networks, folder: Path, draws: int) -> None:
    """How often a still that is moved as asked answers the challenge, and passes in all."""
    kinds: dict[str, Callable[[moving.Pixels, Sequence[moving.Movement]], list[moving.Pixels]]] = {
        "moved about": moving.moved_about,
        "bent": lambda picture, asked: moving.bent(picture, face_of(networks, picture), asked),
    }
    for kind, move in kinds.items():
        hits = both = tries = 0
        for still in sorted(folder.rglob("*.jpg")):
            picture = at_most(decode(read_image(str(still)), str(still)))
            if not sight(picture, networks.detector).faces:
                continue
            for _ in range(draws):
                challenge = draw()
                frames = [
                    Frame(pixels, number / moving.FPS)
                    for number, pixels in enumerate(move(picture, moving.answer(challenge)))
                ]
                tries += 1
                if followed(Track.follow(Footage(frames), networks.detector).poses, challenge):
                    hits += 1
                    both += passes(networks, frames)
        print(f"stills {kind} as asked: {hits} of {tries} answer, {both} of them are called live")


def face_of(networks: Networks, picture: moving.Pixels) -> Face:
    """The largest face."""
    return sight(picture, networks.detector).faces[0]


def at_most(picture: moving.Pixels) -> moving.Pixels:
    """No larger than frames are."""
    by = min(1.0, CLIP.max_side_px / max(picture.shape[:2]))
    return cv2.resize(picture, None, fx=by, fy=by, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="{live,attack…}/SETUP_NN.EXT")
    parser.add_argument("--trained", nargs="*", default=[], metavar="SETUP")
    parser.add_argument("--challenges", type=int, default=0, metavar="N")
    parser.add_argument("--stills", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    networks = Networks(Checked(None))
    networks.load()
    if options.challenges:
        by_luck(networks, options.folder, options.challenges)
    else:
        print_table(networks, options.folder, options.trained)
    if options.challenges and options.stills:
        imitated(networks, options.stills, max(1, options.challenges // 20))


if __name__ == "__main__":
    main()
