"""These tests need a real PostgreSQL whatever the others run on: they are about it."""

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.database import Server


@pytest.fixture(scope="session")
def server(
    database_server: "Server | None", tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Server"]:
    if database_server is not None:
        yield database_server
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel looks for a session of the desktop
        from tests.database import Server
    ours = tmp_path_factory.getbasetemp()
    made = Server((ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "server")
    yield made
    made.close()


@pytest.fixture
def empty_url(server: "Server") -> Iterator[str]:
    """A database with nothing in it."""
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def prepared_url(server: "Server") -> Iterator[str]:
    """A database of the present schema without a row."""
    name = server.create(like=server.prepared)
    yield server.url(name)
    server.drop(name)
