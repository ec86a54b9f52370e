"""Who is to be enrolled with which photos: read from a folder or from a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from facauth.errors import FacauthError, Reason, UsageProblem, image_name, shown
from facauth.faces.folder import is_folder, is_photo, photos_below
from facauth.files import read_bounded, write_private
from facauth.records import Consent, PersonName
from facauth.settings import IMAGE

LAYOUT = "make NAME.jpg or NAME/*.jpg for each person"
COLUMNS = "give the columns name and file and, if wanted, consent and purpose"
MAX_TABLE_BYTES = 2**26  # half a million lines


@dataclass(frozen=True, slots=True)
class Entry:
    """One person and the photos to enrol."""

    name: PersonName
    files: tuple[str, ...]
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """A line of a table, or a file or folder, that nobody can be enrolled from."""

    name: str
    file: str
    refusal: FacauthError
    consent: Consent | None = None


@dataclass(slots=True)
class Roster:
    """The people of a folder or table, in its order, and what is left out."""

    people: list[Entry] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)
    others: int = 0  # files that are no photos by their suffix

    @classmethod
    def read(cls, source: Path) -> Roster:
        """From FOLDER/NAME.jpg and FOLDER/NAME/*.jpg, or from a CSV or TSV file.

        Names that differ in case alone are one person. Raises UsageProblem if there is nobody.
        """
        roster = cls()
        if is_folder(source):
            roster._add_all(_in_folder(source, roster))
        else:
            roster._add_all(_in_table(source))
        if not roster.people and not roster.unfit:
            message = f"there is nobody to enrol in {shown(source)}"
            raise UsageProblem(Reason("roster.empty", message, LAYOUT))
        return roster

    def _add_all(self, lines: Iterator[_Line]) -> None:
        entries: dict[str, list[_Line]] = {}
        for line in lines:
            try:
                entries.setdefault(PersonName.parse(line.name).key, []).append(line)
            except UsageProblem as refusal:
                self.unfit.append(Unfit(line.name, line.file, refusal))
        self.people += filter(None, map(self._entry, entries.values()))

    def _entry(self, lines: Sequence[_Line]) -> Entry | None:
        name = PersonName.parse(lines[0].name)
        files = tuple(dict.fromkeys(line.file for line in lines))
        try:
            return Entry(name, files, _consent(lines))
        except UsageProblem as refusal:
            self.unfit += [Unfit(name.text, file, refusal) for file in files]
            return None

    def leave_out_copies(self) -> None:
        """Move people whose photos are copies of another person's files to `unfit`."""
        owners: dict[str, set[str]] = {}
        for files in _copies([file for entry in self.people for file in entry.files]):
            for file in files:
                owners[file] = set(files)
        kept = []
        for entry in self.people:
            theirs = {other for file in entry.files for other in owners.get(file, ())}
            if theirs <= set(entry.files):
                kept.append(entry)
            else:
                self.unfit += [_copied(entry, file, owners) for file in entry.files]
        self.people = kept


def _consent(lines: Sequence[_Line]) -> Consent | None:
    """The consent of one person's lines. Raises UsageProblem unless they have the same."""
    consents = {Consent.parse(line.consent, line.purpose) for line in lines}
    if len(consents) > 1:
        message = f"the lines of {shown(lines[0].name)} have different consents"
        advice = "write the same consent in each line"
        raise UsageProblem(Reason("roster.consents", message, advice))
    return consents.pop()


def _copied(entry: Entry, file: str, owners: dict[str, set[str]]) -> Unfit:
    twins = sorted(owners.get(file, set()) - set(entry.files))
    what = f"is a copy of {image_name(twins[0])}" if twins else "stands beside such a copy"
    reason = Reason("roster.copy", f"{image_name(file)} {what}", "give each photo one name")
    return Unfit(entry.name.text, file, UsageProblem(reason), entry.consent)


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    file: str
    consent: str | None = None
    purpose: str | None = None


# --- folders -------------------------------------------------------------------------------------


def _in_folder(folder: Path, roster: Roster) -> Iterator[_Line]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _unreadable(folder, error) from error
    for path in inside:
        if is_folder(path):
            found = _below(path, roster)
            yield from (_Line(path.name, file) for file in found)
        elif is_photo(path.name):
            yield _Line(path.stem, str(path))
        else:
            roster.others += 1


def _below(folder: Path, roster: Roster) -> list[str]:
    message = f"there are no photos in {shown(folder)}"
    refusal = UsageProblem(Reason("image.no_photos", message, "check the path"))
    try:
        if found := photos_below(folder):
            return found
    except UsageProblem as unreadable:
        refusal = unreadable
    roster.unfit.append(Unfit(folder.name, str(folder), refusal))
    return []


def _unreadable(path: Path, error: OSError) -> UsageProblem:
    what = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
    return UsageProblem(Reason("roster.unreadable", f"{shown(path)} {what}", "check the path"))


# --- tables --------------------------------------------------------------------------------------


def _in_table(table: Path) -> Iterator[_Line]:
    try:
        content = read_bounded(table, MAX_TABLE_BYTES)
        if len(content) > MAX_TABLE_BYTES:
            raise _bad_table(table, "is too large for a table")
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        delimiter = "\t" if table.suffix.lower() in (".tsv", ".tab") else ","
        rows = csv.DictReader(text, delimiter=delimiter, strict=True)
        names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        file = names.get("file") or names.get("files")
        if file is None or "name" not in names:
            raise _bad_table(table, "has no columns name and file")
        columns = [names["name"], file, names.get("consent", ""), names.get("purpose", "")]
        for row in rows:
            yield from _lines(table, rows.line_num, [row.get(each) for each in columns])
    except OSError as error:
        raise _unreadable(table, error) from error
    except (ValueError, csv.Error) as error:
        raise _bad_table(table, "cannot be read as CSV in UTF-8") from error


def _lines(table: Path, number: int, row: Sequence[str | None]) -> Iterator[_Line]:
    name, files, consent, purpose = ((value or "").strip() for value in row)
    named = [file.strip() for file in files.split(";") if file.strip()]
    if not name and not named:
        return
    if not name or not named:
        raise _bad_table(table, f"has no name or no file in line {number}")
    for file in named:
        yield _Line(name, os.path.join(table.parent, file), consent or None, purpose or None)  # noqa: PTH118  Path takes ./x for x


def _bad_table(table: Path, what: str) -> UsageProblem:
    return UsageProblem(Reason("roster.table", f"{shown(table)} {what}", COLUMNS))


# --- copies --------------------------------------------------------------------------------------


def _copies(files: Sequence[str]) -> Iterator[list[str]]:
    """The groups of files with the same bytes; only files of one size are read."""
    sizes: dict[int, list[str]] = {}
    for file in files:
        try:
            status = Path(file).stat()
        except (OSError, ValueError):  # the one who looks at the photo says why
            continue
        sizes.setdefault(status.st_size, []).append(file)
    for alike in sizes.values():
        digests: dict[str, list[str]] = {}
        for file in alike if len(alike) > 1 else ():
            digests.setdefault(_digest(file), []).append(file)
        yield from (group for group in digests.values() if len(group) > 1)


def _digest(file: str) -> str:
    """Of the bytes; of an unreadable file, its path, which no other file has."""
    try:
        return sha256(read_bounded(file, IMAGE.max_bytes)).hexdigest()
    except (OSError, ValueError):
        return file


# --- what failed ---------------------------------------------------------------------------------


def require_target(target: Path) -> None:
    """Raises UsageProblem unless a file can be written there; asked before anything is done."""
    if is_folder(target) or not os.access(target.parent, os.W_OK):
        raise _unwritable(target)


def write_failed(target: Path, failed: Sequence[Unfit]) -> None:
    """A table of what was not enrolled, which `read` takes; only its owner can read it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "file", "consent", "purpose", "code", "why", "advice"))
    for each in failed:
        consent = (each.consent.text, each.consent.purpose or "") if each.consent else ("", "")
        reason = each.refusal.reasons[0]
        file = os.path.abspath(each.file)  # noqa: PTH100  Path.resolve follows links
        rows.writerow((each.name, file, *consent, reason.code, reason.message, reason.advice))
    try:
        write_private(target, text.getvalue().encode("utf-8", "surrogateescape"), over=True)
    except OSError as error:
        raise _unwritable(target) from error


def _unwritable(target: Path) -> UsageProblem:
    message = f"{shown(target)} cannot be written"
    return UsageProblem(Reason("roster.unwritable", message, "name another file with --failed"))
