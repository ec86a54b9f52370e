"""The workflow that publishes a release: its steps run here, and its rights are few.

What GitHub and the index do with it is not tested.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PATIENCE_S, ROOT
from test_packaging import BUILD, copied

from facauth import __version__

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]
STEPS = {name: {str(step.get("name")): step for step in job["steps"]} for name, job in JOBS.items()}
WHEEL = f"facauth-{__version__}-py3-none-any.whl"
SDIST = f"facauth-{__version__}.tar.gz"


def run(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash that ends at the first failure."""
    programs = Path(sys.executable).parent
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_steps_build_what_is_published(tmp_path: Path) -> None:
    source = copied(tmp_path / "source")
    done = run(STEPS["build"]["Build"]["run"], source)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (source / "dist").iterdir()} == {WHEEL, SDIST}
    assert [path.name for path in (source / "sbom").iterdir()] == [
        f"facauth-{__version__}.cdx.json"
    ]
    with zipfile.ZipFile(source / "dist" / WHEEL) as wheel:
        assert "facauth/pipeline.py" in wheel.namelist()
    with tarfile.open(source / "dist" / SDIST) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {".ci/sbom.py", ".github/workflows/publish.yml", "tests/test_publish.py"} <= names


@pytest.mark.parametrize(("tag", "fits"), [(f"v{__version__}", True), ("v99", False), ("", False)])
def test_a_tag_of_another_version_publishes_nothing(tag: str, *, fits: bool) -> None:
    step = STEPS["build"]["Check that the tag is the version"]
    assert (run(step["run"], ROOT, GITHUB_REF_NAME=tag).returncode == 0) is fits
    assert list(STEPS["build"]).index(step["name"]) < list(STEPS["build"]).index("Build")
    assert JOBS["publish"]["needs"] == "build"


def test_what_builds_is_pinned() -> None:
    step = STEPS["build"]["Install what builds"]["run"]
    assert step == f"python -m pip install --require-hashes -r {BUILD}"


def test_only_the_job_that_publishes_gets_an_identity() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "build": {"contents": "read"},
        "publish": {"id-token": "write"},
        "attach": {"contents": "write"},
    }
    assert JOBS["publish"]["environment"] == "release"


def test_the_job_that_publishes_runs_no_code_of_the_project() -> None:
    steps = JOBS["publish"]["steps"]
    assert not any("run" in step for step in steps)
    used = [step["uses"].partition("@")[0] for step in steps]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert steps[0]["with"] == {"name": "dist", "path": "dist/"}  # the bill stays out of it


def test_every_action_is_named_by_its_commit() -> None:
    used = [step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step]
    assert len(used) > 6
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each)] == []


def test_no_secret_is_needed() -> None:
    text = (ROOT / ".github/workflows/publish.yml").read_text()
    assert "secrets." not in text
    assert re.findall(r"\$\{\{(.*?)\}\}", text) == [" github.token "]
