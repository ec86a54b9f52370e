"""Error rates by group: groups.csv says of each person or image in a folder to which it belongs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facauth.errors import Reason, UsageProblem, shown
from facauth.measure.comparisons import Gallery, reached
from facauth.measure.folders import Portrait, grouped_portraits, portraits
from facauth.measure.matching import Bools, Floats, Ints
from facauth.measure.rates import Estimate, estimates

FILE = "groups.csv"
ADVICE = "give columns group and person, or group and image (PERSON/IMAGE), each named once"
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Across:
    """FMR of templates of one group with photos of another, or of the same."""

    enrolled: str
    probe: str
    pairs: int  # different pairs of people compared
    matched: int  # of them, those with a match
    comparisons: int
    fmr: Estimate | None


@dataclass(frozen=True, slots=True)
class Within:
    """FNMR of the photos of one group."""

    group: str
    people: int
    comparisons: int
    fnmr: Estimate | None


@dataclass(frozen=True, slots=True)
class CrossTabs:
    """Everything by group, at one threshold."""

    min_similarity: float
    across: tuple[Across, ...]
    within: tuple[Within, ...]
    ungrouped: int  # photos of which groups.csv says nothing

    @property
    def worst(self) -> Across | None:
        """The group whose people match each other falsely most often; of equals the least known."""
        known = {
            each: (each.fmr.value, -each.pairs)
            for each in self.across
            if each.enrolled == each.probe and each.fmr
        }
        return max(known, key=lambda each: known[each], default=None)

    @property
    def most_missed(self) -> Within | None:
        """The group whose people are missed most often; of equals the least known."""
        known = {each: (each.fnmr.value, -each.people) for each in self.within if each.fnmr}
        return max(known, key=lambda each: known[each], default=None)


# ---- the file


FOLDERS = "folders"  # in the place of a file: FOLDER/GROUP/PERSON/IMAGE


def grouped(folder: Path, groups: str | None) -> tuple[list[Portrait], dict[str, str] | None]:
    """The photos of a folder, and the group of each that has one; None without groups.

    groups: a CSV file, or FOLDERS; if None, groups.csv in the folder counts. Raises UsageProblem.
    """
    if groups == FOLDERS:
        return grouped_portraits(folder)
    photos = portraits(folder)
    if groups is None:
        return photos, read_groups(folder / FILE, photos)
    group_of = read_groups(Path(groups), photos)
    if group_of is None:
        raise _bad(Path(groups), "is not there")
    return photos, group_of


def read_groups(source: Path, photos: Sequence[Portrait]) -> dict[str, str] | None:
    """The group of each photo (PERSON/IMAGE) that has one; None without such a file.

    Raises UsageProblem for a file that cannot be understood, with the line.
    """
    if source.is_fifo():  # which would be waited for
        raise _bad(source, "is no file")
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            return dict(_of_photos(source, csv.DictReader(file), photos))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError, csv.Error) as error:
        raise _bad(source, "cannot be read as CSV") from error


def _of_photos(
    source: Path, rows: csv.DictReader[str], photos: Sequence[Portrait]
) -> Iterator[tuple[str, str]]:
    columns = {"person", "image"} & set(rows.fieldnames or ())
    if len(columns) != 1 or "group" not in (rows.fieldnames or ()):
        raise _bad(source, "has no columns group and person, or group and image")
    (column,) = columns
    files: dict[str, list[str]] = {}
    for photo in photos:
        files.setdefault(photo.person if column == "person" else photo.file, []).append(photo.file)
    seen = set()
    for row in rows:
        name, group = (row[column] or "").strip(), (row["group"] or "").strip()
        if not group or name not in files or name in seen:
            what = "comes twice" if name in seen else "has no group" if not group else "is not here"
            raise _bad(
                source, f"names on line {rows.line_num} {shown(name) or 'nobody'}, which {what}"
            )
        seen.add(name)
        yield from ((file, group) for file in files[name])


def _bad(source: Path, what: str) -> UsageProblem:
    return UsageProblem(Reason("evaluate.groups", f"{shown(source)} {what}", ADVICE))


# ---- the rates


def cross_tabs(
    gallery: Gallery,
    files: Iterable[str],
    group_of: dict[str, str],
    threshold: float,
    lost: Iterable[tuple[int, str]] = (),
) -> CrossTabs:
    """files: of the gallery's photos. A template of photos of several groups counts in none.

    lost: (person, file) of photos that count as missed.
    """
    names = sorted(set(group_of.values()))
    number = {name: place for place, name in enumerate(names)}
    probe = np.array([number.get(group_of.get(file, ""), NOBODY) for file in files])
    members, people, lost = probe[gallery.members], len(gallery.photos_each()), list(lost)
    enrolled = np.where((members == members[:, :1]).all(1), members[:, 0], NOBODY)
    hits = _Hits.of(gallery, threshold)
    across = [
        each
        for one, here in enumerate(names)
        for other, there in enumerate(names)
        if (each := _across(gallery, hits, (enrolled == one, probe == other), (here, there)))
    ]
    misses = [
        np.bincount(
            [person for person, file in lost if group_of.get(file) == name], minlength=people
        )
        for name in names
    ]
    within = [
        _within(gallery, hits, probe == one, (name, misses[one])) for one, name in enumerate(names)
    ]
    return CrossTabs(threshold, tuple(across), tuple(within), int((probe == NOBODY).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """What reaches the threshold."""

    template: Ints
    photo: Ints
    owner: Ints
    person: Ints

    @classmethod
    def of(cls, gallery: Gallery, threshold: float) -> _Hits:
        template, photo, _ = reached(gallery, threshold)
        return cls(template, photo, gallery.owner[template], gallery.person[photo])


def _across(
    gallery: Gallery, hits: _Hits, chosen: tuple[Bools, Bools], names: tuple[str, str]
) -> Across:
    """chosen: of the templates, and of the photos."""
    people = len(gallery.photos_each())
    templates = np.bincount(gallery.owner[chosen[0]], minlength=people)
    photos = np.bincount(gallery.person[chosen[1]], minlength=people)
    here = chosen[0][hits.template] & chosen[1][hits.photo] & (hits.owner != hits.person)
    owner, person = hits.owner[here], hits.person[here]
    weight = 1 / (templates[owner] * photos[person])
    enrolled, probes = (templates > 0).astype(float), (photos > 0).astype(float)

    def rates_of(copies: Ints | None) -> Floats:
        n = np.ones(people) if copies is None else copies
        of = (n @ enrolled) * (n @ probes) - (n * n) @ (enrolled * probes)
        return np.array([(weight * n[owner] * n[person]).sum() / of if of else np.nan])

    both = int((enrolled * probes).sum())
    pairs = int(enrolled.sum() * probes.sum()) - both - both * (both - 1) // 2
    (fmr,) = estimates(rates_of, [pairs], people)
    matched = len(np.unique(np.minimum(owner, person) * people + np.maximum(owner, person)))
    comparisons = int(templates.sum() * photos.sum() - (templates * photos).sum())
    return Across(*names, pairs, matched, comparisons, fmr)


def _within(gallery: Gallery, hits: _Hits, chosen: Bools, group: tuple[str, Ints]) -> Within:
    """Of all templates of a person with the chosen photos of the same person.

    group: its name, and how many photos of each person count as missed.
    """
    name, lost = group
    people = len(gallery.photos_each())
    photos = np.bincount(gallery.person[chosen], minlength=people)
    part_of = np.bincount(gallery.owner, chosen[gallery.members].sum(1), people)
    comparisons = gallery.templates_each() * (photos + lost) - part_of
    here = chosen[hits.photo] & (hits.owner == hits.person)
    matched = np.bincount(hits.owner[here], minlength=people)
    there = comparisons > 0
    missed = 1 - matched / np.where(there, comparisons, 1)

    def rates_of(copies: Ints | None) -> Floats:
        n = there if copies is None else copies * there
        return np.array([(n @ np.where(there, missed, 0)) / n.sum() if n.any() else np.nan])

    (fnmr,) = estimates(rates_of, [int(there.sum())], people)
    return Within(name, int(there.sum()), int(comparisons.sum()), fnmr)
