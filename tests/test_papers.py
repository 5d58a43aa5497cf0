"""The README says what the code does: commands, variables, scopes and events."""

import re
import subprocess
from pathlib import Path

from resonance_zoom.cli import cli
from resonance_zoom.registrations import REGISTRATION_EVENTS
from resonance_zoom.web.webhooks import MEETING_EVENTS
from resonance_zoom.zoom.scopes import REQUIRED_SCOPES

README = Path("README.md").read_text(encoding="utf-8")


def table(heading: str) -> set[str]:
    """The names in the first column of a section's table."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_the_readme_opens_with_the_two_commands() -> None:
    assert README.splitlines()[2:5] == [
        "```",
        "make rehearse    # run the shipped campaign in virtual time, about 30 seconds",
        "make test        # run the tests",
    ]


def test_the_readme_lists_every_command_and_no_other() -> None:
    assert table("Commands") == set(cli.commands)


def test_the_readme_lists_every_variable_and_no_other() -> None:
    source = Path("resonance_zoom/settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source))
    assert table("Environment") == read | {"HOST", "PORT"}


def test_the_readme_names_the_scopes_that_the_calls_need() -> None:
    assert table("Going live, step by step") >= {names[0] for names in REQUIRED_SCOPES.values()}


def test_the_readme_names_the_events_that_are_used() -> None:
    named = set(re.findall(r"`(meeting\.[a-z_]+)`", README))
    assert named == MEETING_EVENTS | set(REGISTRATION_EVENTS)


def test_no_file_names_a_registry_or_a_machines_path() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)  # noqa: S607
    names = ("pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "/work/" + "main")
    foreign = re.compile("|".join(map(re.escape, names)))
    guilty = [
        name
        for name in listed.stdout.splitlines()
        if foreign.search(Path(name).read_text(encoding="utf-8", errors="replace"))
    ]
    assert guilty == []
