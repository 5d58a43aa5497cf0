"""A full, a frozen or a failing disk: what is acknowledged is stored, and no letter goes twice."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

import jobs
from jobs import watch
from jobs.clock import run_job
from resonance_zoom import daemon
from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.service import Service
from resonance_zoom.store import sqlite
from resonance_zoom.store.tables import journal, letters
from tests.conftest import Clock
from tests.faults.conftest import ZoomCalls, stored
from tests.mail_server import MailServer
from tests.power.disk import Disk
from tests.power.plug import plugged

LONG = "A" * 60  # the longest first name that is kept whole
_libc = ctypes.CDLL(None, use_errno=True)


def _mounted(folder: Path) -> bool:
    """A file system of four megabytes, where the system lets us (root)."""
    options = b"size=4m,mode=700"
    return _libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options) == 0


class RealDisk:
    """A small file system of its own, filled to the last byte by a file beside the database."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self, _service: Service) -> None:
        with self.ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 4096):
                pass

    def leave(self, service: Service, pages: int) -> None:
        """So much room is left: as many pages of the database."""
        self.fill(service)
        os.truncate(self.ballast, max(self.ballast.stat().st_size - pages * 4096, 0))


class PageLimit:
    """SQLite's own limit: the same error, where no file system may be mounted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._usual = sqlite._PRAGMAS

    def fill(self, service: Service) -> None:
        self.leave(service, 0)

    def leave(self, service: Service, pages: int) -> None:
        with service.store.read() as connection:
            used: Any = connection.exec_driver_sql("PRAGMA page_count").scalar()
        limit = f"PRAGMA max_page_count={used + pages}"
        self._monkeypatch.setattr(sqlite, "_PRAGMAS", (*self._usual, limit))
        service.store.engine.dispose()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealDisk | PageLimit]:
    """A disk that can be filled; the database of these tests lies on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _mounted(folder):
        yield PageLimit(monkeypatch)
        return
    yield RealDisk(folder)
    _libc.umount2(str(folder).encode(), 2)  # MNT_DETACH: whatever is still open


@pytest.fixture
def environ(environ: dict[str, str], tmp_path: Path, disk: RealDisk | PageLimit) -> dict[str, str]:
    return environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/disk/var/resonance.db"}


def run(service: Service, name: str) -> str:
    """Run a job; its error in words, empty when it went well."""
    return run_job(service, jobs.job(name)) or ""


def states(service: Service) -> list[str]:
    with service.store.read() as connection:
        rows = connection.execute(select(letters.c.state).order_by(letters.c.id))
        return [row.state for row in rows]


def test_however_little_room_is_left_a_200_means_stored_and_a_503_means_not(
    service: Service, zoom_calls: ZoomCalls, disk: RealDisk | PageLimit, clock: Clock
) -> None:
    """And when room returns, all goes on without a restart."""
    answers = []
    for pages in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 256):
        disk.leave(service, pages)
        for _ in range(4):
            answers.append(zoom_calls.register(LONG))
            assert stored(service.store.path) == zoom_calls.acknowledged
        assert zoom_calls.challenge() == 200
        clock.move(minutes=1)  # more than ten a minute would be refused
    assert answers[-1] == 200, "".join("x."[a == 200] for a in answers)
    assert set(answers) == {200, 503}
    assert service.store.lost is None


def test_on_a_full_disk_no_letter_is_begun_and_all_leave_when_there_is_room(
    service: Service,
    zoom_calls: ZoomCalls,
    disk: RealDisk | PageLimit,
    mail_server: MailServer,
) -> None:
    assert [zoom_calls.register() for _ in range(3)] == [200] * 3
    disk.fill(service)
    while zoom_calls.register(LONG) == 200:  # what lay open in the file is used up
        pass
    queued = states(service)
    for _ in range(3):
        if run(service, "deliver_letters"):
            break
    begun = len(mail_server.kept)
    assert "full" in run(service, "deliver_letters")
    assert len(mail_server.kept) == begun <= 1  # one at most had found room for its claim
    disk.leave(service, 200)
    assert run(service, "deliver_letters") == ""
    assert states(service) == ["sent"] * len(queued)
    assert len(mail_server.kept) == len(queued)


def test_a_letter_accepted_when_the_disk_is_full_is_noted_later_and_is_the_last_until_then(
    service: Service,
    zoom_calls: ZoomCalls,
    disk: RealDisk | PageLimit,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [zoom_calls.register() for _ in range(3)] == [200] * 3
    postman: Any = service.postmen[0]
    sending = postman.sending

    def fills_the_disk(**letter: Any) -> Any:
        accepted = yield from sending(**letter)
        disk.fill(service)
        while zoom_calls.register(LONG) == 200:
            pass
        return accepted

    monkeypatch.setattr(postman, "sending", fills_the_disk)
    assert "full" in run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    monkeypatch.setattr(postman, "sending", sending)
    assert "full" in run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    disk.leave(service, 200)
    assert run(service, "deliver_letters") == ""
    assert set(states(service)) == {"sent"}
    assert sorted({one.recipients[0] for one in mail_server.kept}) == sorted(
        one.recipients[0] for one in mail_server.kept
    )


def test_a_start_on_a_full_disk_is_refused_in_one_line(
    service: Service, zoom_calls: ZoomCalls, disk: RealDisk | PageLimit
) -> None:
    disk.fill(service)
    while zoom_calls.register(LONG) == 200:
        pass
    service.store.close()
    disk.fill(service)  # also what SQLite's log had taken
    with pytest.raises(DatabaseUnusable, match="full") as refused:
        daemon.start_up(service)
    assert refused.value.remedy == "See that the disk has room and the file is writable."


def test_a_frozen_database_refuses_webhooks_answers_the_challenge_and_thaws(
    service: Service, zoom_calls: ZoomCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an error of the disk, when Linux lets only read from it."""
    usual = sqlite._PRAGMAS
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*usual, "PRAGMA query_only=ON"))
    service.store.engine.dispose()
    assert zoom_calls.register() == 503
    assert zoom_calls.challenge() == 200
    assert "readonly" in run(service, "deliver_letters")
    monkeypatch.setattr(sqlite, "_PRAGMAS", usual)
    service.store.engine.dispose()
    assert zoom_calls.register() == 200


def test_after_a_failed_fsync_nothing_is_written_until_a_new_start_has_read_the_file(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer
) -> None:
    """A second fsync would say that all is well, though the first one's pages are gone."""
    assert zoom_calls.register() == 200
    breaking = Disk(service.store.path.parent)
    with plugged(breaking):
        service.store.engine.dispose()  # what is opened from here on lies on it
        assert zoom_calls.register() == 200
        breaking.fails_at = breaking.syncs + 1
        assert zoom_calls.register() == 503
        assert zoom_calls.register() == 503  # the disk works again, and is not believed
        assert "disk I/O error" in run(service, "deliver_letters")
        service.store.engine.dispose()
    assert mail_server.kept == []
    assert "disk I/O error" in str(service.store.lost)  # for which the daemon ends


def test_a_disk_that_fills_up_is_told_once_before_it_is_full(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [499 * 1024**2]
    monkeypatch.setattr(watch, "free_bytes", lambda _folder: free[0])
    for _ in range(3):
        assert run(service, "watch") == ""
    free[0] = 600 * 1024**2
    for _ in range(3):
        assert run(service, "watch") == ""
    with service.store.read() as connection:
        lines = connection.execute(select(journal).where(journal.c.kind.like("disk.%")))
        told = [(row.kind, row.level) for row in lines]
    assert told == [("disk.low", "error"), ("disk.enough", "info")]


def test_a_service_on_a_small_disk_is_not_ready(
    service: Service, zoom_calls: ZoomCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = zoom_calls.url.replace("/webhooks/zoom", "/readyz")
    monkeypatch.setattr("resonance_zoom.web.health.DISK_FREE", 1 << 60)
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 503
    assert answer.json()["points"]["disk"]["ok"] is False
