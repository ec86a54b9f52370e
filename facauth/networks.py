"""The weight files: their list, their integrity, and the networks that are loaded from them.

The only module that opens them. Networks load when first used and stay loaded.

A weight is hashed in full before its first use. The result is remembered beside the file's
identity (size, inode, change and modification time) in the user's cache, so that later starts
only ask the file system. The check finds a damaged download, an interrupted upgrade or a swapped
file; these always change the ctime. An attacker who can change a weight without changing its ctime
can also change this program. `facauth doctor` hashes everything in full.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from facauth.errors import Reason, SetupProblem, shown
from facauth.files import make_folders, read_trusted, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import cv2
    import numpy as np
    from numpy.typing import NDArray

One = TypeVar("One")
Other = TypeVar("Other")

MAX_MEMORY_BYTES = 2**20
WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"
NETS = ("encode_dlib", "encode_sface", "live_2_7", "live_4_0")  # run by cv2.dnn as they are
ARRAYS = ("landmarks", "encode_sface_last")  # run by faces.landmarks and faces.encode
BESIDE = {"encode_dlib": "encode_dlib_data"}  # what OpenCV reads with the file of a network
ROLES = {"detect", *NETS, *ARRAYS, *BESIDE.values()}


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight file, as the manifest describes it."""

    role: str
    path: Path
    sha256: str
    licence: str
    # The hash that stands for it in the contract: its own, or that of a file that encodes the same.
    encodes_as: str

    def identity(self) -> list[int]:
        """What the file system changes whenever the file changes."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise _unfit(self.path, "is missing") from error
        return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]

    def require_intact(self) -> None:
        """Hash the whole file; raises SetupProblem unless it is what the manifest says."""
        try:
            with self.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unfit(self.path, "cannot be read") from error
        if found != self.sha256:
            raise _unfit(self.path, "is not the file that facauth was released with")


def _unfit(path: Path, what: str) -> SetupProblem:
    return SetupProblem(
        Reason("weights.unfit", f"{shown(path)} {what}", "install facauth again; nothing was run")
    )


def read_manifest(folder: Path = WEIGHTS) -> dict[str, Weight]:
    """The weights by role; raises SetupProblem when there is no readable manifest."""
    path = folder / MANIFEST
    try:
        rows = json.loads(path.read_bytes())["weights"]
        return {row["role"]: _weight(row, folder) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unfit(path, "is missing or damaged") from error


def _weight(row: dict[str, str], folder: Path) -> Weight:
    sha256 = row["sha256"]
    encodes_as = row.get("encodes_as", sha256)
    return Weight(row["role"], folder / row["file"], sha256, row["licence"], encodes_as)


def require_calibration(data: bytes, path: Path, folder: Path = WEIGHTS) -> None:
    """Raises SetupProblem unless these bytes, of the file at `path`, are the released ones."""
    manifest = folder / MANIFEST
    try:
        expected = json.loads(manifest.read_bytes())["calibration"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unfit(manifest, "is missing or damaged") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise _unfit(path, "is not the file that facauth was released with")


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkForests:
    """dlib's predictor: c cascades, each with t trees of n nodes and n + 1 leaves, f features.

    Shapes are in units of the face box: (0, 0) its top left corner, (1, 1) its bottom right one.
    """

    mean_shape: NDArray[np.float32]  # (5, 2), x right, y down
    anchors: NDArray[np.uint8]  # (c, f), the landmark that a feature pixel goes with
    offsets: NDArray[np.float32]  # (c, f, 2), from the anchor, in the mean shape's orientation
    first: NDArray[np.uint16]  # (c, t, n), feature pixel that must be ...
    second: NDArray[np.uint16]  # (c, t, n), ... brighter than this one ...
    brighter_by: NDArray[np.float32]  # (c, t, n), ... by more than this, to go left
    leaves: NDArray[np.float32]  # (c, t, n + 1, 10), what a tree adds to the shape


@dataclass(frozen=True, slots=True, eq=False)
class BlockLayer:
    """A fully connected layer of o outputs, quantised in b blocks of n inputs each.

    The weights of a block and an output are (weights - zero) * scale.
    """

    weights: NDArray[np.int8]  # (b, o, n)
    scales: NDArray[np.float32]  # (b, o)
    zeros: NDArray[np.int8]  # (b, o)
    bias: NDArray[np.float32]  # (o,)


class Checked:
    """Remembers the weight files that are intact, by their identity on disk.

    memory: the file to remember in; None to hash every time.
    """

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory
        self._known = self._read()

    def require(self, weight: Weight) -> Path:
        """The path of an intact weight; raises SetupProblem otherwise."""
        fingerprint = [weight.sha256, *weight.identity()]
        if self._known.get(str(weight.path)) != fingerprint:
            weight.require_intact()
            self._known[str(weight.path)] = fingerprint
            self._write()
        return weight.path

    def _read(self) -> dict[str, Any]:
        try:
            if self._memory is None:
                return {}
            known = json.loads(read_trusted(self._memory, MAX_MEMORY_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self) -> None:
        if self._memory is None:
            return
        with suppress(OSError):  # no cache folder: hash again next time, slower and as safe
            make_folders(self._memory)
            write_private(self._memory, json.dumps(self._known).encode(), over=True)


class Networks:
    """The networks, each checked and loaded at its first use."""

    def __init__(self, checked: Checked, folder: Path = WEIGHTS) -> None:
        self._checked = checked
        self._weights = read_manifest(folder)
        if not self._weights.keys() >= ROLES:
            raise _unfit(folder / MANIFEST, "does not name every network")
        self._loaded: dict[str, Any] = {}  # by role
        self._turns = {role: Lock() for role in self._weights}

    def _path(self, role: str) -> str:
        if role in BESIDE:
            self._path(BESIDE[role])
        return str(self._checked.require(self._weights[role]))

    def _load(self, role: str) -> Any:
        with self._turns[role]:
            if role not in self._loaded:
                read = _read_arrays if role in ARRAYS else _read_net
                self._loaded[role] = read(self._path(role))
            return self._loaded[role]

    def load_ahead(self, *roles: str) -> None:
        """Load networks in the background: the photo is decoded and searched meanwhile.

        Most of a cold sign-in is loading, and OpenCV loads without holding the interpreter.
        """
        _share_memory_arena()
        Thread(target=self._load_quietly, args=roles, name="load ahead").start()

    def _load_quietly(self, *roles: str) -> None:
        with suppress(Exception):  # the first use of the network raises the same error
            for role in roles:
                self._load(role)
                if role == "landmarks":
                    import dlib  # noqa: F401 - it cuts the chip of these landmarks

    def load(self) -> None:
        """Load all networks now, for a long-running process; raises SetupProblem."""
        for role in (*NETS, *ARRAYS):
            self._load(role)
        _ = self.detector

    @cached_property
    def detector(self) -> cv2.FaceDetectorYN:
        """YuNet: BGR pixels of a size to be set -> boxes, five landmarks, scores."""
        from facauth.settings import DETECTION

        detector: cv2.FaceDetectorYN = opencv().FaceDetectorYN.create(
            self._path("detect"), "", (320, 320), DETECTION.min_score, DETECTION.nms_iou
        )
        return detector

    @property
    def landmarks(self) -> LandmarkForests:
        """dlib's five-point predictor."""
        return LandmarkForests(**self._load("landmarks"))

    @property
    def encode_dlib(self) -> cv2.dnn.Net:
        """N x 3 x 150 x 150 RGB, 0-255 -> N x 128."""
        network: cv2.dnn.Net = self._load("encode_dlib")
        return network

    @property
    def encode_sface(self) -> cv2.dnn.Net:
        """N x 3 x 112 x 112 RGB, 0-255 -> N x 50176, the inputs of its last layer."""
        network: cv2.dnn.Net = self._load("encode_sface")
        return network

    @property
    def encode_sface_last(self) -> BlockLayer:
        """N x 50176 -> N x 128; cv2.dnn would keep 26 MB of floats of it."""
        return BlockLayer(**self._load("encode_sface_last"))

    @property
    def live_2_7(self) -> cv2.dnn.Net:
        """N x 3 x 80 x 80 BGR, 0-255, crop of 2.7 face boxes -> N x 6, see spoof.liveness."""
        network: cv2.dnn.Net = self._load("live_2_7")
        return network

    @property
    def live_4_0(self) -> cv2.dnn.Net:
        """N x 3 x 80 x 80 BGR, 0-255, crop of 4.0 face boxes -> N x 6, see spoof.liveness."""
        network: cv2.dnn.Net = self._load("live_4_0")
        return network

    @cached_property
    def contract(self) -> str:
        """The name of all that determines an encoding: weights and preprocessing version."""
        roles = ("detect", "landmarks", "encode_dlib", "encode_sface")
        beside = ("encode_dlib_data", "encode_sface_last")
        hashes = (self._weights[role].encodes_as for role in (*roles, *beside))
        digest = hashlib.sha256("".join(hashes).encode())
        return f"dlib+sface/{PREPROCESSING}/{digest.hexdigest()[:12]}"


def _read_net(path: str) -> cv2.dnn.Net:
    network: cv2.dnn.Net = opencv().dnn.readNetFromONNX(path)
    return network


def _read_arrays(path: str) -> dict[str, NDArray[Any]]:
    import numpy as np

    with np.load(path) as arrays:
        return dict(arrays)


M_ARENA_MAX = -8  # of mallopt(3)


def _share_memory_arena() -> None:
    """Have glibc give all threads memory from one arena: 5 % less memory and 10 % less time.

    Another arena for the loading thread is filled with what its networks are read from, and
    never reused. Other C libraries have no arenas.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


THREADS = 2  # with one, finding and encoding a face takes 1.4 times as long (measurements, Speed)
PREPROCESSING = 1  # raise it when detection, alignment or fusion change encodings


class Processors:
    """How many processors nobody calculates on, by what this process does."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._lock = Lock()

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """One is in use, free or not."""
        self._count(-1)
        try:
            yield
        finally:
            self._count(1)

    def take(self) -> bool:
        """Whether one was free; it is in use then, until it is given back."""
        with self._lock:
            free = self._free > 0
            self._free -= free
            return free

    def give_back(self) -> None:
        """After `take`."""
        self._count(1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._free += more


processors = Processors(min(THREADS, os.cpu_count() or 1) - 1)  # beside the one that asks


def side_by_side(one: Callable[[], One], other: Callable[[], Other]) -> tuple[One, Other]:
    """What both return, at the same time if a processor is free.

    OpenCV shares out a layer only where that is large: SFace and liveness gain nothing by it.
    """
    if not processors.take():
        return one(), other()
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(1) as pool:
            meanwhile = pool.submit(other)
            return one(), meanwhile.result()
    finally:
        processors.give_back()


def opencv() -> Any:
    """cv2, quiet and with the one thread setting that every network here runs with."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cv2.setNumThreads(THREADS)
    return cv2
