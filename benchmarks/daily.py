"""Daily work with many photos: enrolment against a loop, search against face_recognition.

    python benchmarks/daily.py enrol FOLDER [--people N] [--loop M]
    python benchmarks/daily.py search FOLDER [--known N] [--unknown M] [--rounds R]

FOLDER holds PERSON/*.jpg. `enrol` takes the first photo of N people. It enrols them in one run, and
M of them one by one. `search` takes the first photos of N people that can be enrolled, and M other
photos: up to three of each of these people, and photos of strangers. facauth and face_recognition
search them in turns. Times are of whole processes, their children included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

FACAUTH = [sys.executable, "-m", "facauth"]
FACE_RECOGNITION = [str(Path(sys.executable).with_name("face_recognition"))]
SEED = 11


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("enrol", "search"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--loop", type=int, default=500)
    parser.add_argument("--known", type=int, default=200)
    parser.add_argument("--unknown", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    people = sorted(path for path in chosen.folder.iterdir() if path.is_dir())
    random.Random(SEED).shuffle(people)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as folder:
        if chosen.what == "enrol":
            measure_enrol(people[: chosen.people], Path(folder), chosen.loop)
        else:
            measure_search(people, Path(folder), chosen.known, chosen.unknown, chosen.rounds)


def photos_of(person: Path) -> list[Path]:
    """In order of their names."""
    return sorted(person.glob("*.jpg"))


def timed(command: Sequence[str]) -> tuple[float, float, str]:
    """Seconds of wall clock and of processors, and stdout."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, done.stdout


# --- enrol ---------------------------------------------------------------------------------------


def measure_enrol(people: Sequence[Path], folder: Path, loop: int) -> None:
    """One run, and one process for each of `loop` people."""
    staff = folder / "staff"
    staff.mkdir()
    for person in people:
        shutil.copy(photos_of(person)[0], staff / f"{person.name}.jpg")
    files = sorted(staff.iterdir())
    wall_s, cpu_s, said = timed(
        [*FACAUTH, "enrol", str(staff), "-q", "--store", str(folder / "1.db")]
    )
    print(said.splitlines()[-1])
    print(f"enrol: {wall_s:.1f} s, {cpu_s:.1f} s of processors, {len(files) / wall_s:.1f} photos/s")
    store = str(folder / "2.db")
    one = [
        timed([*FACAUTH, "register", file.stem, str(file), "--store", store])
        for file in files[:loop]
    ]
    walls = sum(each[0] for each in one) / len(one)
    cpus = sum(each[1] for each in one) / len(one)
    print(f"register, {len(one)} times: {walls:.2f} s and {cpus:.2f} s of processors each")
    share = len(files) / wall_s * walls, len(files) / cpu_s * cpus
    print(f"enrol is {share[0]:.1f} times faster, and takes 1 / {share[1]:.1f} of the processors")


# --- search --------------------------------------------------------------------------------------


def measure_search(
    people: Sequence[Path], folder: Path, known: int, unknown: int, rounds: int
) -> None:
    """Both programs on the same folders, and what each gets wrong."""
    known_folder, unknown_folder, store = folder / "known", folder / "unknown", str(folder / "db")
    names = choose(people, folder, known, unknown)
    timed([*FACAUTH, "enrol", str(known_folder), "--store", store])
    ours = [*FACAUTH, "identify", str(unknown_folder), "--format", "csv", "--store", store]
    theirs = [*FACE_RECOGNITION, str(known_folder), str(unknown_folder)]
    walls, cpus = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for _ in range(rounds):
        for name, command in (("facauth", ours), ("face_recognition", theirs)):
            wall_s, cpu_s, said = timed(command)
            walls[name].append(wall_s)
            cpus[name].append(cpu_s)
            print(f"{name}: {wall_s:.1f} s, {cpu_s:.1f} s of processors; {errors(said, names)}")
    for what, of in (("wall", walls), ("processors", cpus)):
        pairs = zip(of["face_recognition"], of["facauth"], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{what}: face_recognition takes {ratio:.2f} times as long")


def choose(people: Sequence[Path], folder: Path, known: int, unknown: int) -> set[str]:
    """Fill known/ and unknown/; the names of those known."""
    for name in ("tried", "known", "unknown"):
        (folder / name).mkdir()
    several = [person for person in people if len(photos_of(person)) > 1]
    for person in several[: known + known // 2]:
        shutil.copy(photos_of(person)[0], folder / "tried" / f"{person.name}.jpg")
    said = timed([*FACAUTH, "enrol", str(folder / "tried"), "--dry-run", "--json"])[2]
    usable = [
        each["person"] for each in json.loads(said)["results"] if each["verdict"] == "enrolled"
    ]
    names = set(usable[:known])
    for name in names:
        shutil.copy(folder / "tried" / f"{name}.jpg", folder / "known")
    genuine = [photo for person in several if person.name in names for photo in photos_of(person)]
    genuine = [each for each in genuine if each != photos_of(each.parent)[0]][: unknown * 2 // 5]
    strangers = [photos_of(person)[0] for person in people if person.name not in names]
    for photo in [*genuine, *strangers][:unknown]:
        shutil.copy(photo, folder / "unknown" / f"{photo.parent.name}__{photo.name}")
    return names


def errors(said: str, names: set[str]) -> str:
    """Known people who were not found, and strangers who were taken for somebody."""
    found, seen = defaultdict[str, set[str]](set), set[str]()
    for image, person in rows(said):
        seen.add(image)
        if person:
            found[image].add(person)
    genuine = {each for each in seen if who(each) in names}
    missed = sum(who(each) not in found[each] for each in genuine)
    named = sum(bool(found[each]) for each in seen - genuine)
    wrong = sum(bool(found[each] - {who(each)}) for each in genuine)
    return (
        f"{missed} of {len(genuine)} missed, {wrong} of them also or only with another name; "
        f"{named} of {len(seen - genuine)} strangers named"
    )


def who(image: str) -> str:
    """The person in a photo of unknown/."""
    return Path(image).name.partition("__")[0]


def rows(said: str) -> Iterable[tuple[str, str]]:
    """Image and person, of either program; person is empty for nobody."""
    lines = list(csv.reader(said.splitlines()))
    if lines[0][:3] == ["image", "face", "person"]:
        yield from ((line[0], line[2]) for line in lines[1:])
        return
    nobody = ("unknown_person", "no_persons_found")
    for line in lines:
        if len(line) == 2:
            yield line[0], "" if line[1] in nobody else line[1]


if __name__ == "__main__":
    main()
