"""The OpenAPI document is kept: schemathesis makes up requests by it, and against it.

The same for as long as one likes, beside a running server:

    SCHEMATHESIS_HOOKS=schema_hooks PYTHONPATH=tests/web schemathesis run \
        http://127.0.0.1:8000/openapi.json -H "Authorization: Bearer $(facauth serve --token)" \
        --checks "$CHECKS" --max-examples 400

with CHECKS as below, joined by commas.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE_S
from serving import BARACK, Served, serving

# Three are left out. What is accepted (positive_data_acceptance) no document can say: a name must
# be one that nobody has, and a picture show a live face. Nor, for the same reason, does another
# answer without the token (ignored_auth) tell anything where the right answer to one with it is a
# refusal; who may do what is shown in test_access.py and test_api.py. And what is wrong
# (negative_data_rejection) may be right once it is sent: a form has no types, a list of one is it.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of its own: people come and go."""
    with serving(tmp_path_factory.mktemp("schema"), "--per-minute", "1000000") as served:
        assert served.register("Barack", BARACK).status_code == 200
        yield served


def made_up(server: Served, here: Path, header: str, *options: str) -> dict[str, set[int]]:
    """What was answered on each route; fails unless all of it was as documented."""
    before = len(server.log())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--header", header, *options),
            *("--generation-deterministic", "--no-color", "--warnings", "off"),
        ],
        cwd=here,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "SCHEMATHESIS_HOOKS": "schema_hooks",
        },
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.process.poll() is None
    found = defaultdict(set)
    for line in server.log()[before:]:
        if "route" in line:
            found[line["route"]].add(line["status"])
    return found


def test_what_the_operator_is_answered_is_documented(served: Served, tmp_path: Path) -> None:
    header = f"Authorization: Bearer {served.token}"
    found = made_up(served, tmp_path, header, "--max-examples", "24")
    assert found["/sign-in/"] >= {200, 401, 415, 422}
    assert found["/quality/"] >= {200, 415, 422}
    assert found["/register/"] >= {200, 409, 415, 422}
    assert found["/spoof-check/"] >= {200, 401, 415, 422}
    assert found["/people/{name:path}"] >= {404, 422}


def test_what_a_browser_without_a_token_is_answered_is_documented(
    served: Served, tmp_path: Path
) -> None:
    options = ("--max-examples", "12", "--phases", "fuzzing")
    found = made_up(served, tmp_path, "Accept: text/html", *options)
    for route in ("/register/", "/spoof-check/", "/people/", "/people/{name:path}", "/session/end"):
        assert found[route] <= {403, 405}, route
    assert found["/sign-in/"] >= {401, 422}
