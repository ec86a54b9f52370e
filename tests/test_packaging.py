"""What is installed, shipped and committed: locked, credited, and nothing of anyone's machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import facauth

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    name: (ROOT / name).read_text()
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        ".ci/requirements-audit.txt",
        ".ci/requirements-build.txt",
        ".ci/requirements-serve.txt",
    )
}
RELEASE, DEV, AUDIT, BUILD, SERVE = LOCKS
NOTICE = (ROOT / "NOTICE").read_text()
WEIGHTS: list[dict[str, Any]] = json.loads((ROOT / "facauth/weights/manifest.json").read_text())[
    "weights"
]
MAX_COMMITTED_BYTES = 30 * 2**20

REGISTRIES = re.compile(rb"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)")
MACHINE_PATHS = re.compile(rb"/(?<![\w.]/)(?:work|root|farm|(?:home|Users)/\w+)/")


def runtime_requirements() -> list[str]:
    project = PYPROJECT["project"]
    return [*project["dependencies"], *chain(*project["optional-dependencies"].values())]


def locked_entries(lock: str) -> list[str]:
    """Each locked requirement: its first line, and the indented lines with its hashes."""
    return re.findall(r"(?m)^[^#\s].*(?:\n[ \t].*)*", LOCKS[lock])


def locked_lines(lock: str) -> list[Requirement]:
    return [Requirement(entry.splitlines()[0].rstrip(" \\")) for entry in locked_entries(lock)]


def locked_versions(lock: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for requirement in locked_lines(lock):
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        versions.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return versions


def hashes(lock: str) -> dict[str, set[str]]:
    return {
        entry.splitlines()[0].rstrip(" \\"): set(re.findall(r"--hash=(\S+)", entry))
        for entry in locked_entries(lock)
    }


def with_transitive(lines: list[str]) -> Iterator[str]:
    """The names of all that pip installs for `lines` on this platform."""
    seen: set[str] = set()
    while lines:
        requirement = Requirement(lines[0])
        name = canonicalize_name(requirement.name)
        lines = lines[1:]
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        lines += requires(name) or []
        yield name


def committed_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def holders(pattern: re.Pattern[bytes]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {found[0].decode()}"
        for path in committed_files()
        if (found := pattern.search(path.read_bytes()))
    ]


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_a_hash(lock: str) -> None:
    assert [line for line, found in hashes(lock).items() if not found] == []
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in chain(*hashes(lock).values()))
    assert len(locked_entries(lock)) > 5


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    assert not re.search(r"://|index-url|find-links", LOCKS[lock])


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_says_how_it_was_made(lock: str) -> None:
    command = LOCKS[lock].splitlines()[1]
    assert command.endswith(f"--generate-hashes -o {lock}")


@pytest.mark.parametrize("lock", [RELEASE, DEV, SERVE])
def test_lock_compiles_nothing(lock: str) -> None:
    """dlib is a source build, dlib-bin the same as wheels; only tests and benchmarks need it."""
    assert "dlib" not in locked_versions(lock)
    assert ("dlib-bin" in locked_versions(lock)) is (lock == DEV)


def satisfies(lock: str, line: str) -> bool:
    requirement = Requirement(line)
    versions = locked_versions(lock)[canonicalize_name(requirement.name)]
    return all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("line", runtime_requirements() + PYPROJECT["dependency-groups"]["dev"])
def test_lock_satisfies_pyproject(line: str) -> None:
    assert satisfies(DEV, line)


@pytest.mark.parametrize("line", PYPROJECT["project"]["dependencies"])
def test_release_lock_satisfies_pyproject(line: str) -> None:
    assert satisfies(RELEASE, line)


@pytest.mark.parametrize("line", PYPROJECT["dependency-groups"]["audit"])
def test_audit_lock_satisfies_pyproject(line: str) -> None:
    assert satisfies(AUDIT, line)


PROJECT = PYPROJECT["project"]
ROOTS = {
    RELEASE: PROJECT["dependencies"],
    BUILD: PYPROJECT["dependency-groups"]["build"],
    SERVE: PROJECT["dependencies"] + PROJECT["optional-dependencies"]["web"],
}


@pytest.mark.parametrize("lock", ROOTS)
def test_lock_pins_everything_that_runs_and_nothing_else(lock: str) -> None:
    names = set(with_transitive(list(ROOTS[lock])))
    assert all(satisfies(lock, line) for line in ROOTS[lock])
    here = {
        canonicalize_name(line.name)
        for line in locked_lines(lock)
        if line.marker is None or line.marker.evaluate()
    }
    assert here == names


@pytest.mark.parametrize("lock", ROOTS)
def test_a_release_runs_on_what_was_tested(lock: str) -> None:
    """The same versions of the same files, for the same platforms or for all of them."""
    tested = hashes(DEV)
    found = {line: tested.get(line, tested.get(line.partition(" ;")[0])) for line in hashes(lock)}
    assert found == hashes(lock)


def test_lock_can_build_this_package() -> None:
    for line in PYPROJECT["build-system"]["requires"]:
        assert canonicalize_name(Requirement(line).name) in locked_versions(DEV)


def test_ci_tries_the_wheel_on_the_release_lock_alone() -> None:
    script = (ROOT / ".ci/run").read_text()
    (trial,) = re.findall(r"^try_wheel\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)
    pinned, wheel = re.findall(r"pip\S* install .*", trial)
    assert pinned.endswith("--require-hashes -r requirements.txt")
    assert re.search(r"--no-deps --no-index \S+facauth-\S+\.whl$", wheel)


def test_notice_names_everything_pip_installs() -> None:
    names = list(with_transitive(runtime_requirements()))
    assert "markdown-it-py" in names  # the dependency of a dependency
    assert [name for name in names if not re.search(rf"(?m)^{name} ", NOTICE)] == []


@pytest.mark.parametrize("weight", WEIGHTS, ids=lambda weight: str(weight["role"]))
def test_notice_credits_every_network(weight: dict[str, Any]) -> None:
    paragraphs = [one_line(text) for text in NOTICE.split("\n\n")]
    (credit,) = [text for text in paragraphs if text.startswith(weight["file"])]
    assert weight["licence"] in credit
    assert one_line(weight["attribution"]) in credit


def test_the_readme_names_the_versions_of_python_that_were_tried() -> None:
    prefix = "Programming Language :: Python :: "
    tried = [
        line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)
    ]
    (sentence,) = re.findall(
        r"You need Python (.+?) with pip", one_line((ROOT / "README.md").read_text())
    )
    assert re.findall(r"3\.\d+", sentence) == tried
    assert PROJECT["requires-python"] == f">={tried[0]}"


def test_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"(?m)^## \[{re.escape(facauth.__version__)}\]", changelog)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all files in the wheel."""
    folder = str(tmp_path_factory.mktemp("wheel"))
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_the_networks_and_nothing_that_makes_them(built: set[str]) -> None:
    folder = {name for name in built if name.startswith("facauth/weights/")}
    texts = {f"LICENSES/{weight['licence']}.txt" for weight in WEIGHTS}
    files = {weight["file"] for weight in WEIGHTS} | texts | {"README.md", "manifest.json"}
    assert folder == {f"facauth/weights/{name}" for name in files}
    assert "exclude" not in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


def test_the_wheel_has_the_program_and_no_development(built: set[str]) -> None:
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "facauth").rglob("*.py")}
    assert {name for name in built if name.endswith(".py")} == ours
    assert {name.split("/")[0].split("-")[0] for name in built} == {"facauth"}


def test_no_committed_file_names_a_package_registry() -> None:
    assert holders(REGISTRIES) == []


def test_no_committed_file_holds_a_path_of_a_machine() -> None:
    assert holders(MACHINE_PATHS) == []


def test_no_committed_file_is_huge() -> None:
    sizes = {path.name: path.stat().st_size for path in committed_files()}
    assert {name: size for name, size in sizes.items() if size > MAX_COMMITTED_BYTES} == {}


# --- the same bytes from the same source ---------------------------------------------------------


def copied(target: Path) -> Path:
    """The files of the project, with other times and permissions."""
    for path in committed_files():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(path, copy)
        copy.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
    return target


def made(source: Path, target: Path, builder: type[SdistBuilder | WheelBuilder]) -> Path:
    (path,) = builder(str(source)).build(directory=str(target), versions=["standard"])
    return Path(path)


def test_a_wheel_built_twice_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    one = made(copied(tmp_path / "one"), tmp_path / "1", WheelBuilder)
    other = made(copied(tmp_path / "other"), tmp_path / "2", WheelBuilder)
    assert one.read_bytes() == other.read_bytes()


def test_a_wheel_built_from_the_sdist_is_the_same(tmp_path: Path) -> None:
    source = copied(tmp_path / "source")
    sdist = made(source, tmp_path, SdistBuilder)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    one, other = (
        made(each, tmp_path / name, WheelBuilder) for each, name in ((source, "1"), (unpacked, "2"))
    )
    assert one.read_bytes() == other.read_bytes()


def test_a_wheel_holds_what_a_user_needs(tmp_path: Path) -> None:
    wheel = made(copied(tmp_path / "source"), tmp_path, WheelBuilder)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"facauth-{facauth.__version__}.dist-info/METADATA").decode()
    data = f"facauth-{facauth.__version__}.data/data"
    assert {
        "facauth/py.typed",
        "facauth/completion.json",
        "facauth/sample_images/CREDITS.md",
        f"{data}/share/man/man1/facauth.1",
    } <= names
    assert not {name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))}
    for field in ("License-Expression: Apache-2.0", "Keywords: ", "Requires-Python: >=3.11"):
        assert f"\n{field}" in metadata
