"""Lists the licences of everything that facauth runs: packages, networks, sample pictures.

    python .ci/licences.py

One tab-separated line each. The exit code is 1 if one is not known to allow commercial use.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from facauth.extras import EXTRAS, PACKAGES
from facauth.networks import read_manifest
from facauth.samples import sample

# Licences that allow commercial use, by the names that SPDX, classifiers and authors give them.
# What is not here is not known to: forbidden, never heard of and not stated end the same.
COMMERCIAL = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "HPND", "ISC"),
    *("LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU"),
    *("MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
    *("Apache Software License", "BSD License", "Boost Software License", "ISC License"),
    *("GNU Lesser General Public License v3", "MIT License", "Mozilla Public License 2.0"),
    *("Python Software Foundation License", "CC0 1.0", "US federal work, public domain"),
    *("as the original", "as the originals"),  # of a picture made from others of the same list
}


@dataclass(frozen=True, slots=True)
class Licensed:
    """One thing that facauth runs or ships, and the licence it states."""

    kind: str  # package, network or picture
    name: str
    version: str  # of a network the start of its SHA-256; of a picture nothing
    license: str
    ok: bool  # the licence is known to allow commercial use


def licensed() -> Iterator[Licensed]:
    """Packages and all they need, extras included, as installed; the networks; sample pictures.

    Raises SetupProblem when there is no manifest or no list of pictures. What the wheels of
    packages bundle is not seen here: NOTICE names it.
    """
    for name, package in _packages():
        if package is None:
            yield _judged("package", name, "", "not installed")
        else:
            licence = stated_licence(package.metadata)
            yield _judged("package", package.name, package.version, licence)
    for weight in read_manifest().values():
        yield _judged("network", weight.path.name, weight.sha256[:12], weight.licence)
    yield from _pictures(Path(sample("CREDITS.md")))


def _judged(kind: str, name: str, version: str, licence: str) -> Licensed:
    return Licensed(kind, name, version, licence, allows_commercial_use(licence))


def allows_commercial_use(licence: str) -> bool:
    """Whether a licence, or an SPDX expression of several, is known to.

    Where there are brackets, every part of the expression must be known to, alternatives too.
    """
    plain = re.sub(r" WITH [\w.-]+", "", licence)  # an exception only ever allows more
    ways = [plain] if "(" in plain else plain.split(" OR ")
    parts = [re.split(r" AND | OR ", way) for way in ways]
    return any(all(part.strip("()") in COMMERCIAL for part in way) for way in parts)


def stated_licence(package: metadata.PackageMetadata) -> str:
    """The SPDX expression; else the classifiers; else the old field, unless it is a whole text."""
    stated = [text.split(" :: ") for text in package.get_all("Classifier") or []]
    names = [re.sub(r" \(.*\)$", "", words[-1]) for words in stated if words[0] == "License"]
    classified = " AND ".join(names)
    line = (package.get_all("License") or [""])[0]
    named = line if len(line) < 60 and "\n" not in line else ""
    expression = (package.get_all("License-Expression") or [""])[0]
    return expression or classified or named or "not stated"


def _packages() -> Iterator[tuple[str, metadata.Distribution | None]]:
    """What facauth asks for, and what that asks for; None is asked for and not there.

    A condition, such as an operating system, is not evaluated: what is there is listed.
    """
    waiting = [(name, True) for name in PACKAGES]
    waiting += [(module, False) for extra in EXTRAS for module in extra.modules]
    waiting += [("psycopg-binary", False)]  # psycopg[binary]: extras of others are not followed
    seen = set[str]()
    for name, needed in waiting:  # grows meanwhile
        if _canonical(name) in seen:
            continue
        package = _installed(name)
        if package or needed:
            seen.add(_canonical(name))
            yield name, package
        waiting += _needs((package and package.requires) or [])


def _needs(requirements: list[str]) -> Iterator[tuple[str, bool]]:
    """Names, and whether without condition; what only an extra asks for is left out."""
    for line in requirements:
        if not re.search(r";.*\bextra\b", line):
            yield re.split(r"[^\w.-]", line, maxsplit=1)[0], ";" not in line


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _pictures(credits_file: Path) -> Iterator[Licensed]:
    """Every picture beside CREDITS.md, with the licence that its row there states."""
    rows = [line.split("|") for line in credits_file.read_text("utf-8").splitlines()]
    stated = {row[1].strip(" `"): row[4].strip() for row in rows if len(row) == 7}
    for path in sorted(credits_file.parent.iterdir()):
        if path.suffix in {".jpg", ".png"}:
            licence = stated.get(path.name, "not stated")
            known = re.split(r"[;(]", licence)[0].strip() in COMMERCIAL
            shown = licence.replace("(1)", "(but see CREDITS.md)")
            yield Licensed("picture", path.name, "", shown, known)


def main() -> int:
    """Print everything; the exit code."""
    things = list(licensed())
    for each in things:
        mark = "ok" if each.ok else "BAD"
        print(mark, each.kind, each.name, each.version, each.license, sep="\t")
    bad = ", ".join(each.name for each in things if not each.ok)
    if bad:
        message = f"not known to allow commercial use: {bad}; read the licence first"
        print(message, file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
