"""The bench measures what it says: small sizes of every part, no word about how long they take."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from resonance_zoom.service import utc_now
from resonance_zoom.web.app import make_app
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.payloads import Notification
from tests.bench import __main__ as bench
from tests.bench import acknowledgements, growth, letters, load, sweeps, webhooks
from tests.bench.load import Load
from tests.bench.references import bare, tutorial_is_here
from tests.bench.report import Report, Target
from tests.bench.sizes import TINY, Sizes
from tests.bench.stage import Stage
from tests.conftest import WEBHOOK_SECRET
from tests.mail_server import MailServer

# What differs from one database to another, or from one moment to another.
OWN = {"id", "at", "received_at", "due_at", "ready_at", "created_at", "absent_since"}


@pytest.fixture
def report() -> Report:
    return Report(quiet=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path / "stage") as made:
        yield made


def _requests(made: Load) -> Iterator[tuple[bytes, dict[str, str]]]:
    """The bodies in the file, and their headers in lower case."""
    whole = made.path.read_bytes()
    assert len(whole) == made.length * made.count
    for first in range(0, len(whole), made.length):
        head, body = whole[first : first + made.length].split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")[1:]
        yield body, {name.lower(): value for name, value in (line.split(": ") for line in lines)}


def _post(made: Load, app: Any) -> None:
    with TestClient(app) as client:
        for body, headers in _requests(made):
            assert client.post("/webhooks/zoom", content=body, headers=headers).status_code == 200


def _rows(database: Path) -> dict[str, list[dict[str, Any]]]:
    """What the tables of a registration hold, but for what is each database's own."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [
                {name: row[name] for name in row.keys() if name not in OWN}  # noqa: SIM118 — a sqlite3.Row iterates over its values
                for row in connection.execute(f"SELECT * FROM {table} {where} ORDER BY id")  # noqa: S608 — names of ours
            ]
            for table, where in (
                ("events", ""),
                ("registrants", ""),
                ("letters", ""),
                ("journal", "WHERE kind LIKE 'registration.%'"),
            )
        }


def _sink_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters go to the tests' own mail server, on every machine."""

    @contextmanager
    def sink() -> Iterator[str]:
        yield url

    monkeypatch.setattr(load, "smtp_sink", sink)
    monkeypatch.setattr(load, "program", lambda _name: "/usr/sbin/smtp-sink")


def test_a_median_a_spread_and_a_verdict_for_every_line(report: Report, tmp_path: Path) -> None:
    report.add("letters", "a wave", "letters/s", [900, 1_200, 1_100], target=Target(at_least=1_000))
    report.add("letters", "slow", "ms", [3.0, 1.0], target=Target(at_most=1.5), says="on purpose")
    report.lacks("webhooks: no wrk here")
    report.fsync_ms = 0.25
    report.write(tmp_path / "var" / "bench.json")

    told = json.loads((tmp_path / "var" / "bench.json").read_text("utf-8"))
    assert {*told} == {"machine", "seconds", "lines", "not_measured", "notes"}
    assert {*told["machine"]} == {"cores", "python", "system", "load_before", "fsync_ms"}
    assert told["not_measured"] == ["webhooks: no wrk here"]
    assert told["lines"] == [
        {
            "part": "letters",
            "name": "a wave",
            "unit": "letters/s",
            "median": 1_100,
            "low": 900,
            "high": 1_200,
            "rounds": [900, 1_200, 1_100],
            "target": "≥ 1,000",
            "met": True,
            "says": "",
        },
        {
            "part": "letters",
            "name": "slow",
            "unit": "ms",
            "median": 2.0,
            "low": 1.0,
            "high": 3.0,
            "rounds": [3.0, 1.0],
            "target": "≤ 1.50",
            "met": False,
            "says": "on purpose",
        },
    ]
    shown = report.table().splitlines()
    assert shown[1].split() == ["letters", "a", "wave", "1,100", "900–1,200", "letters/s", "≥", "1,000", "met"]  # fmt: skip
    assert shown[2].split() == ["slow", "2", "1–3", "ms", "≤", "1.50", "NOT", "MET"]
    assert "· slow: on purpose" in shown
    assert "not measured: webhooks: no wrk here" in shown


def test_notifications_are_signed_of_one_length_and_about_somebody_new(tmp_path: Path) -> None:
    made = load.notifications(tmp_path / "requests", meeting=81234567890, count=3, first=7)

    met = set()
    for body, headers in _requests(made):
        assert len(body) == 1_200
        protocol.verify(secrets=[WEBHOOK_SECRET], headers=headers, body=body, now=utc_now())
        said = protocol.parse(body)
        assert isinstance(said, Notification)
        assert (said.event, said.meeting_id) == ("meeting.registration_created", 81234567890)
        met.add(protocol.event_key(said))
    assert len(met) == 3


def test_the_references_write_the_rows_that_the_service_writes(stage: Stage) -> None:
    theirs = {name: stage.folder / f"{name}.db" for name in ("bare", "tutorial")}
    for database in theirs.values():
        webhooks.copy(stage.database, database)
    made = load.notifications(stage.folder / "requests", meeting=stage.meeting, count=2, first=1)

    with stage.service() as service:
        _post(made, make_app(service))
    _post(made, bare.application(str(theirs["bare"])))
    if tutorial_is_here():
        from tests.bench.references import tutorial

        _post(made, tutorial.make_app(str(theirs["tutorial"])))
    else:
        del theirs["tutorial"]

    ours = _rows(stage.database)
    assert [len(rows) for rows in ours.values()] == [2, 2, 2, 2]
    for database in theirs.values():
        assert _rows(database) == ours


def test_the_crowd_is_no_news_to_a_sweep(stage: Stage) -> None:
    stage.register(350)
    with stage.service() as service:
        stage.run(service, "sync_registrants")

    assert stage.one("SELECT count(*) FROM registrants WHERE absent_since IS NULL") == 350
    assert stage.one("SELECT count(*) FROM events") == 0


def test_a_wave_is_sent_by_all_three(
    report: Report, tmp_path: Path, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sink_is(mail_server.url, monkeypatch)

    letters.measure(report, tmp_path, TINY)

    assert [line.name for line in report.lines] == [
        "ours, a wave of 12",
        "bytes alone, smtplib × 4",
        "plain loop",
        "ours ÷ bytes alone",
        "ours ÷ plain loop",
    ]
    assert [kept.recipients[0] for kept in mail_server.kept].count("person3@example.org") == 2
    assert len(mail_server.kept) == 12 + 12 + 2
    assert all("BEGIN:VCALENDAR" in kept.calendar for kept in mail_server.kept)


def test_a_sweep_that_finds_nothing_new_is_counted_in_statements(
    report: Report, tmp_path: Path
) -> None:
    sweeps.measure(report, tmp_path, TINY)

    assert [(line.unit, len(line.rounds)) for line in report.lines] == [
        ("s CPU", 1),
        ("s CPU", 1),
        ("", 1),
        ("s CPU", 1),
    ]
    assert report.lines[2].name == "statements a page"
    assert report.lines[2].median >= 1


def test_every_page_of_both_sizes_is_looked_at(
    report: Report, tmp_path: Path, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sink_is(mail_server.url, monkeypatch)

    growth.measure(report, tmp_path / "growth", TINY)

    names = [line.name.rpartition(":")[0] for line in report.lines]
    assert {"tick, nothing due", "20 letters claimed and sent", "page: overview", "page: letters"} <= {*names}  # fmt: skip
    assert report.lines[-1].name == "statements that read a whole table"
    kept = sorted(path.name.split("-")[1] for path in tmp_path.glob("growth-*"))
    assert kept == ["40", "80"]


def test_the_worst_acknowledgement_is_told_of_every_fault(report: Report, tmp_path: Path) -> None:
    acknowledgements.measure(report, tmp_path, TINY)

    assert [line.name for line in report.lines] == [
        "worst, nothing wrong",
        "worst, the mail server hangs, thousands of letters wait",
        "worst, Zoom's API is down",
        "worst, another process holds the database for 2 s",
        "worst, one backup after the other",
        "worst, one sweep after the other",
        "worst, 200 silent and 200 slow connections",
    ]
    assert [line.says for line in report.lines] == [""] * 7  # each was answered 200
    held = report.lines[3].median
    assert held == max(line.median for line in report.lines) > 1_000


def test_what_is_missing_is_told(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "program", lambda _name: None)

    webhooks.measure(report, tmp_path, TINY)
    letters.measure(report, tmp_path, TINY)

    assert report.lines == []
    assert report.not_measured == [
        "webhooks: no wrk here; install it: apt-get install wrk",
        "letters: no smtp-sink here; install it: apt-get install postfix",
    ]


def test_what_was_measured_before_a_fault_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(_report: Report, folder: Path, _sizes: Sizes) -> None:
        (folder / "left-over").touch()
        raise RuntimeError("it broke")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "one", "two", "--rounds", "2"])
    parts = {"one": lambda report, _f, sizes: report.add("one", "it", "s", [1.0] * sizes.rounds),
             "two": breaks}  # fmt: skip
    monkeypatch.setattr(bench, "PARTS", parts)

    with pytest.raises(RuntimeError, match="it broke"):
        bench.main()

    told = json.loads((tmp_path / "var" / "bench.json").read_text("utf-8"))
    assert [line["rounds"] for line in told["lines"]] == [[1.0, 1.0]]
    assert told["machine"]["fsync_ms"] >= 0
    assert "two machines" in told["not_measured"][0]
    assert "it" in capsys.readouterr().out
    assert list((tmp_path / "var" / "bench").iterdir()) == []


def test_a_part_that_nobody_knows_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "webhook"])

    with pytest.raises(SystemExit):
        bench.main()

    assert "no such part: webhook" in capsys.readouterr().err
