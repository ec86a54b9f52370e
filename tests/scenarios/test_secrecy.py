"""What a real process shows of itself: no passphrase in its environment, no core dump."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PATIENCE_S, SAMPLES
from serving import BARACK, BARACK_AGAIN, command, environment, sent, serving

PASSPHRASE = "correct horse battery staple"
NEW = "quite another battery of horses"
EXPORT = "for the road: horses and staples"
SECRETS = {
    "FACAUTH_PASSPHRASE": PASSPHRASE,
    "FACAUTH_NEW_PASSPHRASE": NEW,
    "FACAUTH_EXPORT_PASSPHRASE": EXPORT,
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc"),
]


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    """A folder with a home and a store that a passphrase encrypts."""
    new = {"FACAUTH_PASSPHRASE": PASSPHRASE}
    done = command(tmp_path, "key", "init", "--passphrase", env=new)
    assert done.returncode == 0, done.stderr
    return tmp_path


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that reads its photo from a pipe, and waits for it."""
    with subprocess.Popen(
        [sys.executable, "-m", "facauth", *arguments],
        env=environment(folder, SECRETS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(pid: int) -> bytes:
    """All that /proc has of its environment; nothing where it is for root alone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""


def until_hidden(pid: int) -> bytes:
    """The environment once no passphrase is in it, or else as it is at the end of patience."""
    deadline = time.monotonic() + PATIENCE_S
    # A process that was only just made has no environment yet.
    while not shown(pid) or any(each.encode() in shown(pid) for each in SECRETS.values()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return shown(pid)


def require_hidden(environ: bytes) -> None:
    assert not [each for each in SECRETS.values() if each.encode() in environ]
    if os.geteuid() == 0:
        assert b"FACAUTH_STORE=" in environ  # the rest is as it was


def require_no_dump(pid: int) -> None:
    """No core file; whether it is dumpable, /proc tells root of nobody else."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (cores,) = (line for line in limits if line.startswith("Max core file size"))
    assert cores.split()[-3:-1] == ["0", "0"]


def test_the_server_keeps_no_passphrase_where_others_see_it(encrypted: Path) -> None:
    with serving(encrypted, "--workers", "1", env=SECRETS) as server:
        require_hidden(shown(server.process.pid))
        require_no_dump(server.process.pid)
        # It still has it for itself, with the key to be derived anew by each process.
        assert server.register("Barack", BARACK).status_code == 200
        assert server.sign_in(BARACK_AGAIN).status_code == 200
        assert len(server.get("/people/", headers=server.operator).json()["people"]) == 1
        require_hidden(shown(server.process.pid))


@pytest.mark.parametrize("arguments", [("sign-in", "-"), ("register", "Barack", "-")])
def test_a_command_that_waits_keeps_none_either(
    encrypted: Path, arguments: tuple[str, ...]
) -> None:
    with running(encrypted, *arguments) as process:
        require_hidden(until_hidden(process.pid))
        require_no_dump(process.pid)
        out, err = process.communicate(sent(BARACK)[1], timeout=PATIENCE_S)
    assert process.returncode == (0 if arguments[0] == "register" else 1), err
    assert PASSPHRASE.encode() not in out + err


def test_every_passphrase_is_still_taken(encrypted: Path) -> None:
    """By export, and by a rotation, which reads one of its own twice."""
    photo = str(SAMPLES / BARACK)
    steps = (
        ("register", "Barack", photo),
        ("export", "--all", str(encrypted / "out")),
        ("key", "rotate"),
    )
    for step in steps:
        done = command(encrypted, *step, env=SECRETS)
        assert done.returncode == 0, done.stderr
    old, new = ({"FACAUTH_PASSPHRASE": each} for each in (PASSPHRASE, NEW))
    assert command(encrypted, "sign-in", photo, env=old).returncode == 7
    assert command(encrypted, "sign-in", photo, env=new).returncode == 3  # the same picture


def test_a_crash_leaves_no_dump(tmp_path: Path) -> None:
    """The process is told to dump its core, where the system would write one to a file."""
    script = (
        "import os, resource\n"
        "from facauth.cli.secrecy import keep_secrets\n"
        "keep_secrets(long=True)\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)\n"
        "os.abort()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout == b"0\n"  # PR_GET_DUMPABLE
    assert done.returncode < 0
    assert not [each for each in tmp_path.iterdir() if "core" in each.name]
