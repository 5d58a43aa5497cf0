"""A campaign in which every secret and every field that Zoom documents holds a word of its own.

The daemon runs once with each form of its log; all that comes out is kept, to be searched.
"""

import io
import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import click
import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from resonance_zoom import cli
from resonance_zoom.service import utc_now
from resonance_zoom.settings import RUN_NEEDS
from resonance_zoom.web.app import ROUTES
from resonance_zoom.web.staff.acts import ACTS
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from resonance_zoom.zoom.simulator.validation import DETAILS, RegistrantFields
from tests.conftest import CAMPAIGN, free_port
from tests.faults.besieged import Daemon, wait_for
from tests.mail import imap_peer
from tests.mail.imap_peer import ImapPeer
from tests.mail.reports import report
from tests.mail_server import MailServer

SCHEMA = Path(__file__).parents[1] / "zoom/data/webhooks.schema.json"
NEW_SECRET, OLD_SECRET = "canary-secret-webhook-new-4c1", "canary-secret-webhook-old-9e7"
ZOOM_SECRET, PASSWORD = "canary-secret-zoom-client-2d8", "canary-secret-relay-6b3"
KEY = "canary-secret-key-of-our-own-0f5a1c7e"
UNNEEDED = "canary-unneeded"  # the first part of each word that nobody here needs
UNNEEDED_NUMBER = "7391846205"
NEEDED = ("canary-needed-first", "canary-needed-last", "canary-needed-mail")
# What Zoom's notification tells of a registrant and we keep; all else is dropped.
KEPT_OF_A_PERSON = {"id", "first_name", "last_name", "email", "status", "join_url"}
# Commands that are asked for people, or told of one; no other may name one.
ABOUT_PEOPLE = {
    "registrants",
    "letters",
    "letter",
    "who",
    "cancel",
    "export",
    "erase",
    "breach-report",
}
AT_THE_END = {
    "sign-out": ("--yes",),
    "cancel": (f"{NEEDED[2]}-bob@example.org", "teletravail", "--yes"),
    "erase": (f"{NEEDED[2]}-alice@example.org", "--yes"),
    "purge": ("--yes",),
    "close": ("--yes",),
    "restore": ("copy.db", "--yes"),
}
OF_PEOPLE = {"registrants", "events", "letters"}  # tables


@dataclass
class Found:
    """Everything that came out, by where: {"page admin /staff/": bytes}."""

    places: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, bytes] = field(default_factory=dict)  # join links, ways in, cookies
    letters: list[bytes] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    told: str = ""  # what Zoom said of people

    def where(self, *words: bytes, within: str = "") -> set[str]:
        """Places that hold one of the words, in capitals or not."""
        wanted = [word.lower() for word in words]
        return {
            place
            for place, content in self.places.items()
            if place.startswith(within)
            for lower in [content.lower()]
            if any(word in lower for word in wanted)
        }


class Locked(MailServer):
    """A mail server that wants a login; a recipient whom it refuses it names in its answer."""

    def __enter__(self) -> Self:
        def knows(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
            return AuthResult(success=given.password == PASSWORD.encode())

        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            authenticator=knows,
            auth_require_tls=False,
        )
        self._controller.start()
        self.url = f"smtp://relay:{PASSWORD}@127.0.0.1:{self._controller.port}"
        return self

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if "refused" in address:
            return f"550 5.1.1 <{address}>: no such user, {address}"
        return await super().handle_RCPT(server, session, envelope, address, options)


@dataclass
class Journey:
    """The daemon, Zoom and the mail server of one campaign, and what of them was seen."""

    folder: Path
    zoom: SimulatedZoom
    mail: MailServer
    mailbox: ImapPeer
    environ: dict[str, str]
    found: Found
    daemon: Daemon | None = None

    @property
    def url(self) -> str:
        assert self.daemon is not None
        return self.daemon.url

    @property
    def database(self) -> Path:
        return self.folder / "var" / "resonance.db"

    def meeting(self) -> SimMeeting:
        return min(self.zoom.meetings.values(), key=lambda one: one.start_time)

    @contextmanager
    def running(self, log_format: str) -> Iterator[None]:
        self.daemon = Daemon(self.environ | {"LOG_FORMAT": log_format}, self.folder)
        try:
            self.daemon.wait_until_ready()
            wait_for(lambda: self.get("/readyz").json()["points"]["last_sweep"]["ok"])
            yield
        finally:
            self.daemon.process.send_signal(signal.SIGTERM)
            assert not self.daemon.dead()
            assert self.daemon.process.returncode == 0
            self.keep(f"log {log_format}", "".join(self.daemon.said).encode())

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, allow_redirects=False, **more)

    def keep(self, place: str, content: bytes) -> None:
        self.found.places[place] = self.found.places.get(place, b"") + content

    def keep_answer(self, place: str, answer: requests.Response) -> None:
        head = f"{answer.status_code} {dict(answer.headers)}\n".encode()
        self.keep(place, head + answer.content)

    def keep_files(self, when: str) -> None:
        for path in sorted((self.folder / "var").rglob("*")):
            if path.is_file():
                self.keep(f"file {when} {path.name}", path.read_bytes())

    def types(self, name: str, *words: str) -> str:
        """A command of ours, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for one in {*RUN_NEEDS, *self.environ}:
                patch.setenv(one, self.environ.get(one, ""))
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["resonance-zoom", name, *words])
            with redirect_stdout(out), redirect_stderr(err), suppress(SystemExit):
                cli.main()
        said = out.getvalue() + err.getvalue()
        self.keep(f"command {name}", said.encode())
        return said

    # ---- what happens --------------------------------------------------------------------

    def registers(self, who: str) -> None:
        """On Zoom's page, with an answer to everything that Zoom can ask."""
        details = {name: f"{UNNEEDED}-{name}" for name in DETAILS}
        answers = ((f"{UNNEEDED}-title", f"{UNNEEDED}-value"),)
        first, last, mail = NEEDED
        form = RegistrantFields(f"{mail}-{who}@example.org", first, last, answers, details)
        self.found.told += json.dumps([details, answers])
        with self.zoom.lock:
            registrant = self.zoom.add_registrant(self.meeting(), form, status=None)
        assert registrant.join_url is not None
        self.found.links[f"join link of {who}"] = _token(registrant.join_url)

    def is_told(self, who: str, secret: str, status: int = 200) -> None:
        """A notification with every field of Zoom's schema, signed with `secret`."""
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["meeting.registration_created"]
        document = _filled(schema)
        document["event"], document["event_ts"] = "meeting.registration_created", _now_in_ms()
        document["unheard-of"] = f"{UNNEEDED}-unheard-of"
        document["payload"]["operator"] = f"{UNNEEDED}-operator@example.org"
        told = document["payload"]["object"]
        told["id"] = self.meeting().id
        link = f"https://zoom.us/w/1?tk=link-of-{who}"
        first, last, mail = NEEDED
        told["registrant"] |= {
            "id": f"id-of-{who}",
            "first_name": first,
            "last_name": last,
            "email": f"{mail}-{who}@example.org",
            "status": "approved",
            "join_url": link,
        }
        self.found.links[f"join link of {who}"] = _token(link)
        body = json.dumps(document).encode()
        self.found.told += body.decode()
        stamp = str(int(time.time()))
        headers = {"x-zm-request-timestamp": stamp, "x-zm-signature": sign(secret, stamp, body)}
        answer = requests.post(f"{self.url}/webhooks/zoom", body, headers=headers, timeout=10)
        assert answer.status_code == status
        self.keep_answer("answer to a notification", answer)

    def receives(self, who: str) -> str:
        """Waits for the first letter to somebody; the address of their page."""
        address = f"{NEEDED[2]}-{who}@example.org"
        wait_for(lambda: self.mail.to(address))
        found = re.search(r"/me/[^\s<>]+", self.mail.to(address)[0].text)
        assert found is not None
        self.found.links[f"page of {who}"] = found[0].removeprefix("/me/").encode()
        return found[0].removeprefix("/me/")

    def comes_back(self, who: str) -> None:
        """A report about the letter to somebody, in words that name them, lies in the mailbox."""
        address = f"{NEEDED[2]}-{who}@example.org"
        said = f"550 5.1.1 <{address}>: no user {NEEDED[2]}-{who} here"
        self.mailbox.put(report(self.mail.to(address)[0].raw, said=said), utc_now().date())

    def enters(self, role: str) -> requests.Session:
        """A browser of one of the staff."""
        said = self.types("invite", "Claire", "--role", role)
        link = urlsplit(next(word for word in said.split() if "/sign-in/" in word))
        self.found.places.pop("command invite")  # it is there to show this link
        self.found.links[f"way in of {role}"] = link.path.rpartition("/")[2].encode()
        browser = requests.Session()
        browser.headers["Connection"] = "close"  # after a fault the server hangs up
        pressed = browser.post(
            self.url + link.path,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=10,
            allow_redirects=False,
        )
        assert pressed.status_code == 303
        for cookie in browser.cookies:
            self.found.links[f"cookie of {role}"] = str(cookie.value).encode()
        return browser

    def sees_every_page(self, role: str, browser: requests.Session, token: str) -> None:
        """Every route of the table, with what exists and with what does not."""
        for path in sorted({route.path for route in ROUTES if "GET" in (route.methods or ())}):
            for parts in _parts(path, token):
                address = re.sub(r"\{(\w+)(:int)?\}", lambda name: parts[name[1]], path)  # noqa: B023 — used at once
                answer = browser.get(self.url + address, timeout=10, allow_redirects=False)
                kind = "personal" if path.startswith("/me/") else role
                self.keep_answer(f"page {kind} {path}", answer)
        for search in ("q=canary-needed", "person=canary-needed"):
            answer = browser.get(f"{self.url}/staff/registrants?{search}", timeout=10)
            self.keep_answer(f"page {role} /staff/registrants", answer)

    def breaks(self, browser: requests.Session, token: str) -> None:
        """Tables are gone: pages and jobs fail with people's values in their hands."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            connection.execute("ALTER TABLE events RENAME TO away")
            connection.execute("ALTER TABLE letters RENAME TO far_away")
            connection.commit()
            try:
                for path in (f"/me/{token}", f"/me/{token}/data.json"):
                    self.keep_answer("page error", self.get(path))
                for path in ("/staff/people/1", "/staff/registrants?q=canary-needed"):
                    failed = browser.get(self.url + path, timeout=10)
                    self.keep_answer("page error", failed)
                assert self.found.places["page error"].count("numéro".encode()) >= 3
                self.types("sync")
            finally:
                connection.execute("ALTER TABLE away RENAME TO events")
                connection.execute("ALTER TABLE far_away RENAME TO letters")
                connection.commit()

    def tries_every_command(self) -> None:
        """Each with what it takes, as a table and as JSON; a new one is tried without anything."""
        known = {
            "letter": [("confirmation", "--registrant", f"{NEEDED[2]}-alice@example.org")],
            "test-letter": [("confirmation", "--to", "claire@example.org")],
            "who": [(NEEDED[1],), (f"{NEEDED[2]}-alice@example.org", "--json")],
            "export": [(f"{NEEDED[2]}-alice@example.org",)],
            "resend": [("1",)],
            "log": [("--level", "debug"), ("--level", "debug", "--json")],
            "site": [("--output", "pages")],
            "backup": [(), ("copy.db",)],
        }
        # They never end, play in another world, or were done already.
        of_their_own = {"run", "web", "clock", "rehearse", "demo", "invite"}
        context = click.Context(cli.cli)
        for name in cli.COMMANDS:
            command = cli.cli.get_command(context, name)
            if name in of_their_own | AT_THE_END.keys():
                continue
            options = {option for one in command.params for option in one.opts}
            for words in known.get(name, [(), *([("--json",)] if "--json" in options else [])]):
                self.types(name, *words)

    def keeps_tables(self) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in names.fetchall():
                rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 — its own names
                self.found.tables[name] = repr(rows)


def _token(link: str) -> bytes:
    return link.partition("tk=")[2].partition("&")[0].encode()


def _now_in_ms() -> int:
    return int(time.time() * 1000)


def _parts(path: str, token: str) -> Iterator[dict[str, str]]:
    """What to put for the names in a path: what exists, then what does not."""
    acts = ACTS if "{act}" in path else [""]
    for act in acts:
        for line in ("1", "2", "3") if "{line" in path else ("1",):
            yield {
                "token": token, "group": "teletravail", "registrant": "1", "line": line,
                "kind": "confirmation", "act": act, "subject": "1",
            }  # fmt: skip
    if "{" in path:
        yield {
            "token": f"{token}x", "group": "nowhere", "registrant": "999", "line": "99999",
            "kind": "canary", "act": "canary", "subject": "999",
        }  # fmt: skip


def _filled(schema: dict[str, Any], name: str = "") -> Any:
    """A value of this schema, every text of which is a canary that names its field."""
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {field: _filled(inner, field) for field, inner in fields.items()}
        case "array":
            return [_filled(schema["items"], name)]
        case "integer":
            return int(UNNEEDED_NUMBER)
    return f"{UNNEEDED}-{name}"


def play(
    folder: Path,
    zoom: SimulatedZoom,
    mail: MailServer,
    mailbox: ImapPeer,
    environ: dict[str, str],
) -> Found:
    """The whole journey."""
    journey = Journey(folder, zoom, mail, mailbox, environ, Found())
    found = journey.found
    with journey.running("text"):
        zoom.subscribe(f"{journey.url}/webhooks/zoom", secret=NEW_SECRET)
        for meeting in zoom.meetings.values():
            meeting.password = f"{UNNEEDED}-password"
        journey.registers("alice")
        assert [delivery.status for delivery in zoom.deliver_due()] == [200]
        journey.is_told("bob", OLD_SECRET)
        journey.is_told("mallory", "a-wrong-secret-of-somebody", status=401)
        journey.is_told("refused", NEW_SECRET)
        token = journey.receives("alice")
        journey.receives("bob")
        wait_for(lambda: b"letter.failed" in _journal(journey))
        journey.breaks(journey.enters("admin"), token)
    journey.comes_back("bob")
    with journey.running("json"):
        wait_for(lambda: b"letter.bounced" in _journal(journey))
        journey.registers("carol")  # nobody tells us: the sweep has to find her
        journey.types("sync")
        journey.receives("carol")
        anybody = requests.Session()
        for role, browser in (
            ("nobody", anybody),
            ("reader", journey.enters("reader")),
            ("admin", journey.enters("admin")),
        ):
            journey.sees_every_page(role, browser, token)
        journey.breaks(journey.enters("admin"), token)
        assert journey.daemon is not None
        argv = Path(f"/proc/{journey.daemon.process.pid}/cmdline").read_bytes()
        journey.keep("argv", argv)
        zoom.faults.api("meetingRegistrants", kind="500", times=3)
        journey.tries_every_command()
        journey.keep_files("running")
        journey.keeps_tables()
    journey.keep_files("stopped")
    for name, words in AT_THE_END.items():
        journey.types(name, *words)
    for path in folder.glob("copy.db"):
        journey.keep("file backup", path.read_bytes())
    found.letters = [letter.raw + letter.text.encode() for letter in mail.kept]
    found.secrets |= {
        "Zoom's client secret": ZOOM_SECRET.encode(),
        "the login at Zoom": f"cid:{ZOOM_SECRET}".encode(),
        "the new webhook secret": NEW_SECRET.encode(),
        "the old webhook secret": OLD_SECRET.encode(),
        "our own key": KEY.encode(),
        "the relay's password": PASSWORD.encode(),
        "the mailbox's password": imap_peer.PASSWORD.encode(),
        "the login at the relay": f"\0relay\0{PASSWORD}".encode(),
        **{f"access token {n}": token.encode() for n, token in enumerate(zoom.tokens)},
    }
    return found


def _journal(journey: Journey) -> bytes:
    with closing(sqlite3.connect(journey.database)) as connection:
        return repr(connection.execute("SELECT kind FROM journal").fetchall()).encode()


def environment(
    folder: Path, zoom_urls: tuple[str, str], mail: MailServer, mailbox: ImapPeer
) -> dict[str, str]:
    """The configuration, all of its secrets canaries."""
    text = CAMPAIGN
    for old, days in (("2021-02-09", 30), ("2021-03-16", 60)):
        text = text.replace(old, f"{utc_now().date() + timedelta(days=days)}")
    (folder / "campaign.toml").write_text(text, encoding="utf-8")
    return {
        "CAMPAIGN_FILE": str(folder / "campaign.toml"),
        "DATABASE_URL": f"sqlite:///{folder}/var/resonance.db",
        "SMTP_URL": mail.url,
        "BOUNCES_URL": mailbox.url,
        "ZOOM_ACCOUNT_ID": "acc",
        "ZOOM_CLIENT_ID": "cid",
        "ZOOM_CLIENT_SECRET": ZOOM_SECRET,
        "ZOOM_WEBHOOK_SECRET_TOKEN": f"{NEW_SECRET},{OLD_SECRET}",
        "ZOOM_API_URL": zoom_urls[0],
        "ZOOM_OAUTH_URL": zoom_urls[1],
        "SECRET_KEY": KEY,
        "PORT": "0",
        "PATH": os.environ["PATH"],
    }
