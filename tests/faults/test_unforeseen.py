"""An error that nobody expected is told by its kind and its place: its words may be a person's."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, runs
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.faults.test_clock import RUN, script
from tests.mail_server import MailServer

# A rule of the database that we know nothing of. Its error comes with the values of the row.
BROKEN = """
CREATE TRIGGER broken BEFORE INSERT ON registrants
WHEN new.email LIKE 'canary%' BEGIN SELECT RAISE(ABORT, 'no'); END
"""
EMAIL = "canary@example.org"


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.of_a_file("its bytes are looked for in the file")
def test_a_job_that_breaks_keeps_nothing_of_the_person_it_broke_on(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    with service.store.write() as connection:
        connection.exec_driver_sql(BROKEN)
    zoom.register(meeting.id, email=EMAIL, first_name="Canaria", last_name="Canary")
    fault = run_job(service, jobs.job("sync_registrants"))
    assert fault is not None
    assert re.fullmatch(r"IntegrityError in [a-z]+\.py, line \d+", fault), fault
    assert [row.error for row in rows(service, runs) if row.error] == [fault]
    without_its_rule = bytes_of(service.settings.data_dir).replace(b"LIKE 'canary%'", b"")
    assert b"canar" not in without_its_rule.lower()


@pytest.mark.of_a_file("a trigger of SQLite's")
def test_an_error_of_the_database_does_not_quote_a_row(service: Service) -> None:
    with service.store.write() as connection:
        connection.exec_driver_sql(BROKEN)
    insert = (
        "INSERT INTO registrants (focus_group, email_folded, email, first_name, last_name, status,"
        " episode, registered_at, decided_ts, source)"
        " VALUES ('a', ?, ?, '', '', 'approved', 1, '2021-01-11', 0, 'sweep')"
    )
    with pytest.raises(Exception, match="no") as told, service.store.write() as connection:
        connection.exec_driver_sql(insert, (EMAIL, EMAIL))
    assert "canary@" not in str(told.value)


def test_a_letter_that_breaks_says_where_and_not_on_what(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(**of_the_letter: Any) -> bytes:
        raise KeyError(of_the_letter["person"].first_name)

    zoom.register(meeting.id, email=EMAIL, first_name="Canaria")
    assert run_job(service, jobs.job("sync_registrants")) is None
    monkeypatch.setattr(service.composer, "compose", broken)
    assert run_job(service, jobs.job("deliver_letters")) is None
    (row,) = rows(service, letters)
    assert (row.state, row.reason) == ("failed", "error")
    assert row.detail.startswith("KeyError in delivery.py, line ")
    (line,) = [line for line in rows(service, journal) if line.kind == "letter.failed"]
    assert "Canaria" not in f"{line.message}{line.data}"


def test_no_other_address_that_a_server_quotes_reaches_the_journal(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, mail_server: MailServer
) -> None:
    """Of who forwards her mail, a server may name the address that it goes to."""
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    assert run_job(service, jobs.job("sync_registrants")) is None
    told = "550 5.1.1 <alice@example.org>: <a.martin@at-home.example> is unknown"
    mail_server.answers["RCPT"] = [told]
    assert run_job(service, jobs.job("deliver_letters")) is None
    (row,) = rows(service, letters)
    assert row.detail == f"RCPT: {told}"
    (line,) = [line for line in rows(service, journal) if line.kind == "letter.failed"]
    assert line.message == "confirmation: RCPT: 550 5.1.1 <…>: <…> is unknown"


THREAD_BREAKS = """
from jobs import clock
from resonance_zoom import daemon
from resonance_zoom.errors import ResonanceError
def broken(service, heartbeat):
    raise RuntimeError("canary@example.org")
def seen(heartbeat):
    raise ResonanceError("enough was seen")
daemon._listen = broken
clock.Heartbeat.look_after = seen
"""
START_BREAKS = """
from resonance_zoom import daemon
def broken(service):
    raise RuntimeError("canary@example.org")
daemon.start_up = broken
"""


@pytest.mark.parametrize("what", [THREAD_BREAKS, START_BREAKS])
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_ends_the_daemon_or_a_thread_of_it_stands_in_the_log_without_its_words(
    what: str, form: str, environ: dict[str, str], tmp_path: Path
) -> None:
    ended = script(environ | {"LOG_FORMAT": form}, tmp_path, what + RUN)
    assert ended.returncode == 1, ended.stderr
    assert "an error that nobody expected" in ended.stderr
    assert "RuntimeError" in ended.stderr
    assert "canary@" not in ended.stderr
