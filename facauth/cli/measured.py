"""Results of evaluate spoof and evaluate replay, as JSON fields and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from facauth.cli.tables import aligned
from facauth.errors import shown
from facauth.measure import rates

if TYPE_CHECKING:
    from facauth.measure import replay, spoof
    from facauth.measure.rates import Rate
    from facauth.settings import SpoofPolicy

INTERVALS = {"level": rates.LEVEL, "resamples": rates.RESAMPLES, "seed": rates.SEED}


def rate_fields(rate: Rate | None) -> dict[str, Any] | None:
    """A rate with its counts and its interval."""
    if rate is None:
        return None
    return {
        "rate": rate.estimate,
        "count": rate.count,
        "of": rate.trials,
        "groups": rate.groups,
        "interval": list(rate.interval),
        "method": str(rate.method),
    }


# ---- evaluate spoof


def spoof_fields(found: spoof.SpoofEvaluation, policy: SpoofPolicy) -> dict[str, Any]:
    """The documented `evaluation` object of `evaluate spoof`."""
    return {
        "threshold": policy.min_live_score,
        "attack_threshold": policy.min_unsure_score,
        "worst_species": found.worst_species,
        "species": [_attack_fields(row) for row in found.species],
        "attack_groups": [_attack_fields(row) for row in found.attack_groups],
        "live": _live_fields(found.live),
        "live_sources": [_live_fields(row) for row in found.live_sources],
        "live_groups": [_live_fields(row) for row in found.live_groups],
        "errors": [
            {
                "image": shown(photo.path),
                "species": photo.species,
                "live_score": None if isnan(seen.live_score) else seen.live_score,
            }
            for photo, seen in found.errors
        ],
        "unreadable": unreadable_fields(
            (photo, seen.reasons[0].code) for photo, seen in found.unreadable
        ),
        "intervals": INTERVALS,
    }


def _attack_fields(row: spoof.Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "photos": row.photos,
        "apcer": rate_fields(row.wrong),
        "unsure": rate_fields(row.unsure),
        "apnrr": rate_fields(row.silent),
        "iapar": rate_fields(row.accepted),
        "unjudged": row.unjudged,
    }


def _live_fields(row: spoof.Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "photos": row.photos,
        "bpcer": rate_fields(row.wrong),
        "unsure": rate_fields(row.unsure),
        "bpnrr": rate_fields(row.silent),
        "unjudged": row.unjudged,
    }


def unreadable_fields(files: Iterable[tuple[Any, str]]) -> list[dict[str, str]]:
    """Unreadable photos, each with a reason code."""
    return [{"image": shown(photo.path), "reason": code} for photo, code in files]


def spoof_lines(found: spoof.SpoofEvaluation, policy: SpoofPolicy) -> list[str]:
    """Tables of attacks and of live photos; persons and set-ups only if they have an error."""
    tried = any(row.accepted for row in found.species)
    columns = (
        "Attacks",
        "n",
        "judged",
        "unsure",
        "live",
        "APCER",
        "95 %",
        "APNRR",
        *["IAPAR"] * tried,
    )
    named = {row.name for row in found.species}
    set_ups = [row for row in found.attack_groups if row.wrong.count and row.name not in named]
    attacks = sorted((*found.species, *set_ups), key=lambda row: row.name)
    rows = [(*_cells(row), *[_rate(row.accepted)] * tried) for row in attacks]
    lines = [*aligned(columns, rows), _worst(found), ""] if rows else []
    persons = [row for row in found.live_groups if row.wrong.count and _is_person(row.name)]
    rest = sorted((*found.live_sources, *persons), key=lambda row: row.name)
    columns = ("Live", "n", "judged", "unsure", "attack", "BPCER", "95 %", "BPNRR")
    if found.live.photos:
        lines += [*aligned(columns, [_cells(row) for row in (found.live, *rest)]), ""]
    unjudged = _counted([*found.species, found.live])
    lines += [f"not judged: {unjudged}"] if unjudged else []
    limits = f"live from {policy.min_live_score:g}, attack below {policy.min_unsure_score:g}"
    return [*lines, f"{limits}; persons and set-ups without an error: see --json"]


def _is_person(group: str) -> bool:
    """Whether a group is a folder in live/, not the photos beside such folders."""
    return group.rpartition("/")[2] != "live"


def _cells(row: spoof.Row) -> tuple[str, ...]:
    wrong = row.wrong
    counts = map(str, (row.photos, wrong.trials, row.unsure.count, wrong.count))
    return (shown(row.name), *counts, _rate(wrong), _interval(wrong), _rate(row.silent))


def _worst(found: spoof.SpoofEvaluation) -> str:
    worst = [row for row in found.species if row.name == found.worst_species]
    if not worst:
        return "worst species: none was judged"
    apcer = worst[0].wrong
    return f"worst species: {shown(worst[0].name)}, APCER {_rate(apcer)}, {_interval(apcer)}"


def _counted(rows: Sequence[spoof.Row]) -> str:
    """ "3 face.none, 1 liveness.noise"."""
    counts: dict[str, int] = {}
    for row in rows:
        for code, photos in row.unjudged.items():
            counts[code] = counts.get(code, 0) + photos
    return ", ".join(f"{photos} {code}" for code, photos in sorted(counts.items()))


# ---- evaluate replay


def replay_fields(found: replay.ReplayEvaluation) -> dict[str, Any]:
    """The documented `evaluation` object of `evaluate replay`."""
    return {
        "worst_medium": rates.worst({row.name: row.missed for row in found.media}),
        "media": [{**_pair_fields(row), "found": rate_fields(row.found)} for row in found.media],
        "other": None
        if found.other is None
        else {**_pair_fields(found.other), "false_alarms": rate_fields(found.other.found)},
        "errors": [
            {
                "image": shown(pair.path),
                "original": shown(pair.original),
                "medium": pair.medium,
                "verdict": str(compared.verdict),
            }
            for pair, compared in found.errors
        ],
        "unreadable": unreadable_fields(
            (pair, answer.reasons[0].code) for pair, answer in found.unreadable
        ),
        "intervals": INTERVALS,
    }


def _pair_fields(row: replay.Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "pairs": row.pairs,
        "frame_only": row.frame_only,
        "same_sitting": rate_fields(row.same_sitting),
    }


def replay_lines(found: replay.ReplayEvaluation) -> list[str]:
    """A table of the media, and of other photos."""
    columns = ("Medium", "n", "found", "share", "95 %", "same sitting", "no face")
    rows = [
        (
            shown(row.name),
            str(row.pairs),
            str(row.found.count),
            _rate(row.found),
            _interval(row.found),
            _rate(row.same_sitting),
            str(row.frame_only),
        )
        for row in (*found.media, *filter(None, [found.other]))
    ]
    lines = aligned(columns, rows) if rows else []
    if any(row.frame_only for row in (*found.media, *filter(None, [found.other]))):
        lines.append("no face: only the whole frames were compared")
    return lines


# ---- text


def _rate(rate: Rate | None) -> str:
    return "-" if rate is None or rate.estimate is None else f"{rate.estimate:.1%}"


def _interval(rate: Rate) -> str:
    return "-" if rate.estimate is None else "{:.1%} to {:.1%}".format(*rate.interval)
