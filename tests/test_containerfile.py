"""The parts of docs/how-to/Containerfile: its commands run here, without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_S, ROOT, killing
from hatchling.builders.wheel import WheelBuilder
from test_packaging import BUILD, SERVE, committed_files, made

PAGE = (ROOT / "docs/how-to/container.md").read_text()
FILE = (ROOT / "docs/how-to/Containerfile").read_text()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in FILE.splitlines() if line[:1].isupper()]
STATE = "/var/lib/facauth"

# Binds the folder of state onto itself, so that it stays writable; makes the root read-only, tries
# that, and becomes user 10001, who has no capability.
READ_ONLY = """
set -e
state=$1 outside=$2; shift 2
mount --bind "$state" "$state"
mount -o remount,bind,ro /
! touch "$outside/written" 2>/dev/null || exit 99
exec unshare --user --map-user=10001 --map-group=10001 "$@"
"""


def all_of(name: str) -> list[str]:
    return [rest for each, rest in INSTRUCTIONS if each == name]


def one(name: str) -> str:
    (rest,) = all_of(name)
    return rest


def run(command: str, folder: Path, **more: str) -> None:
    """Run a RUN line with the programs of these tests in the place of the two environments."""
    programs = str(Path(sys.executable).parent)
    here = re.sub(r"/opt/(?:build|facauth)/bin", programs, command)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **more}
    done = subprocess.run(
        ["sh", "-c", here],
        cwd=folder,
        env=env,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is copied into the image, and `installed`, which is built of that."""
    folder = tmp_path_factory.mktemp("image")
    committed = {str(path.relative_to(ROOT)) for path in committed_files()}
    for copy in all_of("COPY"):
        *sources, target = copy.split()
        if sources[0].startswith("--from="):
            continue
        for source in sources:
            files = [name for name in committed if name == source or name.startswith(f"{source}/")]
            assert files, source
            for name in files:
                inner = name.removeprefix(source).lstrip("/") or Path(source).name
                path = folder / target / inner
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path)
    build, install = all_of("RUN")[2:4]
    run(build, folder)
    run(install, folder, PIP_TARGET=str(folder / "installed"))
    return folder


def test_what_is_copied_suffices_for_the_same_wheel(image: Path, tmp_path: Path) -> None:
    (wheel,) = (image / "dist").iterdir()
    assert wheel.read_bytes() == made(ROOT, tmp_path, WheelBuilder).read_bytes()


def test_everything_else_is_installed_by_its_hash() -> None:
    commands = [part.split() for line in all_of("RUN") for part in line.split(" && ")]
    installed = [words for words in commands if "install" in words[1:2]]
    assert [words[-1] for words in installed] == [BUILD, SERVE, "dist/facauth-*.whl"]
    assert all("--require-hashes" in words for words in installed[:2])
    assert {"--no-deps", "--no-index"} <= set(installed[2])


def test_it_runs_without_root_in_a_folder_of_its_own() -> None:
    user = one("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    owner, group = user.split(":")
    (line,) = [each for each in all_of("RUN") if each.startswith("install ")]
    assert {f"--owner={owner}", f"--group={group}", "--mode=0700", STATE} <= set(line.split())
    assert INSTRUCTIONS.index(("RUN", line)) < INSTRUCTIONS.index(("USER", user))
    assert one("VOLUME") == all_of("WORKDIR")[-1] == STATE


def test_the_page_runs_it_read_only_and_for_this_machine_alone() -> None:
    calls = re.findall(r"(?m)^podman run .*", PAGE.replace("\\\n", " "))
    assert len(calls) == 2
    for call in calls:
        assert {"--read-only", "facauth"} <= set(shlex.split(call))
    words = shlex.split(calls[0])
    assert f"facauth:{STATE}" in words
    assert f"127.0.0.1:{one('EXPOSE')}:{one('EXPOSE')}" in words
    assert words[words.index("--cap-drop") + 1] == "all"


def test_the_server_runs_on_a_read_only_root(image: Path, tmp_path: Path) -> None:
    """The command and the environment of the image, with another folder for the state."""
    if subprocess.run(["unshare", "-r", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a namespace")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    env = dict(each.split("=", 1) for each in shlex.split(one("ENV").replace(STATE, str(state))))
    env |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(image / "installed")}
    (program,) = json.loads(one("ENTRYPOINT"))
    assert program == "/opt/facauth/bin/facauth"
    inside = [sys.executable, "-m", "facauth", *json.loads(one("CMD")), "--port", "0"]
    wrapped = ["unshare", "-r", "-m", "sh", "-c", READ_ONLY, "sh", state, tmp_path, *inside]
    with (
        subprocess.Popen(wrapped, env=env, cwd=state, stderr=subprocess.PIPE) as server,
        killing(server),
    ):
        assert server.stderr
        said = server.stderr.readline().decode()
        (port,) = re.findall(r"listening on http://0\.0\.0\.0:(\d+)", said) or [said]
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert re.findall(r"(?m)^CapEff:\s*(\w+)$", status) == ["0" * 16]
        answer = httpx.get(
            f"http://127.0.0.1:{port}/healthz",
            headers={"X-Forwarded-For": "192.0.2.1"},
            trust_env=False,
        )
        assert answer.text.strip() == "ok"
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
    assert (state / "store.sqlite3").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
