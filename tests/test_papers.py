"""The papers say what the code does: commands, variables, scopes, events, rooms and recipes."""

import re
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path

import click
import pytest

from jobs import SCHEDULE
from resonance_zoom import __version__
from resonance_zoom.cli import COMMANDS, cli
from resonance_zoom.doctor import CHECKS
from resonance_zoom.registrations import REGISTRATION_EVENTS
from resonance_zoom.settings import SECRETS, load_settings
from resonance_zoom.store.outbox import STATES
from resonance_zoom.web.webhooks import MEETING_EVENTS
from resonance_zoom.zoom.scopes import OPTIONAL_SCOPES, REQUIRED_SCOPES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIVE = "Going live, step by step"


def section(heading: str) -> str:
    """What stands under a heading of the README, up to the next one."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str) -> dict[str, list[str]]:
    """The tables of a section: {name in the first column: the other cells}."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section(heading), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in found}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 — git is on every developer's path
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_the_readme_opens_with_the_two_commands() -> None:
    assert README.splitlines()[2:5] == [
        "```",
        "make rehearse    # run the shipped campaign in virtual time, about 10 seconds",
        "make test        # run the tests",
    ]


def test_the_readme_names_the_oldest_python_that_will_do() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "You need Python 3.11 or newer, pip, make and git." in README


def test_the_readme_lists_every_command_and_no_other() -> None:
    assert rows("Commands").keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_is_listed_with_its_options_and_no_other(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {
        max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    assert set(re.findall(r"--[a-z-]+", " ".join(rows("Commands")[name]))) == options


def test_the_readme_lists_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)
    assert codes == ["0", "1", "2", "75", "78"]


def variables() -> set[str]:
    source = (ROOT / "resonance_zoom/settings.py").read_text(encoding="utf-8")
    return set(re.findall(r'"([A-Z][A-Z_]{3,})"', source))


def test_the_readme_lists_every_variable_and_no_other() -> None:
    assert rows("Environment").keys() == variables()


def test_the_example_of_env_names_the_same_variables() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", example, re.MULTILINE)) == variables()


def test_the_readme_says_which_variables_may_lie_in_a_file() -> None:
    words = section("Environment").split("add `_FILE` to the name")[1].split("In `SMTP_URL`")[0]
    assert set(re.findall(r"`([A-Z_]+)`", words)) == SECRETS


def test_the_defaults_in_the_readme_are_those_of_an_empty_environment(tmp_path: Path) -> None:
    bare = load_settings(environ={}, dotenv=tmp_path / "none.env")
    shown = {name: cells[0].strip("`") for name, cells in rows("Environment").items()}
    same = (
        "CAMPAIGN_FILE", "DATABASE_URL", "PUBLIC_URL", "HOST", "PORT", "ZOOM_API_URL",
        "ZOOM_OAUTH_URL", "ZOOM_ACCOUNT_ID", "ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET", "SECRET_KEY",
    )  # fmt: skip
    assert {name: shown[name] for name in same} == {
        name: str(getattr(bare, name.lower())) for name in same
    }
    assert (shown["WEBHOOKS"], bare.webhooks) == ("on", True)
    assert (shown["SMTP_URL"], bare.smtp_url) == ("", None)
    assert (shown["BOUNCES_URL"], bare.bounces_url) == ("", None)


def test_the_readme_names_the_scopes_that_the_calls_need_and_no_other() -> None:
    named = set(re.findall(r"`((?:meeting|user):[a-z_:]+)`", README))
    wanted = (*REQUIRED_SCOPES.values(), *OPTIONAL_SCOPES.values())
    assert named == {names[0] for names in wanted}


def test_the_readme_names_the_events_that_are_used_and_no_other() -> None:
    named = set(re.findall(r"`(meeting\.[a-z_]+)`", README))
    assert named == MEETING_EVENTS | set(REGISTRATION_EVENTS)


def test_step_1_is_the_app_as_our_messages_say() -> None:
    """A missing ZOOM_ variable is answered with "README, step 1"."""
    assert "\n### 1. Create the Server-to-Server OAuth app\n" in section(LIVE)


def test_the_readme_lists_the_points_of_check_in_order() -> None:
    words = " ".join(section(LIVE).split("It looks at: ")[1].split(". ")[0].split())
    assert words.split(", ") == [name for name, _ in CHECKS]


def test_the_readme_shows_the_timetable() -> None:
    periods = {
        "1 day": timedelta(days=1),
        "1 hour": timedelta(hours=1),
        "10 minutes": timedelta(minutes=10),
        "5 minutes": timedelta(minutes=5),
        "1 minute": timedelta(minutes=1),
        "15 seconds": timedelta(seconds=15),
    }
    shown = {name: periods[cells[0]] for name, cells in rows("How it flows").items()}
    assert shown == {job.name: job.every for job in SCHEDULE}


def test_states_of_letters_that_need_somebody_have_a_row() -> None:
    named = re.findall(r"A letter is `(\w+)`", section("When something goes wrong"))
    assert set(named) <= set(STATES)
    assert {"queued", "failed", "dropped", "in_doubt"} <= set(named)


@pytest.mark.parametrize("heading", ["Recipes", "Where things are"])
def test_every_file_that_the_readme_names_exists(heading: str) -> None:
    named = re.findall(r"`((?:config|jobs|resonance_zoom|tests)(?:/[\w./-]+)?)`", section(heading))
    still_to_write = {"jobs/NAME.py"}
    missing = [name for name in {*named} - still_to_write if not (ROOT / name).exists()]
    assert missing == []


def test_every_room_has_its_line() -> None:
    rooms = {
        f"resonance_zoom/{path.name}"
        for path in (ROOT / "resonance_zoom").iterdir()
        if (path / "__init__.py").exists()
    }
    assert rooms <= rows("Where things are").keys()


def test_any_behaviour_lies_within_three_files() -> None:
    table = section("Where things are").split("Any behaviour lies within three files")[1]
    lines = re.findall(r"^\| (?!behaviour)\w.* \| (`.*`) \|$", table, re.MULTILINE)
    assert len(lines) > 15
    assert max(cells.count("`") // 2 for cells in lines) == 3


def test_links_within_the_readme_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (ROOT / target).exists()


def test_ci_runs_the_readmes_test_command_with_the_rest_of_make_check() -> None:
    ci, makefile = ROOT / ".ci/run", (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = ci.read_text(encoding="utf-8").splitlines()
    assert ci.stat().st_mode & 0o111
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make check"
    assert any(line.startswith("make rehearse") for line in lines)
    assert re.search(r"^check:.* test$", makefile, re.MULTILINE)


def test_the_procfile_starts_the_daemon_where_the_platform_says() -> None:
    words = "web: resonance-zoom run --host 0.0.0.0 --port $PORT\n"
    assert (ROOT / "Procfile").read_text(encoding="utf-8") == words


def test_the_changelog_tells_of_this_version() -> None:
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_image_installs_nothing_without_its_hash() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install ([^\n&]*)", dockerfile)
    assert len(installs) == 3
    assert all("--require-hashes" in words or "--no-deps" in words for words in installs)


# Written in pieces, so that this file does not name what it looks for.
FOREIGN = re.compile(
    "|".join(
        (
            "pypi" + r"\.org", "python" + "hosted", r"registry\." + "npmjs",
            r"--(?:extra-)?index-url[= ]+\S*:/" + "/",
            r"(?<![\w.~-])/(?:" + "work|home|Users" + r")/\w",
        )
    )
)  # fmt: skip


def test_no_file_names_a_registry_or_a_machines_path() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if FOREIGN.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert guilty == []
