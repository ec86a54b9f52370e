"""One server for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import BARACK, Served, serving


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """It knows Barack."""
    with serving(tmp_path_factory.mktemp("served"), "--per-minute", "1000000") as served:
        assert served.register("Barack", BARACK).status_code == 200
        yield served


@pytest.fixture
def server(one_server: Served) -> Served:
    """The same, whatever sign-ins failed before."""
    one_server.unlock()
    return one_server
