"""A picture of an evaluation: the errors at every threshold, and the scores behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.extras import pip_install
from facauth.measure.rates import passing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.measure.recognition import Row
    from facauth.measure.spoof import Trial

    Floats = NDArray[np.floating[Any]]

TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
EDGE = 0.0005  # normal deviates have no place for a rate of 0 or 1: it is drawn here
BINS = 20
FMR_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2)
FMR_EDGE = 5e-7
SIMILARITY_BINS = 200
LIVE_COLOUR, ATTACK_COLOUR = "#1b7837", "#b2182b"


def require_extra() -> None:
    """Raises SetupProblem without matplotlib."""
    if find_spec("matplotlib") is None:
        message = "drawing needs an extra that is not installed"
        raise SetupProblem(Reason("evaluate.plot", message, pip_install("plot")))


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Error rates at rising thresholds, each (n,)."""

    thresholds: Floats
    bpcer: Floats
    apcer_worst: Floats  # of the species that is worst at that threshold
    apcer_pooled: Floats  # of all attacks together


def scores_of(trials: Iterable[Trial]) -> tuple[list[float], dict[str, list[float]]]:
    """The scores of live photos, and those of each species, of what could be scored."""
    live: list[float] = []
    attacks: dict[str, list[float]] = {}
    for photo, seen in trials:
        if seen.judged:
            scores = live if photo.species is None else attacks.setdefault(photo.species, [])
            scores.append(seen.live_score)
    return live, attacks


def curves(live: Sequence[float], attacks: Mapping[str, Sequence[float]]) -> Curves:
    """APCER and BPCER at every threshold that makes a difference; neither may be empty."""
    import numpy as np

    pooled = [score for scores in attacks.values() for score in scores]
    thresholds = np.append(np.unique([*live, *pooled, 0.0]), np.inf)
    thresholds = thresholds[~np.isnan(thresholds)]
    species = np.stack([passing(scores, thresholds) for scores in attacks.values()])
    bpcer = 1 - passing(live, thresholds)
    return Curves(thresholds, bpcer, species.max(axis=0), passing(pooled, thresholds))


def draw(trials: Iterable[Trial], threshold: float, out: Path) -> None:
    """Write a PNG: the DET curve on the left, the scores on the right.

    Raises UsageProblem if it cannot be written.
    """
    live, attacks = scores_of(trials)
    with _figure(out) as (det, histogram):
        _draw_det(det, live, attacks, threshold)
        _draw_scores(histogram, live, attacks, threshold)


def draw_match(rows: Sequence[Row], photos: int, out: Path) -> None:
    """Write a PNG: a DET curve for each row, and the scores of the one with so many photos.

    Raises UsageProblem if it cannot be written.
    """
    with _figure(out) as (det, histogram):
        _draw_match_det(det, rows)
        for row in rows:
            if row.photos == photos:
                _draw_similarities(histogram, row)


@contextmanager
def _figure(out: Path) -> Iterator[tuple[Any, Any]]:
    """Two places to draw in; afterwards they are written."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    with rc_context({"text.parse_math": False}):  # folders may be called $anything$
        yield left, right
    try:
        figure.savefig(out, format="png", dpi=120)
    except OSError as error:
        message = f"{shown(out)} cannot be written ({error.strerror})"
        raise UsageProblem(Reason("evaluate.plot", message, "name another file")) from error


def _draw_det(
    axes: Any, live: Sequence[float], attacks: Mapping[str, Sequence[float]], threshold: float
) -> None:
    axes.set(title="DET curve", xlabel="BPCER: live called attack", ylabel="APCER: attack passes")
    _deviate_axis(axes.xaxis, TICKS)
    _deviate_axis(axes.yaxis, TICKS)
    limits = [NormalDist().inv_cdf(edge) for edge in (EDGE / 2, 1 - EDGE / 2)]
    axes.set(xlim=limits, ylim=limits)
    axes.grid(alpha=0.3)
    if not live or not attacks:
        axes.text(0.5, 0.5, "needs live photos and attacks", transform=axes.transAxes, ha="center")
        return
    found = curves(live, attacks)
    lines = (("worst species", found.apcer_worst, "-"), ("all attacks", found.apcer_pooled, "--"))
    now = int(found.thresholds.searchsorted(threshold))
    for label, apcer, style in lines:
        x, y = _deviates(found.bpcer), _deviates(apcer)
        axes.step(x, y, style, color=ATTACK_COLOUR, label=label, where="post")
        axes.plot(x[now], y[now], "o", color=ATTACK_COLOUR, clip_on=False)
    axes.legend(title=f"dots: threshold {threshold:g}")


def _deviate_axis(axis: Any, ticks: Sequence[float]) -> None:
    labels = [
        f"{100 * tick:g}%" if tick > 1e-4 else f"{tick:.0e}".replace("e-0", "e-") for tick in ticks
    ]
    axis.set_ticks([NormalDist().inv_cdf(tick) for tick in ticks], labels)


def _deviates(rates: Iterable[float], edge: float = EDGE) -> list[float]:
    return [NormalDist().inv_cdf(min(max(float(rate), edge), 1 - edge)) for rate in rates]


def _draw_scores(
    axes: Any, live: Sequence[float], attacks: Mapping[str, Sequence[float]], threshold: float
) -> None:
    axes.set(title="Live scores", xlabel="P(live)", ylabel="share of photos")
    edges = [each / BINS for each in range(BINS + 1)]
    for label, scores in (("live", live), *attacks.items()):
        if scores:
            style = {"color": LIVE_COLOUR, "alpha": 0.5} if label == "live" else {"fill": False}
            kind = "stepfilled" if label == "live" else "step"
            weights = [1 / len(scores)] * len(scores)
            name = f"{shown(label)} ({len(scores)})"
            axes.hist(scores, edges, weights=weights, histtype=kind, label=name, **style)
    axes.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:g}")
    axes.legend()


def _draw_match_det(axes: Any, rows: Sequence[Row]) -> None:
    axes.set(title="DET curve", xlabel="FMR: strangers match", ylabel="FNMR: the same do not")
    _deviate_axis(axes.xaxis, FMR_TICKS)
    _deviate_axis(axes.yaxis, TICKS[:5])
    axes.set(
        xlim=_deviates([FMR_EDGE / 2, 0.5], FMR_EDGE / 2), ylim=_deviates([EDGE / 2, 0.5], EDGE / 2)
    )
    axes.grid(alpha=0.3)
    known = [row for row in rows if row.people]
    if not known:
        axes.text(0.5, 0.5, "needs people with two photos", transform=axes.transAxes, ha="center")
        return
    for row, style in zip(known, ("-", "--", ":"), strict=False):
        points = [(each.fmr.value, each.fnmr.value) for each in row.kept if each.fmr and each.fnmr]
        at = _deviates([x for x, _ in points], FMR_EDGE), _deviates([y for _, y in points])
        axes.plot(*at, "o", color=ATTACK_COLOUR, clip_on=False)
        label = f"{row.photos} enrolment photo{'s' * (row.photos > 1)}"
        at = _deviates(row.fmrs, FMR_EDGE), _deviates(row.fnmrs)
        axes.step(*at, style, color=ATTACK_COLOUR, label=label, where="post")
    asked = ", ".join(f"{each.asked_fmr:g}" for each in known[0].kept)
    axes.legend(title=f"dots: facauth's thresholds for\n{asked}")


def _draw_similarities(axes: Any, row: Row) -> None:
    axes.set(title="Similarities", xlabel="similarity", ylabel="share of comparisons")
    each = (len(row.fmrs) - 1) // SIMILARITY_BINS
    impostor, genuine = -_steps(row.fmrs[::each]), _steps(row.fnmrs[::each])
    edges = [2 * place / SIMILARITY_BINS - 1 for place in range(SIMILARITY_BINS + 1)]
    axes.stairs(impostor, edges, fill=True, alpha=0.5, color=ATTACK_COLOUR, label="strangers")
    if row.people:
        axes.stairs(genuine, edges, fill=True, alpha=0.5, color=LIVE_COLOUR, label="the same")
    for kept in row.kept:
        if kept.min_similarity is not None:
            axes.axvline(kept.min_similarity, color="black", linewidth=0.5)
    axes.set_xlim(0, 1)
    axes.legend(title="lines: facauth's thresholds")


def _steps(rates: Floats) -> Floats:
    steps: Floats = rates[1:] - rates[:-1]
    return steps
