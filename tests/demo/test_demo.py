"""The demonstration as a newcomer meets it: a process, three links, a browser's requests."""

import html
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from urllib.parse import urljoin

import pytest
import requests

from resonance_zoom import demo
from resonance_zoom.errors import ResonanceError, SettingsError
from tests.conftest import Type

PROJECT = Path(__file__).parents[2]
SHIPPED = PROJECT / "config" / "campaign.toml"
HOSTILE = '<script>alert(1)</script>"><b>'


class Running:
    """A demonstration in a process of its own, and what it printed."""

    def __init__(
        self, folder: Path | None, *, port: int = 0, temporary: Path | None = None
    ) -> None:
        self.folder = folder
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.said = TemporaryFile("w+")  # noqa: SIM115 — closed by stop(); a pipe could fill
        program = (
            "from pathlib import Path; from resonance_zoom import demo, logs; logs.configure(None);"
            f" demo.run(Path({str(SHIPPED)!r}), port={port},"
            f" folder={f'Path({str(folder)!r})' if folder else None})"
        )
        self.process = subprocess.Popen(  # noqa: S603 — our own program
            [sys.executable, "-c", program],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(PROJECT),
                "TMPDIR": str(temporary or gettempdir()),
            },
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )
        assert self.process.stdout is not None
        said = [self.process.stdout.readline() for _ in range(4)]
        assert said[3], self.stop()
        self.campaign, self.mailbox, self.staff = (line.split()[-1] for line in said[:3])
        self.last_words = said[3].strip()

    def get(self, address: str, **more: object) -> requests.Response:
        return self.browser.get(address, timeout=5, **more)  # type: ignore[arg-type]

    def post(self, address: str, **form: str) -> requests.Response:
        return self.browser.post(address, data=form, timeout=5, allow_redirects=False)

    def registration_urls(self) -> list[str]:
        database = sqlite3.connect(f"file:{self.folder}/demonstration.db?mode=ro", uri=True)
        try:
            rows = database.execute("SELECT registration_url FROM meetings ORDER BY start_at")
            return [row[0] for row in rows]
        finally:
            database.close()

    def wait_for(self, found: Callable[[], re.Match[str] | None]) -> re.Match[str]:
        """What is awaited is another process; at most five seconds."""
        pause = threading.Event()
        for _ in range(250):
            if match := found():
                return match
            pause.wait(0.02)
        raise AssertionError("it never came")

    def letter_to(self, address: str) -> str:
        """The address of the page of their newest letter."""
        entry = re.compile(rf'<a href="(/letters/\d+)">[^<]*</a>\s*<span[^>]*>à&nbsp;{address}<')
        found = self.wait_for(lambda: entry.search(self.get(self.mailbox).text))
        return self.mailbox.rstrip("/") + found[1]

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was said on stderr."""
        self.browser.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=10)
        with self.said:
            self.said.seek(0)
            return self.process.returncode, self.said.read()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running(tmp_path_factory.mktemp("demo"))
    yield started
    assert started.stop()[0] == 0


def test_three_links_on_this_machine_are_printed(running: Running) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", running.campaign)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", running.mailbox)
    assert running.staff.startswith(f"{running.campaign}staff/sign-in/")
    assert running.last_words == "Arrêter : Ctrl-C"


def test_the_campaign_page_leads_to_the_four_registration_pages(running: Running) -> None:
    page = running.get(running.campaign)
    assert page.status_code == 200
    assert "DÉMONSTRATION" in page.text
    links = re.findall(r'href="(http://127[^"]+/meeting/register/[^"]+)"', page.text)
    assert links == running.registration_urls()
    assert len(links) == 4


def test_who_fills_in_zooms_page_finds_their_letter_in_the_mailbox(running: Running) -> None:
    """The form as a browser fills it in, the letter, its three ways on."""
    url = running.registration_urls()[0]
    form = running.get(url)
    assert "DÉMONSTRATION" in form.text
    assert "<h1>Inscription (Zoom simulé)</h1>" in form.text
    assert re.findall(r'name="(\w+)"', form.text.partition("<form")[2]) == [
        "first_name",
        "last_name",
        "email",
    ]

    sent = running.post(url, first_name="Zoé", last_name="Le Bris", email="zoe@example.org")
    assert sent.status_code == 303
    after = running.get(urljoin(url, sent.headers["Location"]))
    assert "Votre lien arrive par courriel." in after.text
    assert f'href="{running.mailbox}"' in after.text

    letter = running.get(running.letter_to("zoe@example.org"))
    assert "Bonjour Zoé" in letter.text
    links = [html.unescape(link) for link in re.findall(r'href="(http[^"]+)"', letter.text)]
    (join,) = (link for link in links if "/w/" in link)
    room = running.get(join)
    assert (room.status_code, "Zoé Le Bris" in room.text) == (200, True)
    assert "Ici commencerait la réunion" in room.text


def test_the_letter_leads_to_the_personal_page(running: Running) -> None:
    running.post(running.registration_urls()[1], first_name="Ali", email="ali@example.org")
    letter = running.get(running.letter_to("ali@example.org"))
    (mine,) = re.findall(r'href="(http[^"]+/me/[^"]+)"', letter.text)
    page = running.get(mine)
    assert page.status_code == 200
    assert "Conforter les pratiques de collaboration solidaire" in page.text


def test_the_calendar_file_can_be_saved(running: Running) -> None:
    letter = running.get(running.letter_to("yann.kerbrat@example.org"))
    (path,) = re.findall(r'href="(/letters/\d+/files/\d+)"', letter.text)
    file = running.get(running.mailbox.rstrip("/") + path)
    assert file.headers["Content-Disposition"] == 'attachment; filename="invitation.ics"'
    assert file.headers["Content-Type"].startswith("text/calendar")
    assert file.text.startswith("BEGIN:VCALENDAR")


def test_a_letter_is_shown_in_a_frame_that_runs_and_fetches_nothing(running: Running) -> None:
    address = running.letter_to("yann.kerbrat@example.org")
    assert "frame-src 'self'" in running.get(address).headers["Content-Security-Policy"]
    body = running.get(f"{address}/html")
    policy = body.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert policy.endswith("sandbox allow-popups allow-popups-to-escape-sandbox")
    assert '<base target="_blank">' in body.text
    assert "Bonjour Yann" in body.text


def test_the_mailbox_looks_again_by_itself_until_it_is_stopped(running: Running) -> None:
    assert running.get(running.mailbox).headers["Refresh"] == "2"
    assert "Refresh" not in running.get(f"{running.mailbox}?still=1").headers


def test_a_form_that_is_not_complete_registers_nobody_and_says_what_is_missing(
    running: Running,
) -> None:
    url = running.registration_urls()[2]
    answer = running.post(url, first_name="", last_name="Martin", email="sans-arobase")
    assert answer.status_code == 422
    assert "Écrivez votre prénom, en 64 caractères au plus." in answer.text
    assert "Écrivez une adresse complète, comme camille.martin@example.org." in answer.text
    assert 'value="sans-arobase"' in answer.text


def test_the_host_is_told_that_they_need_not_register(running: Running) -> None:
    answer = running.post(
        running.registration_urls()[2], first_name="Hôte", email="organisation@example.org"
    )
    assert answer.status_code == 422
    assert "Cette adresse est celle de l’hôte" in answer.text


def test_a_hostile_name_is_only_text(running: Running) -> None:
    url = running.registration_urls()[3]
    echoed = running.post(url, first_name=HOSTILE, email="x")
    running.post(url, first_name=HOSTILE, email="eve@example.org")
    address = running.letter_to("eve@example.org")
    for page in (echoed, running.get(address), running.get(running.mailbox)):
        assert "<script" not in page.text
        assert '"><b>' not in page.text


def test_a_wrong_link_ends_at_a_calm_page(running: Running) -> None:
    form = running.registration_urls()[0]
    origin = form.partition("/meeting/")[0]
    for address in (
        form + "x",
        f"{form}x/done",
        f"{origin}/w/1?tk=x",
        f"{origin}/",
        f"{running.mailbox}letters/9999",
        f"{running.mailbox}letters/9999/html",
        f"{running.mailbox}letters/1/files/7",
    ):
        answer = running.get(address)
        assert answer.status_code == 404, address
        assert "Page introuvable" in answer.text, address
        assert "DÉMONSTRATION" in answer.text, address


def test_a_join_link_is_good_for_its_owner_alone(running: Running) -> None:
    letter = running.get(running.letter_to("yann.kerbrat@example.org"))
    (join,) = re.findall(r'href="(http[^"]+/w/[^"]+)"', letter.text)
    stranger = re.sub(r"tk=[^&]+", "tk=somebody-else", html.unescape(join))
    answer = running.get(stranger)
    assert answer.status_code == 404
    assert "Ce lien ne donne pas accès à la réunion" in answer.text


def test_the_staff_link_lets_in_and_there_are_people_to_see(running: Running) -> None:
    assert running.get(running.staff).status_code == 200
    assert running.post(running.staff).status_code == 303
    overview = running.get(f"{running.campaign}staff/")
    assert overview.status_code == 200
    assert "DÉMONSTRATION" in overview.text
    people = running.get(f"{running.campaign}staff/registrants").text
    assert "Quéré" in people
    assert "en attente" in people
    assert "désinscrit" in people


def test_sigterm_ends_all_of_it_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """On a port that another program has, it takes another one and says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        started = Running(None, port=taken, temporary=tmp_path)
        assert str(taken) not in started.campaign
        assert [path.name.partition("-demo-")[0] for path in tmp_path.iterdir()] == ["resonance"]
        code, said = started.stop()
    assert code == 0
    assert f"Port {taken} cannot be used" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::"])
def test_it_refuses_to_be_reached_by_others(host: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        demo.run(SHIPPED, port=0, host=host)
    assert refusal.value.problems == (
        f"HOST: {host!r} must be 127.0.0.1: a demonstration is for this machine alone",
    )


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "resonance.db").write_text("theirs")
    with pytest.raises(ResonanceError, match="is not empty"):
        demo.run(SHIPPED, port=0, folder=tmp_path)
    assert (tmp_path / "resonance.db").read_text() == "theirs"


def test_a_host_that_others_could_reach_is_refused_by_the_command(
    types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    code, _, said = types("demo", "--port", "0")
    assert code == 78
    assert "HOST: '0.0.0.0' must be 127.0.0.1: a demonstration is for this machine alone" in said
