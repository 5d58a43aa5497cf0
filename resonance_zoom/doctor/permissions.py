"""Nobody else on this machine reads secrets or registrants, or the service stays down.

The daemon looks before it starts, `check` says the same; each open door comes with the command that
closes it.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from resonance_zoom.errors import ConfigurationError
from resonance_zoom.settings import Settings

OTHERS = 0o077  # whatever a group or anybody else may do
# Docker and Podman show secrets to every user of the container, which has but one:
# https://docs.docker.com/engine/swarm/secrets/
CONTAINER_SECRETS = Path("/run/secrets")


def open_doors(settings: Settings) -> list[tuple[Path, str]]:
    """Each folder and file that others can enter or read, with the mode that it should have."""
    return [
        (path, "700" if path.is_dir() else "600")
        for path in (*_data(settings), *settings.secret_files)
        if _is_open(path) and not path.resolve().is_relative_to(CONTAINER_SECRETS)
    ]


def commands(doors: list[tuple[Path, str]]) -> str:
    """The command that closes them all."""
    wanted = {
        mode: " ".join(shlex.quote(str(path)) for path, its in doors if its == mode)
        for mode in ("700", "600")
    }
    return " && ".join(f"chmod {mode} {paths}" for mode, paths in wanted.items() if paths)


def refuse_open_doors(settings: Settings) -> None:
    """Raises ConfigurationError with the command that helps."""
    if doors := open_doors(settings):
        raise ConfigurationError(words(doors), remedy=f"Close them: {commands(doors)}")


def words(doors: list[tuple[Path, str]]) -> str:
    """What is wrong, in one sentence."""
    return f"others on this machine can read {', '.join(str(path) for path, _ in doors)}"


def root_warning() -> str | None:
    """What to say to whoever runs the service as root, which it never needs."""
    if os.geteuid() != 0:
        return None
    return (
        "RUNNING AS ROOT: whoever finds a hole in this service has the whole machine;"
        " give it a user of its own, who owns only the data folder"
    )


def _data(settings: Settings) -> Iterator[Path]:
    """The data folder, the database with all that lies beside it, and its backups."""
    folder = settings.data_dir
    if folder.exists():
        yield folder
        if file := settings.database_file:
            yield from sorted(path for path in folder.glob(f"{file.name}*") if path.is_file())
        yield from sorted(folder.glob("backups"))
        yield from sorted(path for path in folder.glob("backups/*") if path.is_file())


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & OTHERS)
    except FileNotFoundError:  # SQLite's log goes with its last reader
        return False
