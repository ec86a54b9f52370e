"""What is an address of a store, and that none holds a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Facauth

from facauth.errors import SetupProblem, UsageProblem
from facauth.places import Address, place_of
from facauth.store.store import Store

# As libpq reads them, all but the last few name the password SESAME; urllib sees none in most.
HIDDEN = (
    "postgresql://ada:SES/AME@127.0.0.1/x",
    "postgresql://ada:SES?AME@127.0.0.1/x",
    "postgresql://ada:SES#AME@127.0.0.1/x",
    "postgresql://ada:SES@AME@127.0.0.1/x",
    "postgresql://127.0.0.1/x?application_name=x#&password=SESAME",
    "postgresql://127.0.0.1/x?pass%77ord=SESAME",
    "postgresql://ada%3ASESAME@127.0.0.1/x",
    "postgresql://127.0.0.1/x?dbname=postgresql://ada:SESAME@127.0.0.1/x",
    "PostgreSQL://ada:SESAME@127.0.0.1/x",
    "mysql://ada:SESAME@127.0.0.1/x",
    "postgresql:ada:SESAME@127.0.0.1/x",
    "host=127.0.0.1 password=SESAME",
    "password = SESAME",
)


@pytest.mark.parametrize("text", HIDDEN)
@pytest.mark.parametrize("by", ["option", "variable", "argument", "setting"])
def test_a_password_is_refused_and_not_shown(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch, text: str, by: str
) -> None:
    arguments = {"option": ["list", "--store", text], "argument": ["store", "copy", text, text]}
    if by == "setting":
        monkeypatch.delenv("FACAUTH_STORE", raising=False)
        settings = facauth.home / "config" / "facauth" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"store = {text!r}\n")
    else:
        monkeypatch.setenv("FACAUTH_STORE", text if by == "variable" else "store")
    result = facauth(*arguments.get(by, ["list"]), exit_code=2)
    said = result.stdout + result.stderr
    assert "address of a store" in said
    assert [part for part in ("SES", "AME") if part in said] == []
    assert list(facauth.here.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://",
        "postgres:///faces",
        "postgresql://ada@127.0.0.1:5432,[::1]:5433/faces?target_session_attrs=read-write",
        "postgresql://ada%40corp@db.example.org/faces?sslrootcert=/etc/db.pem&passfile=/etc/pass",
    ],
)
def test_an_address_without_a_password(text: str) -> None:
    assert place_of(text) == Address(text)


@pytest.mark.parametrize("text", ["store.sqlite3", "/a/b:c", "a=b", "postgresql", "my host/store"])
def test_a_path(text: str) -> None:
    assert place_of(text) == Path(text)


@pytest.mark.parametrize("text", ["postgresql:", "postgres:faces", "sqlite:///store.sqlite3"])
def test_a_wrong_scheme_is_not_the_name_of_a_file(text: str) -> None:
    with pytest.raises(UsageProblem, match="not the address of a store"):
        place_of(text)


@pytest.mark.parametrize("host", ["\udcff", "a" * 70, "..a", "%00", "[::1", "h:abc", "h:99999"])
def test_an_impossible_host(host: str) -> None:
    with pytest.raises(SetupProblem, match="cannot be reached"):
        Store.open(Address(f"postgresql://{host}/x"))
