"""TLS between facauth and a database, as docs/how-to/servers.md has it.

The server of the other tests was built without TLS; this one is of the system, where there is one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import many
import pytest
from conftest import Facauth
from many import ADMINISTRATOR, APP, GRANT, PAGE, STORE_OWNER, Faces
from postgres import NOBODY, QUICK, Cluster

pytestmark = [pytest.mark.sqlite, pytest.mark.slow]

HOST = "localhost"  # the name in the certificate
HBA = f"""
host     all    {ADMINISTRATOR}  127.0.0.1/32  trust
hostssl  faces  {APP}            127.0.0.1/32  cert
hostssl  faces  {STORE_OWNER}    127.0.0.1/32  scram-sha-256
"""


class Debians(Cluster):
    """A server with the programs of the system."""

    def programs(self) -> Path:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            pytest.skip("no PostgreSQL of Debian is installed")
        return found[-1]


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def begin(self) -> None:
        self._made("ca", "ca", "-x509", "-addext", "basicConstraints=critical,CA:TRUE")

    def sign(self, file: str, name: str) -> tuple[Path, Path]:
        """A certificate for a name, and its key."""
        self._made(file, name, "-addext", f"subjectAltName=DNS:{name}", out="csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions")
        self.openssl("x509", "-req", "-in", f"{file}.csr", *signed, "copy", "-out", f"{file}.pem")
        return self.folder / f"{file}.pem", self.folder / f"{file}.key"

    def _made(self, file: str, name: str, *more: str, out: str = "pem") -> None:
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{file}.key", "-out", f"{file}.{out}")
        self.openssl("req", *key, "-subj", f"/CN={name}", *more)
        (self.folder / f"{file}.key").chmod(0o600)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.begin()
    return made


@pytest.fixture(scope="module")
def faces(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    """The database of the page, with an owner who has a password and servers with a certificate."""
    cluster = Debians.made()
    try:
        (cluster.data / "pg_hba.conf").write_text(HBA)
        for number, file in enumerate((*authority.sign("server", HOST), authority.ca)):
            copy = cluster.data / ("server.crt", "server.key", "root.crt")[number]
            copy.touch(mode=0o600)
            copy.write_bytes(file.read_bytes())
            if os.geteuid() == 0:
                os.chown(copy, NOBODY, NOBODY)
        cluster.start(**QUICK, ssl="on", ssl_ca_file="root.crt")
        made = Faces(cluster, tmp_path_factory.mktemp("faces"))
        made.psql(many.CREATE, ADMINISTRATOR, "postgres")
        made.set_password(STORE_OWNER, HOST)
        yield made
    finally:
        cluster.remove()


def address(faces: Faces, role: str, **parameters: str | Path) -> str:
    """The address of the page with other values."""
    (shown,) = re.findall(rf"FACAUTH_STORE='(postgresql://{role}.+?)'", PAGE)
    place, given = shown.replace(many.HOST, f"{HOST}:{faces.cluster.port}").split("?")
    named = dict(each.split("=") for each in given.split("&"))
    assert named == {"sslmode": "verify-full", "sslrootcert": "/etc/facauth/ca.pem"}
    return f"{place}?" + "&".join(f"{key}={value}" for key, value in (named | parameters).items())


def test_both_roles_connect_over_tls_and_nobody_without_it(
    facauth: Facauth, faces: Faces, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(faces.folder / STORE_OWNER))
    owner = address(faces, STORE_OWNER, sslrootcert=authority.ca)
    facauth("--store", owner, "key", "init")
    faces.change(GRANT)
    certificate, key = authority.sign("app", APP)
    (names,) = re.findall(r"`(sslcert=\S+?)&(sslkey=\S+?)`", PAGE)
    given = {name.split("=")[0]: file for name, file in zip(names, (certificate, key), strict=True)}
    app = address(faces, APP, sslrootcert=authority.ca, **given)
    assert facauth("--store", app, "list").stderr.startswith("facauth: nobody is enrolled in")
    refused(facauth, address(faces, APP, sslrootcert=authority.ca), "client certificate")
    refused(facauth, owner.replace("verify-full", "disable"), "no encryption")
    stranger, strangers_key = authority.sign("stranger", "stranger")
    theirs = {"sslcert": stranger, "sslkey": strangers_key}
    wrong = address(faces, APP, sslrootcert=authority.ca, **theirs)
    refused(facauth, wrong, "certificate authentication failed")
    key.chmod(0o644)
    refused(facauth, app, "group or world access")


def test_a_server_that_poses_as_the_database_is_refused(
    facauth: Facauth, faces: Faces, authority: Authority, tmp_path: Path
) -> None:
    """By another name, or with a certificate of somebody else."""
    named = address(faces, STORE_OWNER, sslrootcert=authority.ca)
    refused(facauth, named.replace(HOST, "127.0.0.1"), "does not match host name")
    other = Authority(tmp_path)
    other.begin()
    refused(facauth, address(faces, STORE_OWNER, sslrootcert=other.ca), "certificate verify failed")


def refused(facauth: Facauth, store: str, reason: str) -> None:
    assert reason in facauth("--store", store, "list", exit_code=7).stderr
