"""The parts of docs/how-to/compose.yaml: what it names exists, and its commands run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import many
import pytest
import yaml
from conftest import PATIENCE_S, ROOT, Facauth
from many import APP, STORE_OWNER
from postgres import LOOPBACK
from test_containerfile import STATE, all_of, one

from facauth.places import Address

if TYPE_CHECKING:
    from pathlib import Path

    from postgres import Cluster
    from serving import Served

TEXT = (ROOT / "docs/how-to/compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = [name for name in SERVICES if name.startswith("facauth-")]
NGINX = (ROOT / "docs/how-to/nginx.conf").read_text()
PORT = one("EXPOSE")
SECRET = re.compile(r"/run/secrets/([\w-]+)")
# What the images of PostgreSQL and nginx read.
THEIRS = {"PGPASSFILE", "POSTGRES_PASSWORD_FILE"}


def secrets_used(service: str) -> set[str]:
    """The secrets whose files a service reads."""
    read = json.dumps({key: value for key, value in SERVICES[service].items() if key != "secrets"})
    return set(SECRET.findall(read + NGINX * (service == "proxy")))


def test_there_are_two_servers_which_are_the_same() -> None:
    assert SERVERS == ["facauth-1", "facauth-2"]
    assert SERVICES["facauth-1"] == SERVICES["facauth-2"]
    assert set(SERVICES) == {*SERVERS, "owner", "db", "proxy"}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_the_secrets_that_it_reads_and_no_other(service: str) -> None:
    assert set(SERVICES[service].get("secrets", ())) == secrets_used(service)


def test_every_secret_is_a_file_that_the_first_lines_name() -> None:
    used = {name for service in SERVICES for name in SERVICES[service]["secrets"]}
    assert set(COMPOSE["secrets"]) == used
    named = re.findall(r"(?m)^# {3}((?:secrets|keys)/.*?)(?: {2,}|$)", TEXT)
    files = {file for line in named for file in re.findall(r"[\w.-]+\.?\w+", line)}
    for secret in COMPOSE["secrets"].values():
        path = secret["file"].removeprefix("./")
        assert path.rpartition("/")[2] in files or path.startswith("keys/"), path


def test_the_key_that_the_owner_makes_is_the_one_of_the_servers() -> None:
    made = SERVICES["owner"]["environment"]["FACAUTH_KEY_FILE"]
    (mount,) = [each for each in SERVICES["owner"]["volumes"] if each.startswith("./")]
    outside, inside = mount.split(":")
    assert made.replace(inside, outside) == COMPOSE["secrets"]["key"]["file"]


@pytest.mark.parametrize("service", [*SERVERS, "owner"])
def test_servers_run_as_the_page_on_containers_says(service: str) -> None:
    given = SERVICES[service]
    assert "command" not in given  # that of the image
    assert (ROOT / "docs/how-to" / given["build"]["context"]).resolve() == ROOT
    assert (ROOT / given["build"]["dockerfile"]).is_file()
    assert given["read_only"]
    assert (given["cap_drop"], given["tmpfs"]) == (["ALL"], ["/tmp"])
    assert any(volume.endswith(f":{STATE}") for volume in given["volumes"])
    settings = (ROOT / "docs/reference/settings.md").read_text()
    for name in given["environment"]:
        assert name in THEIRS or f"| `{name}` |" in settings
    assert not re.search("(?i)password=", json.dumps(given))


@pytest.mark.parametrize(
    ("service", "role"), [*((each, APP) for each in SERVERS), ("owner", STORE_OWNER)]
)
def test_each_connects_as_its_role_to_the_database(service: str, role: str) -> None:
    address = SERVICES[service]["environment"]["FACAUTH_STORE"]
    assert Address.parse(address).uri.startswith(f"postgresql://{role}@db/{many.DATABASE}?")
    assert "sslmode=verify-full&sslrootcert=" in address
    assert f"db:5432:{many.DATABASE}:{role}:PASSWORD" in TEXT


def test_the_proxy_knows_the_servers_and_alone_is_reached_from_outside() -> None:
    upstream = re.findall(r"(?m)^ +server ([\w.-]+):(\d+);", NGINX)
    assert upstream == [(server, PORT) for server in SERVERS]
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    for name, service in SERVICES.items():
        assert ("ports" in service) == ("outer" in service["networks"]) == (name == "proxy")
    (mount,) = SERVICES["proxy"]["volumes"]
    assert (ROOT / "docs/how-to" / mount.split(":")[0]).is_file()
    (published,) = SERVICES["proxy"]["ports"]
    assert f"listen {published.split(':')[1]} ssl;" in NGINX


def test_the_image_has_what_a_store_in_postgresql_needs() -> None:
    installed = [line for line in all_of("RUN") if "requirements-serve.txt" in line]
    assert installed
    assert re.search(r"(?m)^psycopg-binary==", (ROOT / ".ci/requirements-serve.txt").read_text())


def healthy(service: str, port: int | str, program: str) -> int:
    """The exit code of a health check, with another port and program."""
    kind, *command = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [program, *(word.replace(f":{PORT}/", f":{port}/") for word in command[1:])]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    return done.returncode


def test_the_health_check_of_a_server_tells_whether_it_answers(server: Served) -> None:
    assert SERVICES["facauth-1"]["healthcheck"]["test"][1] == "/opt/facauth/bin/python"
    assert healthy("facauth-1", server.port, sys.executable) == 0
    assert healthy("facauth-1", 1, sys.executable) != 0


def test_the_health_check_of_the_database_tells_whether_it_answers(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = str(cluster.programs() / SERVICES["db"]["healthcheck"]["test"][1])
    monkeypatch.setenv("PGHOST", LOOPBACK)
    for port, exit_code in ((cluster.port, 0), (1, 2)):
        monkeypatch.setenv("PGPORT", str(port))
        assert healthy("db", "", program) == exit_code


def test_the_database_takes_its_options(cluster: Cluster) -> None:
    """Those of TLS are refused by this server alone, which was built without it."""
    program, *options = shlex.split(SERVICES["db"]["command"])
    names = {options[number + 1].split("=")[0] for number in range(0, len(options), 2)}
    assert set(options[::2]) == {"-c"}
    assert program == "postgres"
    with cluster.connected() as session:
        known = session.execute("SELECT name FROM pg_settings").fetchall()
    assert names <= {name for (name,) in known}


def test_its_first_lines_call_commands_that_exist(facauth: Facauth) -> None:
    for words in re.findall(r"run --rm owner ([a-z ]+?)(?:$| {2})", TEXT, re.MULTILINE):
        assert facauth(*words.split(), "--help").stdout
    services = re.findall(r"compose (?:up|exec|run)(?: --\S+)*((?: [\w-]+)*)", TEXT)
    assert {words.split()[0] for words in services if words} <= set(SERVICES)


def test_a_key_that_is_not_the_servers_own_is_refused(tmp_path: Path) -> None:
    """Why the first lines name the owner of each file."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    from facauth.errors import SetupProblem
    from facauth.store.keys import KeyAccess, KeyKind, Lock

    key = tmp_path / "key"
    key.touch(mode=0o600)
    os.chown(key, 10001, 10001)
    lock = Lock("store", KeyKind.FILE, 1, None, b"")
    with pytest.raises(SetupProblem, match="belongs to another user"):
        KeyAccess(key).kek(lock)
