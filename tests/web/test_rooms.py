"""The server calls the pipeline and the operator's verbs, and nothing behind them."""

from __future__ import annotations

import pytest
from test_architecture import SOURCES, our_imports, room_of

DOORS = {"facauth.pipeline", "facauth.admin", "facauth.system"}
VALUES = {
    *("facauth", "facauth.envelope", "facauth.errors", "facauth.evidence"),
    *("facauth.settings", "facauth.structs", "facauth.files"),
}
FILES = [name for name in SOURCES if room_of(name) == "facauth.web"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_server_imports_nothing_behind_the_doors(name: str) -> None:
    behind = {
        module
        for module in our_imports(name)
        if room_of(module) != "facauth.web" and module not in DOORS | VALUES
    }
    assert behind == set()


def test_the_server_goes_through_every_door() -> None:
    """Or else the list above would allow what nobody needs."""
    assert {module for name in FILES for module in our_imports(name)} >= DOORS
