"""Checks of this installation: packages, weights, a self-test, the store."""

from __future__ import annotations

import os
import platform
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from facauth import __version__
from facauth.errors import FacauthError, Reason, SetupProblem, shown
from facauth.extras import EXTRAS, PACKAGES, Extra, pip_install
from facauth.networks import Checked, Networks, opencv, read_manifest
from facauth.places import Place
from facauth.samples import sample
from facauth.settings import DEFAULT
from facauth.store.faults import RESTORE, unfit
from facauth.store.sqlite.exposure import fault_of
from facauth.store.store import Store

MAX_PARITY_DISTANCE = 1e-5  # between encodings of one chip by cv2.dnn and by dlib


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `advice` is empty if nothing needs to be done."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


def examine(store: Place) -> Iterator[Finding]:
    """All findings, the quick ones first."""
    yield Finding("facauth", True, __version__)
    yield Finding("python", sys.version_info >= (3, 11), platform.python_version())
    yield from map(_package, PACKAGES)
    yield from map(_extra, EXTRAS)
    for check, look in (
        ("weights", _weights),
        ("threads", _threads),
        ("self-test", _self_test),
        ("parity", _parity),
        ("calibration", _calibration),
    ):
        yield _checked(check, look)
    yield from _store(store)
    yield Finding(
        "limits", True, "a photo does not show who took it: another real photo of the person passes"
    )
    yield Finding("not known", True, "error rates for children, twins and other populations")


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", "install facauth again")


def _extra(extra: Extra) -> Finding:
    cure = f"not installed: {pip_install(extra.name)} {extra.purpose}"
    detail = "installed" if all(map(find_spec, extra.modules)) else cure
    return Finding(f"{extra.name} extra", True, detail)


def _checked(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, look())
    except FacauthError as error:
        return Finding(check, False, error.reasons[0].message, error.reasons[0].advice)
    except ImportError as error:
        return Finding(check, False, f"{error.name} cannot be imported", "install facauth again")


def _weights() -> str:
    weights = read_manifest().values()
    for weight in weights:
        weight.require_intact()
    return f"{len(weights)} files, every hash as released"


def _threads() -> str:
    return f"{opencv().getNumThreads()} for networks, {os.cpu_count()} processors"


def _fault(message: str) -> SetupProblem:
    return SetupProblem(Reason("doctor.fault", message, "install facauth again"))


def _self_test() -> str:
    """Two live photos of one person match, a third does not; a photo of a photo is found."""
    from facauth.enrolling import enrolment
    from facauth.pipeline import spoof_check
    from facauth.structs import EnrolmentTerms
    from facauth.system import Enrolment, bind

    stages = bind(Networks(Checked(None)))
    one, same, other = (
        enrolment(stages, stages.calibration(), sample(name), EnrolmentTerms(DEFAULT))
        for name in ("obama_2012.jpg", "obama_2010.jpg", "biden_2010.jpg")
    )

    def alike(a: Enrolment, b: Enrolment) -> float:
        return float(a.encoding.vector @ b.encoding.vector)

    if not alike(one, same) > 0.85 > 0.75 > alike(one, other):
        raise _fault("the sample faces do not compare as they should")
    found = spoof_check(stages, sample("simulated_recapture.jpg"), DEFAULT, one.signatures)
    replay = found.evidence.replay
    if replay is None or replay.verdict != "enrolled_picture":
        raise _fault("the simulated photo of a sample is not detected")
    return (
        "two photos of one person match and are live, another person does not match, "
        "a photo of a photo is found"
    )


def _parity() -> str:
    """The dlib half of an encoding against the face_recognition package's own."""
    if find_spec("face_recognition") is None:
        return "not compared: face_recognition is not installed"
    try:
        # It prints what it misses, to stdout; and its models import the deprecated pkg_resources.
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import face_recognition
    except (ImportError, SystemExit):  # it calls quit() when its models cannot be imported
        return "not compared: face_recognition is installed but cannot be imported"
    distance = dlib_distance(face_recognition, Networks(Checked(None)), sample("obama_2012.jpg"))
    if not distance <= MAX_PARITY_DISTANCE:
        raise _fault(f"encodings differ from face_recognition's by {distance:.1e}")
    return f"equal to face_recognition's encoding within {distance:.0e}"


def dlib_distance(face_recognition: Any, networks: Networks, image: str) -> float:
    """Euclidean distance of two encodings of one face in one photo, the same box for both."""
    import numpy as np

    from facauth.faces.align import dlib_box_px
    from facauth.faces.detect import only_face, sight
    from facauth.faces.encode import dlib_half
    from facauth.faces.image import decode, read_image

    sighting = sight(decode(read_image(image), image), networks.detector)
    face = only_face(sighting)
    ours = dlib_half(sighting.pixels, face, networks)
    left, top, right, bottom = dlib_box_px(face)
    (theirs,) = face_recognition.face_encodings(sighting.pixels, [(top, right, bottom, left)])
    return float(np.linalg.norm(ours - theirs))


def _calibration() -> str:
    """The calibration in force; raises SetupProblem for one that cannot be trusted."""
    from facauth.decision.calibration import in_force

    used = in_force()
    return "; ".join([f"{used.kind}: {used.source}", *used.group_rates(), used.file])


def _store(place: Place) -> Iterator[Finding]:
    if isinstance(place, Path):
        yield from _store_file(place)
    else:
        yield _checked("store", lambda: _contents(place))
        yield from _connection(place)


def _connection(place: Place) -> Iterator[Finding]:
    with suppress(SetupProblem), Store.open(place) as store:
        for warning in store.warnings:
            what, _, advice = warning.partition("; ")
            yield Finding("connection", False, what, advice)


def _store_file(path: Path) -> Iterator[Finding]:
    if not os.path.lexists(path):
        yield Finding("store", True, f"{shown(path)} (not created yet: nobody is enrolled)")
        return
    yield _checked("store", lambda: _contents(path))
    if not path.exists():  # a link that leads nowhere
        return
    yield _mode("store file", path, 0o077, f"chmod 600 {shown(path)}")
    yield _folder(path.parent)


def _contents(place: Place) -> str:
    with Store.open(place) as store:
        faults = store.faults()
        people = store.people(Networks(Checked(None)).contract)
    if faults:
        raise unfit("store.damaged", place, "is damaged", RESTORE)
    old = sum(person.needs_new_photo > 0 for person in people)
    outdated = f", {old} with photos of an older contract" if old else ""
    return f"{shown(place)}, {len(people)} enrolled{outdated}, sound"


def _mode(check: str, path: Path, forbidden: int, cure: str) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    ok = not mode & forbidden
    return Finding(check, ok, f"mode {mode:04o}", "" if ok else cure)


def _folder(folder: Path) -> Finding:
    _, cure = fault_of(folder)
    return _mode("store folder", folder, 0o022, cure)
