"""A machine without data on time zones is told so: hours in letters would be wrong, or missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# The package tzdata cannot be imported, and PYTHONTZPATH names no folder of the system.
BARE_MACHINE = """\
import sys
sys.modules["tzdata"] = None
from resonance_zoom.cli import main
main()
"""


@pytest.mark.parametrize("command", ["run", "check"])
def test_without_time_zones_nothing_starts_and_the_remedy_is_named_with_78(
    environ: dict[str, str], tmp_path: Path, command: str
) -> None:
    code, out, err = on_a_bare_machine(environ, tmp_path, command, zones="")
    assert (code, out) == (78, "")
    assert err == (
        "time zones: this machine has no data on them;"
        " install the system's package tzdata, or: pip install tzdata\n"
        "Set them in the environment or in .env.\n"
    )
    assert not (tmp_path / "var").exists()


def test_the_systems_time_zones_are_enough(environ: dict[str, str], tmp_path: Path) -> None:
    """The same machine, with the folder of its system: it is the missing data that was told."""
    code, _, err = on_a_bare_machine(environ, tmp_path, "status", zones=None)
    assert (code, "time zones" in err) == (1, False)


def on_a_bare_machine(
    environ: dict[str, str], where: Path, command: str, *, zones: str | None
) -> tuple[int, str, str]:
    """Type a command where the package tzdata is missing: exit code, stdout, stderr."""
    path = {} if zones is None else {"PYTHONTZPATH": zones}
    done = subprocess.run(  # noqa: S603 — our own command
        [sys.executable, "-c", BARE_MACHINE, command],
        cwd=where,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ, **path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
