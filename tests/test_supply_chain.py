"""What facauth is made of: the licences that CI lists, and the audit that it runs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, SAMPLES, Facauth, Result, Tree, expected, tree
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_packaging import (
    PYPROJECT,
    RELEASE,
    WEIGHTS,
    hashes,
    locked_versions,
    runtime_requirements,
    with_transitive,
)

from facauth import __version__
from facauth.extras import EXTRAS, PACKAGES
from facauth.networks import read_manifest

NC = "CC-BY-NC-4.0"
Rows = list[list[str]]


# --- licences in CI ------------------------------------------------------------------------------


def script_of_ci(name: str) -> ModuleType:
    """A program of .ci/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    sys.modules[name] = script  # for its dataclasses
    spec.loader.exec_module(script)
    return script


LICENCES = script_of_ci("licences")


def listed(facauth: Facauth, exit_code: int = 0, env: dict[str, str] | None = None) -> Result:
    """What the program prints, run as CI runs it."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "licences.py"],
        cwd=facauth.here,
        env=facauth.environment(env),
        capture_output=True,
        text=True,
        check=False,
    )
    return expected(Result(done.returncode, done.stdout, done.stderr), exit_code)


def rows_of(text: str) -> Rows:
    return [line.split("\t") for line in text.splitlines()]


def of_kind(rows: Rows, kind: str) -> dict[str, list[str]]:
    return {row[2]: row for row in rows if row[1] == kind}


def asked_for_on_condition(names: set[str]) -> set[str]:
    lines = [Requirement(line) for name in names for line in distribution(name).requires or []]
    return {canonicalize_name(line.name) for line in lines if line.marker}


def test_doctor_knows_every_package_and_extra_of_pyproject() -> None:
    project = PYPROJECT["project"]
    assert list(PACKAGES) == [Requirement(line).name for line in project["dependencies"]]
    extras = {
        name: [canonicalize_name(Requirement(line).name) for line in lines]
        for name, lines in project["optional-dependencies"].items()
    }
    assert extras == {
        extra.name: [canonicalize_name(module) for module in extra.modules] for extra in EXTRAS
    }


def test_every_package_network_and_picture_is_listed(facauth: Facauth) -> None:
    result = listed(facauth)
    rows = rows_of(result.stdout)
    assert {row[0] for row in rows} == {"ok"}
    assert all(row[4] for row in rows)
    packages = {canonicalize_name(name): row[3] for name, row in of_kind(rows, "package").items()}
    needed = {name: distribution(name).version for name in with_transitive(runtime_requirements())}
    assert needed.items() <= packages.items()
    assert packages.keys() - needed.keys() <= asked_for_on_condition(set(packages))
    networks = of_kind(rows, "network")
    assert {name: row[4] for name, row in networks.items()} == {
        weight["file"]: weight["licence"] for weight in WEIGHTS
    }
    assert all(networks[weight["file"]][3] == weight["sha256"][:12] for weight in WEIGHTS)
    pictures = {path.name for path in SAMPLES.iterdir() if path.suffix != ".md"}
    assert set(of_kind(rows, "picture")) == pictures
    assert len(packages) + len(networks) + len(pictures) == len(rows)
    assert result.stderr == ""


def test_licences_are_what_the_packages_state(facauth: Facauth) -> None:
    """One of each way to state it: an expression, classifiers, a word in a field."""
    packages = of_kind(rows_of(listed(facauth).stdout), "package")
    assert packages["cryptography"][4] == "Apache-2.0 OR BSD-3-Clause"
    assert packages["matplotlib"][4] == "Python Software Foundation License"
    assert packages["fonttools"][4] == "MIT"


def test_nothing_is_written(facauth: Facauth, tmp_path: Path) -> None:
    before: Tree = tree(tmp_path)
    rows = rows_of(listed(facauth).stdout)
    assert {row[1] for row in rows} == {"package", "network", "picture"}
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        (f"License-Expression: {NC}", NC),
        ("Classifier: License :: Other/Proprietary License", "Other/Proprietary License"),
        ("License: free for research", "free for research"),
        ("Summary: says nothing", "not stated"),
        ("License: Permission\n        is\n        granted", "not stated"),  # a whole text
    ],
)
def test_a_package_not_known_to_allow_commercial_use_is_bad(
    facauth: Facauth, tmp_path: Path, stated: str, shown: str
) -> None:
    info = tmp_path / "packages" / "mdurl-99.dist-info"  # what a dependency of a dependency needs
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mdurl\nVersion: 99\n{stated}\n")
    path = f"{info.parent}:{facauth.environment()['PYTHONPATH']}"
    result = listed(facauth, 1, env={"PYTHONPATH": path})
    assert [row for row in rows_of(result.stdout) if row[0] == "BAD"] == [
        ["BAD", "package", "mdurl", "99", shown]
    ]
    assert result.stderr == ("not known to allow commercial use: mdurl; read the licence first\n")


def bad_rows(capsys: pytest.CaptureFixture[str]) -> Rows:
    """What the program finds wrong when it runs here."""
    assert LICENCES.main() == 1
    return [row for row in rows_of(capsys.readouterr().out) if row[0] == "BAD"]


def test_a_package_that_is_missing_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LICENCES, "PACKAGES", (*PACKAGES, "never-heard-of"))
    assert bad_rows(capsys) == [["BAD", "package", "never-heard-of", "", "not installed"]]


def test_a_network_not_known_to_allow_commercial_use_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = read_manifest()
    weights["detect"] = replace(weights["detect"], licence=NC)
    monkeypatch.setattr(LICENCES, "read_manifest", lambda: weights)
    assert [row[1:3] for row in bad_rows(capsys)] == [["network", weights["detect"].path.name]]


def test_a_picture_without_a_credit_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "samples"
    shutil.copytree(SAMPLES, folder)
    shutil.copy(folder / "collins.png", folder / "found_on_the_web.png")
    monkeypatch.setattr(LICENCES, "sample", lambda name: str(folder / name))
    assert bad_rows(capsys) == [["BAD", "picture", "found_on_the_web.png", "", "not stated"]]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        (f"MIT AND {NC}", False),
        (f"MIT OR {NC}", True),
        (f"{NC} OR MIT AND Zlib", True),
        (f"MIT AND {NC} OR {NC}", False),
        ("(MIT OR Apache-2.0) AND Zlib", True),
        (f"(MIT OR Apache-2.0) AND {NC}", False),
        (f"MIT AND ({NC})", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        (f"{NC} WITH MIT", False),
        ("mit", False),
        ("MIT-like", False),
        ("", False),
    ],
)
def test_expressions(licence: str, *, allowed: bool) -> None:
    assert LICENCES.allows_commercial_use(licence) is allowed


# --- the bill of materials -----------------------------------------------------------------------

SBOM = script_of_ci("sbom")


def components(bill: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in bill["components"] if each["type"] == kind}


def test_the_bill_of_materials_lists_every_pin_with_its_hashes(tmp_path: Path) -> None:
    bill = json.loads(SBOM.main([str(tmp_path)]).read_text())
    listed = components(bill, "library")
    versions = {name: {each["version"]} for name, each in listed.items()}
    assert versions == locked_versions(RELEASE)
    for line, accepted in hashes(RELEASE).items():
        package = listed[Requirement(line).name]
        (files,) = package["externalReferences"]
        assert {f"sha256:{each['content']}" for each in files["hashes"]} == accepted
        marker = [each["value"] for each in package.get("properties", [])]
        assert marker == [part for part in line.partition(" ; ")[2:] if part]


def test_the_bill_of_materials_lists_every_network() -> None:
    listed = components(SBOM.bill(ROOT), "machine-learning-model")
    assert {
        name: (each["hashes"][0]["content"], each["licenses"][0]["license"]["id"])
        for name, each in listed.items()
    } == {weight["file"]: (weight["sha256"], weight["licence"]) for weight in WEIGHTS}


def test_the_bill_of_materials_is_of_this_version_and_the_same_each_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    path = SBOM.main([str(one)])
    assert path.name == f"facauth-{__version__}.cdx.json"
    assert path.read_bytes() == SBOM.main([str(other)]).read_bytes()
    bill = json.loads(path.read_text())
    assert bill["metadata"]["component"]["version"] == __version__
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(set(references)) == len(references)


def test_another_pin_makes_another_bill(tmp_path: Path) -> None:
    for name in ("requirements.txt", "facauth/__init__.py", "facauth/weights/manifest.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"{lock.read_text()}left-pad==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    bill = SBOM.bill(tmp_path)
    assert components(bill, "library")["left-pad"]["version"] == "1.0"
    assert bill["serialNumber"] != SBOM.bill(ROOT)["serialNumber"]


# --- pip-audit in CI -----------------------------------------------------------------------------

HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": "a hole"}
CLEAN = {"name": "typer", "version": "1.0", "vulns": []}
NOT_FOUND = {"name": "rich", "skip_reason": "Dependency not found on PyPI"}
UNREACHABLE = "requests.exceptions.ConnectionError: HTTPSConnectionPool: Failed to resolve"


@dataclass
class Audit:
    """.ci/audit.py with a stand-in for pip-audit first on PATH."""

    script: ModuleType
    folder: Path

    def says(self, dry: str = "exit 0", wet: str = "exit 0") -> str | None:
        """What is wrong when the stand-in does `dry` for --dry-run, and `wet` otherwise."""
        program = self.folder / "pip-audit"
        program.write_text(f'#!/bin/sh\ncase "$*" in\n*--dry-run*) {dry};;\n*) {wet};;\nesac\n')
        program.chmod(0o755)
        wrong: str | None = self.script.main(["requirements.txt"])
        return wrong

    def reports(self, *packages: dict[str, Any], exit_code: int) -> str | None:
        report = self.folder / "report.json"
        report.write_text(json.dumps({"dependencies": packages, "fixes": []}))
        return self.says(wet=f"cat '{report}'; exit {exit_code}")


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Audit(script_of_ci("audit"), tmp_path)


def test_nothing_found(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.reports(CLEAN, exit_code=0) is None
    assert capsys.readouterr().out == "1 packages, no known vulnerability\n"


def test_a_vulnerability_fails(audit: Audit) -> None:
    holed = {"name": "rich", "version": "1.0", "vulns": [HOLE]}
    wrong = audit.reports(CLEAN, holed, exit_code=1)
    assert wrong == "rich 1.0: PYSEC-2026-1, fixed in 1.1"


def test_a_vulnerability_fails_though_the_rest_is_unknown(audit: Audit) -> None:
    holed = {"name": "rich", "version": "1.0", "vulns": [{**HOLE, "fix_versions": []}]}
    wrong = audit.reports(NOT_FOUND, holed, exit_code=1)
    assert wrong
    assert "rich 1.0: PYSEC-2026-1, fixed in no version" in wrong


def test_a_version_that_was_withdrawn_fails(audit: Audit) -> None:
    wrong = audit.reports(CLEAN, NOT_FOUND, exit_code=0)
    assert wrong == "rich: this version is not in the database; was it withdrawn?"


@pytest.mark.parametrize(
    "wet",
    [
        f"echo 'Traceback' >&2; echo '{UNREACHABLE}' >&2; exit 1",
        "echo 'ERROR: Tip: your network may be blocking this service.' >&2; exit 1",
        "echo 'pip_audit._service.interface.ServiceError' >&2; exit 1",
    ],
)
def test_no_database_is_skipped_in_one_line(
    audit: Audit, capsys: pytest.CaptureFixture[str], wet: str
) -> None:
    assert audit.says(wet=wet) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("skipped: the database of vulnerabilities cannot be reached (")


def test_a_mirror_without_the_database_is_not_taken_for_all_clear(
    audit: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.reports(NOT_FOUND, NOT_FOUND, exit_code=0) is None
    assert capsys.readouterr().out.startswith("skipped: the database")


def test_no_answer_is_not_waited_for(
    audit: Audit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit.script, "PATIENCE_S", 0.2)
    assert audit.says(wet="exec sleep 60") is None
    assert "no full answer within 0.2 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dry", "wet"),
    [
        ("echo 'numpy does not contain a hash' >&2; exit 1", "exit 0"),
        ("exit 0", "echo 'AttributeError: a bug' >&2; exit 1"),
        ("exit 0", "exit 0"),
    ],
)
def test_a_question_that_could_not_be_put_fails(audit: Audit, dry: str, wet: str) -> None:
    assert audit.says(dry, wet)
