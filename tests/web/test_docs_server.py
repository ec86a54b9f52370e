"""The curl lines of docs/how-to/server.md, but for the port, against a server that knows nobody."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT
from serving import environment, serving

PAGE = ROOT / "docs" / "how-to" / "server.md"


@pytest.mark.slow
def test_the_curl_lines_do_what_they_say(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```sh\n(TOKEN=.*?)```", PAGE.read_text(), re.DOTALL)
    program = tmp_path / "bin" / "facauth"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m facauth "$@"\n')
    program.chmod(0o755)
    with serving(tmp_path) as server:
        known = environment(tmp_path)
        done = subprocess.run(
            ["sh", "-euc", lines.replace("http://127.0.0.1:8000", server.url)],
            cwd=ROOT,
            env={**known, "PATH": f"{program.parent}:{known['PATH']}"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["command"], answer["verdict"]) for answer in answers] == [
        ("register", "registered"),
        ("sign-in", "signed_in"),
        ("sign-in", "signed_in"),
        ("quality", "usable"),
        ("spoof-check", "attack"),
        ("list", "listed"),
        ("remove", "removed"),
    ]
