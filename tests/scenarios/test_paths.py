"""Where `~` leads, whoever wrote it: a home, and never a folder of that name."""

from __future__ import annotations

import inspect
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from conftest import Facauth, Photo

from facauth.cli import app
from facauth.cli.options import named, placed

FIRST, AGAIN = "obama_2009.jpg", "obama_2010.jpg"


def callbacks(command: Any) -> Iterator[Any]:
    if command.callback:
        yield inspect.unwrap(command.callback)
    for inner in getattr(command, "commands", {}).values():
        yield from callbacks(inner)


def paths() -> Iterator[tuple[str, Any]]:
    for callback in callbacks(app):
        hints = get_type_hints(callback, include_extras=True)
        for name in inspect.signature(callback).parameters:
            if get_origin(hints[name]) is Annotated:
                kind, info = get_args(hints[name])
                if Path in (kind, *get_args(kind)) or info.parser is placed:
                    yield f"{callback.__name__} {name}", info


def test_every_path_is_read_by_one_function() -> None:
    found = dict(paths())
    assert len(found) > 15
    assert {"root store", "root key_file", "backup out", "restore source"} <= set(found)
    others = {name for name, info in found.items() if info.parser is not named}
    assert "root store" in others
    assert {found[name].parser for name in others} == {placed}


def test_options_and_variables(facauth: Facauth, photo: Photo) -> None:
    home, here = facauth.home, facauth.here
    facauth.process("key", "init", "--store=~/s.db", "--key-file=~/k")
    env = {"FACAUTH_STORE": "~/s.db", "FACAUTH_KEY_FILE": "~/k"}
    facauth.process("register", "Barack", photo(FIRST), env=env)
    facauth.process("export", "Barack", "~/out", "--plain", env=env)
    facauth.process("import", "~/out", "--store=~/other.db")
    said = facauth.process("sign-in", photo(AGAIN), "--store=~/other.db").stdout
    assert said == "Barack\n"
    assert {"s.db", "k", "out", "other.db"} <= {each.name for each in home.iterdir()}
    assert not (here / "~").exists()


def test_a_user_named(facauth: Facauth) -> None:
    me = pwd.getpwall()[0]
    assert named(f"~{me.pw_name}/x") == Path(me.pw_dir, "x")
    result = facauth("list", "--store=~nobody-at-all/x", exit_code=2)
    assert "there is no home ~nobody-at-all" in result.stderr
    result = facauth("import", "~nobody-at-all/x", exit_code=2)
    assert "there is no home ~nobody-at-all" in result.stderr


@pytest.mark.parametrize("path", ["./~/x", "a~", "a/~/b", "./~root"])
def test_what_is_really_called_so(path: str) -> None:
    assert named(path) == Path(path)
