"""Known vulnerabilities of what the requirements files named as arguments pin, by pip-audit.

Exit 0: none is known, or the database cannot be reached, which is said in one line. Exit 1: some
are known, or the question could not be put. pip-audit's own exit codes do not tell: 1 is both
"found" and "failed", and 0 is also the answer where a mirror knows no vulnerability data and says
"not found" to every package. So its report is read instead.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

PATIENCE_S = 40  # for all answers together; a reachable database takes 10 s for 60 packages
NO_ANSWER = re.compile(r"requests\.exceptions\.|ConnectionError|ServiceError|blocking this service")


def main(files: list[str]) -> str | None:
    """What is wrong, or None."""
    with TemporaryDirectory() as cache:
        audit = ["pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
        audit += [f"--cache-dir={cache}", *(f"--requirement={file}" for file in files)]
        reading = subprocess.run([*audit, "--dry-run"], capture_output=True, text=True, check=False)
        if reading.returncode:  # a file at fault is not to pass as a database that is
            return f"pip-audit cannot read {', '.join(files)}: {reading.stderr.strip()}"
        try:
            asking = subprocess.run(
                [*audit, "--timeout=10", "--format=json"],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            skip(f"no full answer within {PATIENCE_S} s")
            return None
    try:
        packages = json.loads(asking.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = asking.stderr.strip()
        if not NO_ANSWER.search(said):
            return f"pip-audit failed: {said or 'it said nothing'}"
        skip(said.splitlines()[-1])
        return None
    return judged(packages)


def skip(why: str) -> None:
    """Says so in one line."""
    print(f"skipped: the database of vulnerabilities cannot be reached ({why})")


def judged(packages: list[dict[str, Any]]) -> str | None:
    """What is wrong with the packages of a report."""
    unknown = [package["name"] for package in packages if "vulns" not in package]
    if unknown and len(unknown) == len(packages):
        skip(f"what answers in its place knows none of {len(packages)} packages")
        return None
    found = [
        f"{package['name']} {package['version']}: {hole['id']}, "
        f"fixed in {', '.join(hole['fix_versions']) or 'no version'}"
        for package in packages
        for hole in package.get("vulns", [])
    ]
    # What was taken off the index after it was pinned is what one wants to hear of most.
    found += [f"{name}: this version is not in the database; was it withdrawn?" for name in unknown]
    if found:
        return "\n".join(found)
    print(f"{len(packages)} packages, no known vulnerability")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
