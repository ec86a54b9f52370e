"""From an error rate to the similarity that keeps it, and back.

The map is data: calibration.json, made by benchmarks/calibration.py, which says how; or a local one
that `facauth calibrate` made. A local one that cannot be trusted is refused, never passed over: the
shipped one may let more in.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from facauth.decision.space import AS_STORED, Space
from facauth.defaults import local_calibration
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.files import Exposed, read_trusted
from facauth.networks import require_calibration
from facauth.settings import RATES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FILE = Path(__file__).with_name("calibration.json")
MAX_BYTES = 2**20  # a local map has 20 KB
ROUNDING = 1e-9  # a rate that misses another by less than this share of it is that rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """Similarities that strangers reach at certain rates, by number of enrolment photos.

    Between its points the map is straight over log10(FMR) and over 1 / photos.
    """

    fmrs: tuple[float, ...]  # falling
    inverse_photos: tuple[float, ...]  # falling; 0 is the limit of ever more photos
    similarities: tuple[tuple[float, ...], ...]  # of each of inverse_photos at each of fmrs
    min_fmr: float  # no lower rate can be promised
    space: Space = AS_STORED  # in which faces have these similarities

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """From what the file holds."""
        rows = document["rows"]
        return cls(
            tuple(point["fmr"] for point in rows[0]["points"]),
            tuple(1 / row["photos"] if row["photos"] else 0.0 for row in rows),
            tuple(tuple(point["similarity"] for point in row["points"]) for row in rows),
            document["min_fmr"],
            Space.of_document(document.get("space")),
        )

    def min_similarity(self, fmr: float, photos: NDArray[np.intp]) -> NDArray[np.float32]:
        """For each number of enrolment photos, the similarity that strangers reach at rate `fmr`.

        A rate above the highest measured one gives that one's, which is stricter. Raises
        UsageProblem for a rate that cannot be promised.
        """
        import numpy as np

        self.require_supported(fmr)
        at_fmr = [np.interp(-math.log10(fmr), self._x(), row) for row in self.similarities]
        counts = np.arange(1, photos.max(initial=1) + 1)  # few, however many people there are
        of_counts = np.interp(1 / counts, self.inverse_photos[::-1], at_fmr[::-1])
        return np.array([np.nan, *of_counts], np.float32)[photos]

    def fmr_of(self, similarity: float, photos: int) -> float:
        """The rate at which strangers reach a similarity: the inverse of min_similarity.

        At least min_fmr: nothing is said beyond it. 1 below what was measured, and for NaN.
        """
        import numpy as np

        rows = np.array(self.similarities[::-1])
        inverse = self.inverse_photos[::-1]
        points = [float(np.interp(1 / photos, inverse, column)) for column in rows.T]
        if not similarity >= points[0]:
            return 1.0
        return max(self.min_fmr, float(10 ** -np.interp(similarity, points, self._x())))

    def require_supported(self, fmr: float) -> None:
        """Raises UsageProblem unless the rate of a comparison can be promised; NaN cannot."""
        if not self.min_fmr * (1 - ROUNDING) <= fmr <= 1:
            raise UsageProblem(
                Reason(
                    "match.unsupported_rate",
                    f"a false match rate of {fmr:.2g} per comparison cannot be promised",
                    f"ask for one from {self.min_fmr:.2g} to 1",
                )
            )

    def _x(self) -> Floats:
        import numpy as np

        return np.asarray(-np.log10(self.fmrs))


@dataclass(frozen=True, slots=True)
class InForce:
    """A map, all that its file says, and where that is; no path: the one that is shipped."""

    calibration: Calibration
    document: dict[str, Any]
    path: Path | None = None

    @property
    def kind(self) -> str:
        """Shipped, or local: made by the user."""
        return "shipped" if self.path is None else "local"

    @property
    def source(self) -> str:
        """The photos it was made of."""
        of = self.document
        return f"{of['source']}, {of['people']} people, {of['photos']} photos"

    @property
    def file(self) -> str:
        """Its path, as shown."""
        return shown(self.path or FILE)

    @property
    def supported_people(self) -> int:
        """How many a store may hold at the default rate of a sign-in without --as."""
        return int(RATES.identify_fpir / self.calibration.min_fmr * (1 + ROUNDING))

    def group_rates(self) -> list[str]:
        """What was measured in each group at the default rate of sign-in --as, with one photo.

        The thresholds were made without the people measured. Empty for a local calibration, whose
        file is not checked for this.
        """
        if self.path is not None:
            return []
        measured = [
            each
            for each in self.document.get("groups", [])
            if each["photos"] == 1 and each["asked_fmr"] == RATES.verify_fmr
        ]
        told = "{group}: FMR {fmr:.1e} ({0:.1e} to {1:.1e}, {matched} of {pairs} pairs)"
        return [told.format(*each["fmr_interval"], **each) for each in measured]

    def fmr_intervals(self, place: int) -> Floats:
        """(2, fmrs): of the rates that the similarities of the row in this place really have."""
        import numpy as np

        return np.array(
            [point["fmr_interval"] for point in self.document["rows"][place]["points"]]
        ).T


@cache
def shipped() -> InForce:
    """The map that came with the package; raises SetupProblem for an altered one."""
    try:
        data = FILE.read_bytes()
    except OSError:
        data = b""  # which no manifest has the hash of
    require_calibration(data, FILE)
    document = json.loads(data)
    return InForce(Calibration.of(document), document)


def in_force() -> InForce:
    """The local map if there is one, else the shipped one.

    Raises SetupProblem for one that cannot be trusted.
    """
    path = local_calibration()
    if path is None:
        return shipped()
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return shipped()
    except OSError as error:
        raise unfit(path, f"cannot be looked for ({error.strerror})") from error
    try:
        data = read_trusted(path, MAX_BYTES)
    except Exposed as error:
        raise unfit(path, "can be changed by others") from error
    except OSError as error:
        raise unfit(path, f"cannot be read ({error.strerror})") from error
    return _local(path, data)


def _local(path: Path, data: bytes) -> InForce:
    """What the file holds."""
    try:
        document = json.loads(data)
        own = InForce(Calibration.of(document), document, path)
        fault = fault_of(own)
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise unfit(path, "is damaged") from error
    if fault:
        raise unfit(path, fault)
    return own


def fault_of(local: InForce) -> str | None:
    """Why a local map is not to be trusted; written so that NaN is not.

    May raise what reading an unforeseen document raises.
    """
    import numpy as np

    own, ours = local.calibration, shipped()
    if local.document["contract"] != ours.document["contract"]:
        return "was made for other networks"
    if own.space != ours.calibration.space or _points(own) != _points(ours.calibration):
        return "was made by another version of facauth"
    numbers = [own.min_fmr, *chain.from_iterable(own.similarities)]
    counts = [local.document["people"], local.document["photos"]]
    if not all(isinstance(number, float) for number in numbers) or not _is_told(local, counts):
        return "is damaged"
    if not ours.calibration.min_fmr <= own.min_fmr <= own.fmrs[0]:
        return "promises more than can be known"
    similarity = np.array(own.similarities)
    rising = [(np.diff(similarity, axis=axis) >= 0).all() for axis in (0, 1)]
    if not (all(rising) and (similarity > 0).all() and (similarity < 1).all()):
        return "asks for similarities that do not rise as rates fall, within 0 and 1"
    if not (similarity >= np.minimum(ours.calibration.similarities, _upper_ends(local))).all():
        return "lets strangers pass more easily than its own intervals show"
    return None


def _upper_ends(local: InForce) -> Floats:
    """(rows, fmrs): of the intervals that a map's similarities were measured with."""
    import numpy as np

    rows = local.document["rows"]
    return np.array([[point["interval"][1] for point in row["points"]] for row in rows])


def _points(of: Calibration) -> tuple[tuple[float, ...], ...]:
    return of.fmrs, of.inverse_photos


def _is_told(local: InForce, counts: list[Any]) -> bool:
    """Whether it says what it rests on."""
    import numpy as np

    rows = local.document["rows"]
    texts = [local.document[name] for name in ("name", "source", "made", "facauth")]
    points = [point for row in rows for point in row["points"]]
    sure = [local.fmr_intervals(place) for place in range(len(rows))]
    return (
        all(isinstance(text, str) and text.isprintable() for text in texts)
        and all(isinstance(count, int) for count in [*counts, *(each["pairs"] for each in points)])
        and all(each["basis"] in ("measured", "extrapolated") for each in points)
        and all(each.shape[0] == 2 and np.isfinite(each).all() for each in sure)
    )


def unfit(path: Path, what: str) -> SetupProblem:
    """That this local map is not used, and neither is another in its place."""
    advice = "calibrate anew, or delete it to go back to the shipped calibration"
    return SetupProblem(Reason("calibration.unfit", f"{shown(path)} {what}", advice))
