"""Which photos a folder holds for an evaluation, and what each is known to show."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facauth.errors import Reason, UsageProblem, shown
from facauth.faces.folder import is_folder, photos_below

LIVE, ATTACK = "live", "attack"
ORIGINAL, OTHER = "original", "other"
SPOOF_LAYOUT = "make live/ and attack*/, or SOURCE/live/ and SOURCE/attack*/, with photos"
REPLAY_LAYOUT = "make original/NAME, one folder per medium with NAME, and other/NAME/"
GROUPED_LAYOUT = "make a folder for each group, and in it one of photos for each person"
PORTRAIT_LAYOUT = "make a folder of photos for each of two or more people"
PAIR_COLUMNS = {"original", "recapture"}


@dataclass(frozen=True, slots=True)
class Presentation:
    """One photo and what it shows."""

    path: str
    source: str  # the folder that holds live/ and attack*/; "" if that is the one evaluated
    species: str | None  # kind of attack: SOURCE/attack…; None for a live photo
    group: str  # person or set-up: SOURCE/live/PERSON; photos beside such folders are one group


@dataclass(frozen=True, slots=True)
class Pair:
    """An original, and a photo that shows it again or (other) does not."""

    original: str
    path: str
    medium: str | None  # what shows the original again; None for another photo


@dataclass(frozen=True, slots=True)
class Portrait:
    """One photo and whom it shows."""

    path: str
    file: str  # PERSON/IMAGE, below the folder evaluated
    person: str


def portraits(folder: Path) -> list[Portrait]:
    """The photos in FOLDER/PERSON/, in order of their paths.

    Raises UsageProblem where they are not of two people or more.
    """
    return _of_two_people(_portraits_in(folder, folder), folder, PORTRAIT_LAYOUT)


def grouped_portraits(folder: Path) -> tuple[list[Portrait], dict[str, str]]:
    """The photos in FOLDER/GROUP/PERSON/, and the group of each (by Portrait.file).

    Somebody may be in several groups. Raises UsageProblem where they are not of two people or more.
    """
    found = {group.name: _portraits_in(group, folder) for group in _folders(folder)}
    photos = [each for of_group in found.values() for each in of_group]
    group_of = {each.file: group for group, of_group in found.items() for each in of_group}
    return _of_two_people(photos, folder, GROUPED_LAYOUT), group_of


def _portraits_in(people: Path, folder: Path) -> list[Portrait]:
    return [
        Portrait(path, Path(path).relative_to(folder).as_posix(), person.name)
        for person in _folders(people)
        for path in photos_below(person)
    ]


def _of_two_people(found: list[Portrait], folder: Path, layout: str) -> list[Portrait]:
    if len({each.person for each in found}) < 2:
        raise _not_laid_out(folder, "no photos of two people", layout)
    return found


def presentations(folder: Path) -> list[Presentation]:
    """The photos below live/ and attack*/, of the folder or of each source in it.

    Raises UsageProblem where there are none.
    """
    sources = [folder] if _kinds(folder) else [each for each in _folders(folder) if _kinds(each)]
    found = [
        _presentation(Path(path), kind, source, folder)
        for source in sources
        for kind in _kinds(source)
        for path in photos_below(kind)
    ]
    if not found:
        raise _not_laid_out(folder, "neither live/ nor attack*/ with photos", SPOOF_LAYOUT)
    return found


def _presentation(path: Path, kind: Path, source: Path, folder: Path) -> Presentation:
    inside = path.relative_to(kind).parts
    group = kind / inside[0] if len(inside) > 1 else kind
    return Presentation(
        str(path),
        "" if source == folder else source.name,
        None if kind.name == LIVE else kind.relative_to(folder).as_posix(),
        group.relative_to(folder).as_posix(),
    )


def _kinds(source: Path) -> list[Path]:
    return [each for each in _folders(source) if each.name == LIVE or each.name.startswith(ATTACK)]


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if _is_open_folder(each))
    except OSError as error:
        why = {FileNotFoundError: "does not exist", NotADirectoryError: "is not a folder"}.get(
            type(error), f"cannot be read ({error.strerror})"
        )
        reason = Reason("evaluate.folder", f"{shown(folder)} {why}", "name a folder of photos")
        raise UsageProblem(reason) from error


def _is_open_folder(path: Path) -> bool:
    return is_folder(path) and not path.name.startswith(".")


def _not_laid_out(folder: Path, what: str, advice: str) -> UsageProblem:
    return UsageProblem(Reason("evaluate.layout", f"{shown(folder)} holds {what}", advice))


# ---- replay


def pairs(source: Path) -> list[Pair]:
    """The pairs of a folder, or of a CSV file with the columns original and recapture.

    Raises UsageProblem where there are none, and where an original is missing.
    """
    return _listed(source) if os.path.isfile(source) else _laid_out(source)  # noqa: PTH113


def _laid_out(folder: Path) -> list[Pair]:
    media = [each for each in _folders(folder) if each.name not in (ORIGINAL, OTHER)]
    originals: dict[str, list[Path]] = {}
    for path in _photos_in(folder / ORIGINAL):
        originals.setdefault(path.stem, []).append(path)
    found = [
        Pair(_only(originals, path.stem, path), str(path), medium.name)
        for medium in media
        for path in _photos_in(medium)
    ]
    found += [
        Pair(_only(originals, _of_whom(path, folder / OTHER), path), str(path), None)
        for path in _photos_below(folder / OTHER)
    ]
    if not found:
        raise _not_laid_out(folder, "no recaptures of an original/", REPLAY_LAYOUT)
    return found


def _photos_in(folder: Path) -> list[Path]:
    """Those right in it."""
    return [path for path in _photos_below(folder) if path.parent == folder]


def _photos_below(folder: Path) -> list[Path]:
    return [Path(path) for path in photos_below(folder)] if is_folder(folder) else []


def _of_whom(path: Path, others: Path) -> str:
    """other/NAME/photo.jpg and other/NAME.jpg are compared with original/NAME."""
    inside = path.relative_to(others)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def _only(originals: dict[str, list[Path]], name: str, probe: Path) -> str:
    """The one original of this name, whatever its suffix."""
    named = originals.get(name, [])
    if len(named) != 1:
        found = f"has {len(named)} originals" if named else "has no original"
        advice = f"put one photo called {shown(name)} into {ORIGINAL}/"
        raise UsageProblem(Reason("evaluate.original", f"{shown(probe)} {found}", advice))
    return str(named[0])


def _listed(source: Path) -> list[Pair]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            found = list(_rows(source, csv.DictReader(file)))
    except (OSError, UnicodeError, csv.Error) as error:
        raise _bad_list(source, "cannot be read as CSV") from error
    if not found:
        raise _bad_list(source, "lists no pair")
    return found


def _rows(source: Path, rows: csv.DictReader[str]) -> Iterator[Pair]:
    if not set(rows.fieldnames or ()) >= PAIR_COLUMNS:
        raise _bad_list(source, "has no columns original and recapture")
    for row in rows:
        kind = row.get("kind") or "replay"
        if kind not in ("replay", OTHER) or not row["original"] or not row["recapture"]:
            raise _bad_list(source, f"has a line {rows.line_num} that cannot be understood")
        medium = row.get("medium") or Path(row["recapture"]).parent.name or "recapture"
        yield Pair(
            str(source.parent / row["original"]),
            str(source.parent / row["recapture"]),
            None if kind == OTHER else medium,
        )


def _bad_list(source: Path, what: str) -> UsageProblem:
    advice = "give columns original, recapture and, if wanted, medium and kind (replay, other)"
    return UsageProblem(Reason("evaluate.pairs", f"{shown(source)} {what}", advice))
