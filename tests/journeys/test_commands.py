"""Every command through its door: output, JSON, exit code, and one clear line for each trouble."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from resonance_zoom.service import utc_now
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET, Type, free_port
from tests.mail_server import MailServer

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def clock() -> Any:
    """These journeys run by the real clock."""
    return utc_now


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    """The same groups, in the weeks to come."""
    text = CAMPAIGN
    for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
        text = text.replace(old, f"{datetime.now(UTC).date() + timedelta(days=days)}")
    path = tmp_path / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return path


def command(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 — our own command
        [sys.executable, "-m", "resonance_zoom", *words],
        capture_output=True,
        text=True,
        cwd=environ["WHERE"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ},
        timeout=30,
        check=False,
    )


@pytest.fixture
def environ(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Commands run in an empty folder: no .env, no config of the project's."""
    return environ | {"WHERE": str(tmp_path)}


class Daemon:
    def __init__(self, environ: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{environ['PORT']}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resonance_zoom", "run"],
            cwd=environ["WHERE"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for(lambda: requests.get(f"{self.url}/healthz", timeout=1).ok)

    def wait_for(self, holds: Any) -> None:
        """Until it holds, at most ten seconds; what is awaited is another process."""
        for _ in range(400):
            try:
                if holds():
                    return
            except requests.ConnectionError:
                pass
            if self.process.poll() is not None:
                raise AssertionError(self.process.stderr and self.process.stderr.read())
            time.sleep(0.025)
        raise AssertionError("it never came")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def daemon(environ: dict[str, str], zoom: SimulatedZoom) -> Iterator[Daemon]:
    running = Daemon(environ)
    running.wait_for(lambda: len(zoom.meetings) == 2)
    # The first sweep is over: whom it would find belongs to another test.
    running.wait_for(
        lambda: requests.get(f"{running.url}/readyz", timeout=1).json()["points"]["last_sweep"][
            "ok"
        ]
    )
    zoom.subscribe(f"{running.url}/webhooks/zoom")
    yield running
    if running.process.poll() is None:
        running.stop()


def test_the_daemon_runs_the_campaign_and_the_commands_work_beside_it(
    environ: dict[str, str],
    daemon: Daemon,
    types: Type,
    zoom: SimulatedZoom,
    mail_server: MailServer,
) -> None:
    """The daemon is a process of its own; so are the commands that speak with Zoom beside it."""
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="Alice@Example.org", first_name="Alice", last_name="Martin")
    assert [delivery.status for delivery in zoom.deliver_due()] == [200]
    daemon.wait_for(lambda: mail_server.to("Alice@Example.org"))
    daemon.wait_for(lambda: json.loads(types("letters", "--json")[1])[0]["state"] == "sent")

    status = json.loads(types("status", "--json")[1])
    first = status["focus_groups"][0]
    assert status["campaign"] == "resonance-2021"
    assert (first["slug"], first["state"]) == ("teletravail", "open")
    assert first["zoom_meeting_id"] == meeting.id
    assert first["registrants"] == {"approved": 1, "pending": 0, "denied": 0, "cancelled": 0}
    assert first["letters"]["sent"] == 1
    assert first["next_letter"]["kind"] == "reminder-7"

    (person,) = json.loads(types("registrants", "--json")[1])
    assert person["email"] == "Alice@Example.org"
    assert person["source"] == "webhook"
    assert person["join_url"].startswith("https://")
    (letter,) = json.loads(types("letters", "--json")[1])
    assert (letter["kind"], letter["attempts"]) == ("confirmation", 1)
    assert letter["reason"].startswith("accepted by the mail server: 250")

    code, told, _ = types("who", "alice@example.org")
    assert code == 0
    assert "Did the link leave? yes" in told
    assert types("who", "Martin")[0] == 0
    code, _, said = types("who", "nobody@example.org")
    assert code == 1
    assert "nobody is known as nobody@example.org" in said

    kinds = [json.loads(line)["kind"] for line in types("log", "--json")[1].splitlines()]
    assert {"service.started", "meeting.created", "registration.created", "letter.sent"} <= set(
        kinds
    )
    assert "letter.sent" in types("log", "-n", "5")[1]

    (swept, other) = json.loads(command(environ, "sync", "--json").stdout)
    assert (swept["focus_group"], swept["listed"], swept["repaired"]) == ("teletravail", 1, 0)
    assert other["listed"] == 0
    plan = json.loads(command(environ, "plan", "--json").stdout)
    assert [group["action"] for group in plan["focus_groups"]] == ["keep", "keep"]

    assert types("pause")[0] == 0
    code, _, said = types("resend", str(letter["id"]))
    assert code == 0, said
    assert [one["state"] for one in json.loads(types("letters", "--json")[1])] == [
        "sent",
        "queued",
    ]
    assert "sending was paused" in types("status")[2]
    assert types("resume")[0] == 0

    csv = Path(environ["WHERE"]) / "people.csv"
    assert types("registrants", "--output", str(csv))[0] == 0
    assert csv.read_text(encoding="utf-8-sig").splitlines()[1].startswith("teletravail;Alice@")

    gone = command(environ, "cancel", "alice@example.org", "teletravail", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert [r.status for r in meeting.registrants.values()] == ["deleted"]
    (person,) = json.loads(types("registrants", "--json")[1])
    assert person["status"] == "cancelled"

    second = command(environ | {"PORT": str(free_port())}, "run")
    assert second.returncode == 75
    assert "another daemon" in second.stderr
    assert daemon.stop() == 0


def test_a_first_plan_says_what_would_be_created_and_creates_nothing(
    environ: dict[str, str], types: Type, zoom: SimulatedZoom
) -> None:
    code, told, said = types("plan")
    assert code == 0, said
    assert told.count(": create") == 2
    assert zoom.meetings == {}
    assert not Path(environ["DATABASE_URL"].removeprefix("sqlite:///")).exists()


def test_a_missing_variable_ends_run_with_78_and_a_line_for_each(environ: dict[str, str]) -> None:
    without = {k: v for k, v in environ.items() if k not in {"SECRET_KEY", "ZOOM_CLIENT_ID"}}
    told = command(without, "run")
    assert told.returncode == 78
    assert [line.split(":")[0] for line in told.stderr.splitlines()[:2]] == [
        "SECRET_KEY",
        "ZOOM_CLIENT_ID",
    ]


def test_a_wrong_campaign_file_ends_with_78_and_file_line_key_reason(
    types: Type, campaign_file: Path
) -> None:
    campaign_file.write_text(campaign_file.read_text().replace("zoom_host", "zoom_hots"))
    code, _, said = types("status")
    assert code == 78
    assert f"{campaign_file}:6: campaign.zoom_hots:" in said
    assert "zoom_host" in said


def test_a_busy_port_ends_run_with_75_and_names_it(environ: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = command(environ | {"PORT": port}, "run")
    assert told.returncode == 75
    assert f"cannot listen on 127.0.0.1:{port}" in told.stderr
    assert "set PORT to a free one" in told.stderr


def test_reading_before_the_first_run_says_what_to_do(types: Type) -> None:
    code, _, said = types("status")
    assert code == 1
    assert "there is no database" in said
    assert "resonance-zoom run" in said


def test_wrong_usage_ends_with_2(types: Type) -> None:
    assert types("letters", "--state", "lost")[0] == 2
    assert types("fly")[0] == 2


def test_no_secret_and_no_person_reaches_the_technical_log(
    environ: dict[str, str], daemon: Daemon, zoom: SimulatedZoom, mail_server: MailServer
) -> None:
    meeting = next(iter(zoom.meetings.values()))
    zoom.register(meeting.id, email="canary@example.org", first_name="Canari", last_name="Jaune")
    zoom.deliver_due()
    daemon.wait_for(lambda: mail_server.to("canary@example.org"))
    assert requests.post(f"{daemon.url}/webhooks/zoom", data=b"{}", timeout=5).status_code == 401
    daemon.process.send_signal(signal.SIGTERM)
    _, errors = daemon.process.communicate(timeout=20)
    assert "webhook refused" in errors
    for secret in ("canary", "Canari", "Jaune", WEBHOOK_SECRET, environ["SECRET_KEY"], "csecret"):
        assert secret not in errors


def test_the_simulator_is_reached_only_where_the_environment_says(
    types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOM_API_URL", "http://zoom.example.org/v2")
    code, _, said = types("plan")
    assert code == 78
    assert "ZOOM_API_URL" in said
