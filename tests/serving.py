"""The real server as a process on loopback, with a home and a store of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from conftest import PATIENCE_S, ROOT, SAMPLES, in_file, killing
from engines import Keeping

from facauth.settings import DEFAULT
from facauth.store.keys import KeyAccess
from facauth.web.site import Site

BARACK, BARACK_AGAIN, BARACK_LATER = "obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg"
JOE, EILEEN, NOBODY, TWO = "biden_2010.jpg", "collins.png", "no_face.png", "two_faces.jpg"
SIMULATED = "simulated_recapture.jpg"
CLIENT = httpx.Client(timeout=PATIENCE_S, trust_env=False, verify=False)

SITE = Site(
    host="127.0.0.1",
    port=0,
    store=Path("store"),
    keys=KeyAccess(),
    token="t" * 43,
    ended_sessions=Path("ended"),
    policy=DEFAULT,
    rate=None,
    workers=1,
    behind_proxy=False,
    per_minute=60,
    weight_memory=None,
)


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a process that has all its folders in this one."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(folder / "home" / "share"),
        "XDG_CACHE_HOME": str(folder / "home" / "cache"),
        "XDG_CONFIG_HOME": str(folder / "home" / "config"),
        "FACAUTH_STORE": str(folder / "data" / "store.sqlite3"),
        "TMPDIR": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        **(more or {}),
    }


def command(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command beside the server."""
    return subprocess.run(
        [sys.executable, "-m", "facauth", *arguments],
        env=environment(folder, env),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Served:
    """A server that listens."""

    process: subprocess.Popen[bytes]
    folder: Path
    url: str
    token: str
    keeping: Keeping

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def store(self) -> Path:
        return self.folder / "data" / "store.sqlite3"

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        CLIENT.cookies.clear()  # a browser's are tested with a client of their own
        return CLIENT.request(method, self.url + path, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def sign_in(self, photo: str | bytes, name: str | None = None, **more: Any) -> httpx.Response:
        data = {} if name is None else {"name": name}
        return self.call("POST", "/sign-in/", data=data, files={"file": sent(photo)}, **more)

    def register(
        self, name: str, photo: str | bytes, headers: Mapping[str, str] | None = None, **more: str
    ) -> httpx.Response:
        return self.call(
            "POST",
            "/register/",
            data={"name": name, **more},
            files={"file": sent(photo)},
            headers=self.operator if headers is None else headers,
        )

    def spoof_check(self, photo: str | bytes) -> httpx.Response:
        files = {"file": sent(photo)}
        return self.call("POST", "/spoof-check/", files=files, headers=self.operator)

    def unlock(self) -> None:
        """Forget failed sign-ins, so that one test does not lock the next one out."""
        with self.keeping.opened() as store, store.transaction() as change:
            change.unlock(None)
            for row in store.people():
                change.unlock(store.person(row.name).uid)

    def said(self) -> str:
        """All of stderr so far."""
        return (self.folder / "stderr").read_text()

    def log(self) -> list[dict[str, Any]]:
        """The lines about requests."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(PATIENCE_S)


def sent(photo: str | bytes) -> tuple[str, bytes]:
    """A file of a form: a sample picture, or bytes."""
    return ("photo", photo if isinstance(photo, bytes) else (SAMPLES / photo).read_bytes())


@contextmanager
def serving(
    folder: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keeping: Keeping | None = None,
) -> Iterator[Served]:
    """A server until the end of the block. cwd: the folder in which it runs; keeping: its store."""
    keeping = keeping or in_file(folder)
    with (
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "facauth", "serve", "--port", "0", *options],
            env=environment(folder, {"FACAUTH_STORE": keeping.address, **(env or {})}),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        ) as process,
    ):
        try:
            with killing(process):
                url = address(process, folder / "stderr")
            token = (folder / "home/config/facauth/operator.token").read_text().strip()
            yield Served(process, folder, url, token, keeping)
        finally:
            process.kill()


def address(process: subprocess.Popen[bytes], stderr: Path) -> str:
    """Where it listens, once it does."""
    while process.poll() is None:
        for line in stderr.read_text().splitlines(keepends=True):
            if line.startswith("facauth: listening on ") and line.endswith("\n"):
                return line.split()[-1]
        time.sleep(0.02)
    raise AssertionError(stderr.read_text())
