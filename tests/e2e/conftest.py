"""Services for a test, ended with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.commands import Commands
from support.service import Service, Setting
from support.spawner import Spawner

MakeService = Callable[..., Service]


@pytest.fixture(scope="session")
def spawner() -> Iterator[Spawner]:
    with Spawner() as running:
        yield running


@pytest.fixture
def make_service(spawner: Spawner, tmp_path: Path) -> Iterator[MakeService]:
    """Makes a service, not started, with settings by name; all are killed when the test ends."""
    with ExitStack() as stack:

        def make(folder: Path | None = None, **settings: Setting) -> Service:
            place = folder or tmp_path / f"service-{len(made)}"
            place.mkdir(exist_ok=True)
            made.append(place)
            return stack.enter_context(Service(place, spawner, **settings))

        made: list[Path] = []
        yield make


@pytest.fixture
def daybook(spawner: Spawner, tmp_path: Path) -> Iterator[Commands]:
    folder = tmp_path / "commands"
    folder.mkdir()
    commands = Commands(spawner, folder)
    try:
        yield commands
    finally:
        commands.close()
