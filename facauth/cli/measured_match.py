"""What `evaluate match` measured, as JSON fields and as tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from facauth.cli.measured import INTERVALS, rate_fields, unreadable_fields
from facauth.cli.tables import aligned
from facauth.errors import shown
from facauth.measure.matching import MIN_PAIRS

if TYPE_CHECKING:
    from facauth.measure.groups import CrossTabs
    from facauth.measure.identification import Identification
    from facauth.measure.rates import Estimate
    from facauth.measure.recognition import Kept, MatchEvaluation, Row, Shown

NOT_SHOWN = "not shown"
TOO_FEW = "not shown by so few pairs"


# ---- JSON


def fields(found: MatchEvaluation) -> dict[str, Any]:
    """The documented `evaluation` object of `evaluate match`."""
    return {
        "people": found.people,
        "photos": found.photos,
        "fte": rate_fields(found.fte),
        "failures": found.failures,
        "unreadable": unreadable_fields((photo, codes[0]) for photo, codes in found.unreadable),
        "at_fmr": found.at_fmr,
        "enrolment_photos": found.enrolment_photos,
        "count_fta": found.count_fta,
        "rows": [_row_fields(row) for row in found.rows],
        "gallery": None if found.gallery is None else _gallery_fields(found.gallery),
        "groups": None if found.groups is None else _group_fields(found.groups, found.at_fmr),
        "intervals": INTERVALS,
    }


def estimate_fields(rate: Estimate | None) -> dict[str, Any] | None:
    """A rate in which every person has the same weight."""
    if rate is None:
        return None
    low, high = rate.interval
    return {"rate": rate.value, "interval": [low, high], "method": str(rate.method)}


def _row_fields(row: Row) -> dict[str, Any]:
    return {
        "enrolment_photos": row.photos,
        "enrolled": row.enrolled,
        "people": row.people,
        "genuine": row.genuine,
        "impostor": row.impostor,
        "pairs": row.pairs,
        "eer": None if row.eer is None else row.eer.value,
        "eer_interval": None if row.eer is None else list(row.eer.interval),
        "set_here": [_shown_fields(each) for each in row.shown],
        "calibrated": [_kept_fields(each) for each in row.kept],
    }


def _shown_fields(each: Shown) -> dict[str, Any]:
    few = each.pairs < MIN_PAIRS
    return {
        "fmr": each.fmr,
        "pairs": each.pairs,
        "threshold": each.min_similarity,
        "fnmr": estimate_fields(each.fnmr),
        "unknown": TOO_FEW if few else None,
    }


def _kept_fields(each: Kept) -> dict[str, Any]:
    return {
        "asked_fmr": each.asked_fmr,
        "threshold": each.min_similarity,
        "fmr": estimate_fields(each.fmr),
        "pairs": each.pairs,
        "fnmr": estimate_fields(each.fnmr),
    }


def _gallery_fields(found: Identification) -> dict[str, Any]:
    return {
        "people": found.gallery,
        "enrolment_photos": found.photos,
        "asked_fpir": found.asked_fpir,
        "asked_fmr": found.asked_fmr,
        "threshold": found.min_similarity,
        "draws": found.draws,
        "strangers": found.strangers,
        "mates": found.mates,
        "fpir": estimate_fields(found.fpir),
        "fnir": estimate_fields(found.fnir),
    }


def _group_fields(found: CrossTabs, at_fmr: float) -> dict[str, Any]:
    worst, missed = found.worst, found.most_missed
    return {
        "worst": worst
        and {
            "group": worst.enrolled,
            "fmr": estimate_fields(worst.fmr),
            "over_asked": worst.fmr and worst.fmr.value / at_fmr,
        },
        "most_missed": missed and {"group": missed.group, "fnmr": estimate_fields(missed.fnmr)},
        "threshold": found.min_similarity,
        "ungrouped_photos": found.ungrouped,
        "across": [{**asdict(each), "fmr": estimate_fields(each.fmr)} for each in found.across],
        "within": [{**asdict(each), "fnmr": estimate_fields(each.fnmr)} for each in found.within],
    }


# ---- text


def lines(found: MatchEvaluation) -> list[str]:
    """Tables for each number of enrolment photos, then galleries and groups."""
    text = _photos(found)
    for row in found.rows:
        text += ["", *_row_lines(row)]
    if found.gallery:
        text += ["", *_gallery_lines(found.gallery)]
    if found.groups:
        text += ["", *_group_lines(found.groups, found.at_fmr)]
    return text


def unknown(found: MatchEvaluation, gallery: int | None) -> list[str]:
    """Notes on what could not be measured, with advice."""
    row, k = found.row, found.enrolment_photos
    if row is None:
        what = f"nobody has {k} usable photos" if found.rows else "no two people have usable photos"
        return [f"{what}, so nothing is measured with {_photos_of(k)}; add photos"]
    text = []
    if not row.people:
        text.append(f"nobody has {k + 1} usable photos, so the FNMR is unknown; add photos")
    if gallery and not found.gallery:
        text.append(
            f"a gallery of {gallery} leaves no usable person outside it; use a smaller --gallery"
        )
    return text


def _photos(found: MatchEvaluation) -> list[str]:
    fte = found.fte
    text = [f"{found.people} people, {found.photos} photos"]
    if fte.estimate is not None:
        low, high = fte.interval
        text[0] += f"; {fte.count} cannot be used (FTE {fte.estimate:.1%}, {low:.1%} to {high:.1%})"
    if found.count_fta:
        text[0] += "; they count as missed"
    return text + [f"  {photos} {code}" for code, photos in found.failures.items()]


def _photos_of(k: int) -> str:
    return f"{k} enrolment photo{'s' * (k > 1)}"


def _row_lines(row: Row) -> list[str]:
    eer = "unknown" if row.eer is None else f"{_percent(row.eer)} ({_percent_interval(row.eer)})"
    text = [
        f"{_photos_of(row.photos)}: EER {eer}",
        f"  {row.genuine} genuine comparisons, of {row.people} people",
        f"  {row.impostor} impostor comparisons, of {row.pairs} pairs of people",
        "Thresholds set on these photos",
        *aligned(("FMR", "pairs", "FNMR", "95 %"), [_shown_cells(each) for each in row.shown]),
    ]
    if any(each.pairs < MIN_PAIRS for each in row.shown):
        text.append(f"{NOT_SHOWN}: fewer than {MIN_PAIRS} pairs of people match")
    columns = ("FMR asked", "pairs", "FMR", "95 %", "FNMR", "95 %")
    return [*text, "facauth's thresholds", *aligned(columns, [_kept_cells(e) for e in row.kept])]


def _shown_cells(each: Shown) -> tuple[str, ...]:
    missed = each.fnmr if each.pairs >= MIN_PAIRS else None
    share = NOT_SHOWN if each.pairs < MIN_PAIRS else _percent(missed)
    return (f"{each.fmr:g}", str(each.pairs), share, _percent_interval(missed))


def _kept_cells(each: Kept) -> tuple[str, ...]:
    return (
        f"{each.asked_fmr:g}",
        str(each.pairs),
        _exponent(each.fmr),
        _exponent_interval(each.fmr),
        _percent(each.fnmr),
        _percent_interval(each.fnmr),
    )


def _gallery_lines(found: Identification) -> list[str]:
    title = f"Sign-ins to {found.draws} random galleries of {found.gallery} people"
    columns = ("rate", "people", "asked", "found", "95 %")
    fpir = ("FPIR", str(found.strangers), f"{found.asked_fpir:g}")
    fnir = ("FNIR", str(found.mates), "-", _percent(found.fnir), _percent_interval(found.fnir))
    rows = [(*fpir, _exponent(found.fpir), _exponent_interval(found.fpir)), fnir]
    return [f"{title}, {_photos_of(found.photos)} each", *aligned(columns, rows)]


def _group_lines(found: CrossTabs, at_fmr: float) -> list[str]:
    across = [
        (
            shown(each.enrolled),
            shown(each.probe),
            str(each.pairs),
            str(each.matched),
            _exponent(each.fmr),
            _exponent_interval(each.fmr),
        )
        for each in found.across
    ]
    within = [
        (
            shown(each.group),
            str(each.people),
            str(each.comparisons),
            _percent(each.fnmr),
            _percent_interval(each.fnmr),
        )
        for each in found.within
    ]
    text = [
        f"Groups at facauth's threshold for FMR {at_fmr:g}",
        *aligned(("enrolled", "probe", "pairs", "match", "FMR", "95 %"), across),
        *aligned(("group", "people", "comparisons", "FNMR", "95 %"), within),
    ]
    text += _worst_lines(found, at_fmr)
    return text + [f"{found.ungrouped} photos are in no group"] * bool(found.ungrouped)


def _worst_lines(found: CrossTabs, at_fmr: float) -> list[str]:
    text, worst, missed = [], found.worst, found.most_missed
    if worst and worst.fmr:
        rate, times = (
            f"FMR {_exponent(worst.fmr)} ({_exponent_interval(worst.fmr)})",
            worst.fmr.value / at_fmr,
        )
        text.append(
            f"worst group: {shown(worst.enrolled)}, {rate}, {times:.1f} times the one asked"
        )
    if missed:
        rate = f"FNMR {_percent(missed.fnmr)} ({_percent_interval(missed.fnmr)})"
        text.append(f"most missed group: {shown(missed.group)}, {rate}")
    return text


def _percent(rate: Estimate | None) -> str:
    return "-" if rate is None else f"{rate.value:.2%}"


def _percent_interval(rate: Estimate | None) -> str:
    return "-" if rate is None else "{:.2%} to {:.2%}".format(*rate.interval)


def _exponent(rate: Estimate | None) -> str:
    return "-" if rate is None else _scientific(rate.value)


def _exponent_interval(rate: Estimate | None) -> str:
    return "-" if rate is None else " to ".join(map(_scientific, rate.interval))


def _scientific(rate: float) -> str:
    return "0" if rate == 0 else f"{rate:.1e}".replace("e-0", "e-").replace("e+00", "")
