"""Names that would do harm travel through every page, letter, log and export: whole, and harmless.

Four people register on Zoom's page for both meetings. Alice is the measure: what the others see
differs from hers by the name alone.
"""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from openpyxl import load_workbook
from sqlalchemy import text as sql

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service, utc_now
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock, Type
from tests.mail_server import Kept, MailServer
from tests.web.town import links, shape, text

PROJECT = Path(__file__).parents[2]
LONG = "Z" * 300
NAMES = {
    "alice": ("Alice", "Martin"),
    "markup": ("<script>alert(1)</script>", "{{ 7*7 }} %(x)s"),
    "header": ("Marie\r\nBcc: x@evil.example", '=HYPERLINK("https://evil.example";"Curie")'),
    "terminal": ("\x1b[31mAnna\u202e\u2028", f"Bel\x9b1m {LONG}"),
}
# What of a name must be nowhere that names nobody.
MARKS = ("<script", "alert", "7*7", "Marie", "HYPERLINK", "evil", "Anna", "ZZZ", "\x1b", "\u202e")
KINDS = [
    "confirmation",
    "confirmation",
    "moved",
    "reminder-7",
    "reminder-1",
    "withdrawn",
    "cancelled",
]


@dataclass
class Journey:
    """The campaign under way, and how it is seen from outside."""

    service: Service
    zoom: SimulatedZoom
    clock: Clock
    mail_server: MailServer
    file: Path
    origin: str
    browser: requests.Session = field(default_factory=requests.Session)

    def run(self, *names: str) -> None:
        for name in names:
            job = next(line for line in jobs.SCHEDULE if line.name == name)
            assert run_job(self.service, job) is None

    def edit(self, was: str, now: str) -> None:
        """The organiser edits the campaign file, and the ten minutes of grace pass."""
        text = self.file.read_text(encoding="utf-8")
        assert was in text
        self.file.write_text(text.replace(was, now), encoding="utf-8")
        self.run("watch", "create_meetings")
        self.clock.move(minutes=10)
        for _ in range(2):
            self.run("watch", "create_meetings", "deliver_letters")

    def see(self, path: str, *, status: int = 200) -> str:
        """A page, with whatever session the browser has."""
        answer = self.browser.get(self.origin + path, timeout=5, allow_redirects=False)
        assert answer.status_code == status, path
        assert answer.encoding == "utf-8"
        return answer.text

    def file_at(self, path: str) -> bytes:
        return self.browser.get(self.origin + path, timeout=5).content

    def sign_in(self) -> None:
        link = self.service.links.invitation(
            "Claire", "admin", now=self.clock(), ends_at=self.clock().replace(month=12)
        )
        pressed = self.browser.post(
            self.origin + urlsplit(link).path,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=5,
            allow_redirects=False,
        )
        assert pressed.status_code == 303

    def letters(self, who: str) -> list[Kept]:
        return self.mail_server.to(f"{who}@example.org")

    def numbers(self, who: str) -> tuple[int, int]:
        """Our numbers of their registrations: for the first meeting, for the second."""
        with self.service.store.read() as connection:
            rows = connection.execute(
                sql("SELECT id FROM registrants WHERE email = :email ORDER BY focus_group DESC"),
                {"email": f"{who}@example.org"},
            )
            first, second = [row.id for row in rows]
        return first, second

    def personal(self, who: str) -> str:
        """The page whose address stands in their first letter."""
        found = re.search(r"/me/\S+", self.letters(who)[0].text)
        assert found is not None
        return found[0]


@pytest.fixture
def journey(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    campaign_file: Path,
) -> Iterator[Journey]:
    """Confirmed, moved by a day, reminded twice; the second meeting given up by all."""
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    origin = f"http://127.0.0.1:{server.port}"
    made = Journey(service, zoom, clock, mail_server, campaign_file, origin)
    made.run("create_meetings")
    zoom.subscribe(f"{origin}/webhooks/zoom")
    for meeting in sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time):
        for who, (first, last) in NAMES.items():
            zoom.register(meeting, email=f"{who}@example.org", first_name=first, last_name=last)
    assert [delivery.status for delivery in zoom.deliver_due()] == [200] * 8
    made.run("deliver_letters")
    made.edit("date = 2021-02-09", "date = 2021-02-10")
    for day in (3, 9):
        clock.to(2021, 2, day, 8, 5)
        made.run("send_reminders", "deliver_letters")
    for who in NAMES:
        given_up = made.browser.post(
            f"{origin}{made.personal(who)}/withdraw/espaces-exterieurs",
            timeout=5,
            allow_redirects=False,
        )
        assert given_up.status_code == 303
    made.run("deliver_letters")
    yield made
    server.stop()


def call_off(journey: Journey) -> None:
    journey.edit('slug = "teletravail"\n', 'slug = "teletravail"\ncancelled = true\n')


def headers(letter: Kept) -> dict[str, str]:
    """As any mail program reads them, without what is each letter's own."""
    own = {"Message-ID", "To", "Content-Type"}  # the last holds a mark made of the first
    return {
        name: value for name, value in message_from_bytes(letter.raw).items() if name not in own
    }


def html(letter: Kept) -> str:
    part = letter.message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


GREETINGS = {
    "markup": (
        "Bonjour <script>alert(1)</script>,",
        "Bonjour &lt;script&gt;alert(1)&lt;/script&gt;,",
    ),
    "header": ("Bonjour Marie Bcc: x@\u2060evil.\u2060example,",) * 2,
    "terminal": ("Bonjour [31mAnna,",) * 2,
}


def test_every_letter_greets_by_name_and_the_name_does_nothing_else(journey: Journey) -> None:
    call_off(journey)
    for who, (greeting, in_html) in GREETINGS.items():
        assert [letter.kind for letter in journey.letters(who)] == KINDS
        for letter, measure in zip(journey.letters(who), journey.letters("alice"), strict=True):
            assert letter.kind == measure.kind
            assert letter.message["To"] == f"{who}@example.org"
            assert headers(letter) == headers(measure)
            assert letter.text.splitlines().count(greeting) == 1
            assert len(letter.text.splitlines()) == len(measure.text.splitlines())
            assert in_html in html(letter)
            assert shape(html(letter)) == shape(html(measure))
            assert letter.calendar.count("SUMMARY") == 1
            assert not [mark for mark in MARKS if mark in letter.calendar]
            assert set(letter.raw) <= {*b"\r\n\t", *range(0x20, 0x7F)}
            assert max(map(len, letter.raw.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 78
    assert {tuple(letter.recipients) for letter in journey.mail_server.kept} == {
        ("alice@example.org",),
        ("markup@example.org",),
        ("header@example.org",),
        ("terminal@example.org",),
    }


def test_the_pages_for_everybody_and_the_personal_page_are_as_alices(journey: Journey) -> None:
    measure = journey.personal("alice")
    for who, greeting in (
        ("markup", "Bonjour <script>alert(1)</script>"),
        ("header", "Bonjour Marie Bcc: x@evil.example"),
        ("terminal", "Bonjour \x1b[31mAnna\u202e"),
    ):
        theirs = journey.personal(who)
        assert greeting in text(journey.see(theirs))
        for path in ("", "/withdraw/teletravail", "/teletravail.ics"):
            assert shape(journey.see(theirs + path)) == shape(journey.see(measure + path))
        known = json.loads(journey.see(f"{theirs}/data.json"))
        for told in (known["registrations"], known["told"]):
            assert {(row["first_name"], row["last_name"]) for row in told} == {NAMES[who]}
        assert known["email"] == f"{who}@example.org"
    campaign_page = journey.see("/")
    assert not [mark for mark in MARKS if mark in campaign_page]


def test_every_staff_page_about_a_person_is_as_the_one_about_alice(journey: Journey) -> None:
    journey.sign_in()
    for who, seen in (
        ("markup", "<script>alert(1)</script> {{ 7*7 }} %(x)s"),
        ("header", 'Marie Bcc: x@evil.example =HYPERLINK("https://evil.example";"Curie")'),
        ("terminal", f"\x1b[31mAnna\u202e Bel\x9b1m {LONG}"),
    ):
        (theirs, _), (alices, _) = journey.numbers(who), journey.numbers("alice")
        assert seen in text(journey.see(f"/staff/people/{theirs}"))
        for path in (
            "/staff/people/{}",
            *(f"/staff/letters/preview/{kind}/{{}}" for kind in set(KINDS)),
            *(f"/staff/letters/preview/{kind}/{{}}/html" for kind in set(KINDS)),
            "/staff/act/address/{}",
            "/staff/act/withdraw/{}",
            "/staff/act/erase/{}",
            "/staff/letters?person={}",
            "/staff/journal?person={}",
        ):
            page, measure = (journey.see(path.format(number)) for number in (theirs, alices))
            assert shape(page) == shape(measure), path
            assert not [link for link in links(page) if "evil" in link or "script" in link], path


def test_a_person_is_found_by_any_part_of_their_name(journey: Journey) -> None:
    journey.sign_in()
    for who, words in (
        ("markup", "<script>alert(1)"),
        ("markup", "{{ 7*7 }} %(x)s"),
        ("header", '=HYPERLINK("https://evil.example";"Curie")'),
        ("header", "marie bcc"),
        ("terminal", "\x1b[31mAnna\u202e"),
        ("terminal", "anna zzzz"),
    ):
        page = journey.see(f"/staff/registrants?q={quote(words)}")
        people = [link for link in links(page) if link.startswith("/staff/people/")]
        assert {int(link.rpartition("/")[2]) for link in people} == set(journey.numbers(who))
        for path in ("/staff/letters", "/staff/journal"):
            page = journey.see(f"{path}?person={quote(words)}")
            assert "script" not in {tag for tag, _ in shape(page)}
            assert "Alice" not in text(page)


def test_no_list_runs_anything(journey: Journey) -> None:
    journey.sign_in()
    for path in (
        "/staff/",
        "/staff/journal",
        "/staff/registrants",
        "/staff/letters",
        "/staff/meetings",
    ):
        page = journey.see(path)
        tags = {tag for tag, _ in shape(page)}
        assert tags.isdisjoint({"script", "img", "iframe", "object", "embed", "base"}), path
        assert not [name for _, names in shape(page) for name in names if name.startswith("on")]


def test_a_list_taken_along_holds_every_name_and_no_formula(journey: Journey) -> None:
    journey.sign_in()
    whole = journey.file_at("/staff/registrants.csv?group=teletravail")
    rows = list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"), newline=""), delimiter=";"))
    of = {row["Adresse"].partition("@")[0]: row for row in rows}
    assert len(rows) == 4
    assert (of["markup"]["Prénom"], of["markup"]["Nom"]) == NAMES["markup"]
    assert of["header"]["Prénom"] == "Marie Bcc: x@evil.example"
    assert of["header"]["Nom"] == '\'=HYPERLINK("https://evil.example";"Curie")'
    assert of["terminal"]["Prénom"].replace("\u202e", "") == "[31mAnna "
    assert of["terminal"]["Nom"] == f"Bel1m {LONG}"
    assert whole.count(b"\r\n") == 5
    assert not {*range(0x20)} - {*b"\r\n"} & {*whole}

    book = load_workbook(io.BytesIO(journey.file_at("/staff/registrants.xlsx?group=teletravail")))
    cells = [cell for line in book["Inscrits"].iter_rows(min_row=2) for cell in line]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s", "d"}
    assert all(cell.hyperlink is None for cell in cells)
    shown = {cell.value for cell in cells}
    assert {of["header"]["Prénom"], of["header"]["Nom"], *NAMES["markup"]} <= shown


def test_the_journal_has_a_line_for_each_thing_and_names_nobody(
    journey: Journey, types: Type
) -> None:
    call_off(journey)
    code, out, _ = types("log", "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    kinds = [line["kind"] for line in lines if line["registrant"]]
    assert kinds.count("registration.created") == 8
    assert kinds.count("letter.sent") == 4 * 7  # both confirmations, and the other five once
    code, out, err = types("log", "--level", "debug")
    assert len(out.splitlines()) > len(lines)
    for said in (out, err):
        assert not [mark for mark in (*MARKS, *(f"{who}@" for who in NAMES)) if mark in said]


def test_the_commands_show_every_name_on_one_line_without_control_characters(
    journey: Journey, types: Type, tmp_path: Path
) -> None:
    for who, words, name in (
        ("markup", "<script>", "<script>alert(1)</script> {{ 7*7 }} %(x)s"),
        (
            "header",
            "Curie",
            'Marie��Bcc: x@evil.example =HYPERLINK("https://evil.example";"Curie")',
        ),
        ("terminal", "Anna", f"�[31mAnna�� Bel�1m {LONG}"),
    ):
        code, out, _ = types("who", words)
        assert code == 0
        heads = [line for line in out.splitlines() if line.startswith(("teletravail:", "espaces-"))]
        assert [line.partition(" since ")[0] for line in heads] == [
            f"espaces-exterieurs: {name} <{who}@example.org> cancelled",
            f"teletravail: {name} <{who}@example.org> approved",
        ]
        assert not [c for c in out if not c.isprintable() and c != "\n"]
    code, out, _ = types("registrants", "--focus-group", "teletravail")
    assert code == 0
    assert not [c for c in out if not c.isprintable() and c != "\n"]
    found = json.loads(types("registrants", "--focus-group", "teletravail", "--json")[1])
    assert {(row["first_name"], row["last_name"]) for row in found} == set(NAMES.values())
    code, out, _ = types("letter", "confirmation", "--registrant", "header@example.org")
    assert out.splitlines()[1] == "To: header@example.org"
    assert "Bonjour Marie Bcc: x@\u2060evil.\u2060example," in out.splitlines()


def test_the_commands_write_every_name_into_files_and_no_formula(
    journey: Journey, types: Type, tmp_path: Path
) -> None:
    names: list[Any] = []
    for ending in ("csv", "xlsx"):
        path = tmp_path / f"list.{ending}"
        words = ("registrants", "--focus-group", "teletravail", "--output", str(path))
        assert types(*words)[0] == 0
        if ending == "csv":
            text = path.read_bytes().decode("utf-8-sig")
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
        else:
            sheet = load_workbook(path).active
            assert sheet is not None
            rows = [list(line) for line in sheet.iter_rows(values_only=True)]
            assert {cell.data_type for line in sheet for cell in line} == {"s", "d"}
        names.append({(row[2], row[3]) for row in rows[1:]})
    assert (
        names[0]
        == names[1]
        == {
            ("Alice", "Martin"),
            ("<script>alert(1)</script>", "{{ 7*7 }} %(x)s"),
            ("Marie Bcc: x@evil.example", '\'=HYPERLINK("https://evil.example";"Curie")'),
            ("[31mAnna ", f"Bel1m {LONG}"),
        }
    )


def test_the_daemons_log_is_a_line_an_event_and_names_nobody(
    environ: dict[str, str],
    zoom: SimulatedZoom,
    clock: Clock,
    campaign_file: Path,
    mail_server: MailServer,
    tmp_path: Path,
) -> None:
    clock.time = utc_now()  # the daemon goes by the real one
    dates = iter(f"date = {clock.time.date() + timedelta(days=days)}" for days in (30, 60))
    plan = re.sub(r"date = \S+", lambda _found: next(dates), campaign_file.read_text("utf-8"))
    campaign_file.write_text(plan, encoding="utf-8")
    files = [tmp_path / name for name in ("stdout", "stderr")]
    with files[0].open("wb") as stdout, files[1].open("wb") as stderr:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "resonance_zoom", "run"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ}
            | {"LOG_FORMAT": "json"},
            stdout=stdout,
            stderr=stderr,
        )
        try:
            _go_through(f"http://127.0.0.1:{environ['PORT']}", zoom, mail_server)
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
    said, complained = (file.read_text(encoding="utf-8") for file in files)
    assert said == ""
    assert not [mark for mark in (*MARKS, *(f"{who}@" for who in NAMES)) if mark in complained]
    assert not [c for c in complained if not c.isprintable() and c != "\n"]
    lines = complained.splitlines()
    assert [line for line in lines if not line.startswith("{")] == [
        f"Mission Résonance: running on http://127.0.0.1:{environ['PORT']}, stop with Ctrl-C",
        "Zoom calls http://localhost:8000/webhooks/zoom",
    ]
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert [event for event in events if "ROOT" not in event] == [
        *["webhook refused"] * 4,
        "Invalid HTTP request received.",
        "stopping",
    ]


def _go_through(origin: str, zoom: SimulatedZoom, mail_server: MailServer) -> None:
    """Everybody registers and gets a letter; then come those who try things."""
    _wait_for(
        lambda: requests.get(f"{origin}/readyz", timeout=5).json()["points"]["last_sweep"]["ok"]
    )
    zoom.subscribe(f"{origin}/webhooks/zoom")
    for who, (first, last) in NAMES.items():
        zoom.register(
            min(zoom.meetings), email=f"{who}@example.org", first_name=first, last_name=last
        )
    assert [delivery.status for delivery in zoom.deliver_due()] == [200] * 4
    _wait_for(lambda: len(mail_server.kept) == 4)
    for who, (first, last) in NAMES.items():
        forged = json.dumps({"event": first, "payload": {"email": f"{who}@example.org"}})
        answer = requests.post(f"{origin}/webhooks/zoom", data=forged, timeout=5)
        assert answer.status_code == 401
        assert requests.get(f"{origin}/me/{quote(last)}", timeout=5).status_code == 404
        address = f"{origin}/staff/registrants?q={quote(first)}"
        assert requests.get(address, timeout=5).status_code == 401
    with socket.create_connection(("127.0.0.1", int(origin.rpartition(":")[2])), 5) as raw:
        raw.sendall(f"GET /{NAMES['terminal'][0]} HTTP/1.1\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def _wait_for(holds: Callable[[], Any]) -> None:
    """Until it holds, at most twenty seconds; what is awaited is another process."""
    for _ in range(800):
        with suppress(requests.ConnectionError):
            if holds():
                return
        time.sleep(0.025)
    raise AssertionError("it never came")
