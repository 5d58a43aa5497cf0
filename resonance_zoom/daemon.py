"""The daemon, drained on SIGTERM: web server and clock in one process, or each in its own.

`run` is both, alone on its database. On PostgreSQL there may be many `web`, which hold nothing, and
several `clock`: one is at work, the others stand by for the lock that only one can have.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import Connection

from jobs import SCHEDULE
from jobs.clock import Heartbeat
from resonance_zoom import delivery, meetings
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.clock_guard import ClockGuard
from resonance_zoom.doctor import machine, permissions
from resonance_zoom.errors import (
    AlreadyRunning,
    CampaignFileError,
    ConfigurationError,
    DatabaseBusy,
    DatabaseUnusable,
    ResonanceError,
)
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer

# How long the parts may take to end after one of them has failed; then the process ends without
# them, or what hangs would keep systemd from starting it again.
FAREWELL_SECONDS = 30.0
# How often one that stands by asks for the lock: with the eight seconds after which a server gives
# up a machine that has gone, another takes over within fifteen.
STAND_BY_SECONDS = 5.0
CAMPAIGN = "campaign"  # in `meta`: its slug
JOBS = frozenset(job.name for job in SCHEDULE)
Ready = Callable[[WebServer], None]
log = structlog.get_logger("daemon")


def start_up(service: Service) -> None:
    """Take the lock, prepare the database, settle what a crash left open, note the time down.

    Raises AlreadyRunning, DatabaseUnusable or DatabaseBusy; then nothing was changed.
    """
    service.store.hold_alone()
    service.store.prepare()
    now = service.now()
    with service.store.write() as connection:
        _refuse_another_campaign(connection, service)
        last = journal.last_alive(connection)
        recovered = delivery.recover(connection, service.campaign, now)
        journal.note(
            connection,
            now,
            "service.started",
            f"started; was last alive at {last:%Y-%m-%d %H:%M} UTC" if last else "started",
            down_from=last,
            down_to=now if last else None,
            letters_in_doubt=recovered,
        )


def _refuse_another_campaign(connection: Connection, service: Service) -> None:
    """Its meetings and people would be taken for ours, and ours be created and written to anew."""
    was, now = journal.recall(connection, CAMPAIGN), service.campaign.slug
    if was not in {None, now} and meetings.any_begun(connection):
        raise DatabaseUnusable(
            f"the database {service.store.name} belongs to the campaign {was},"
            f" and the campaign file is {now}'s",
            remedy="Let DATABASE_URL name the database of this campaign (a new one: another file),"
            f' or put slug = "{was}" back into the campaign file.',
        )
    journal.remember(connection, CAMPAIGN, now)


def run(service: Service, *, ready: Ready = lambda _server: None) -> None:
    """Run until SIGTERM or SIGINT; then answer what is in flight, finish the letter, return.

    `ready` is called once requests are answered. Raises what keeps it from starting, and what must
    not go on: a part that has died, a database that was lost.
    """
    stop = _begin(service)
    # Before the port, or the message would tell people to stop the running daemon for its port.
    service.store.hold_alone()
    server = _bound(service)
    try:
        start_up(service)
        _warn_of_known_holes(service)
    except BaseException:
        server.give_up()
        raise
    server.start()
    heartbeat = _beating(service)
    ready(server)
    _go_on(service, stop, server=server, heartbeat=heartbeat)


def web(service: Service, *, ready: Ready = lambda _server: None) -> None:
    """Answer requests until SIGTERM or SIGINT; what they ask of the clock, it hears elsewhere."""
    _refuse_a_file(service)
    stop = _begin(service)
    service.clock_elsewhere = True
    server = _bound(service)
    try:
        service.store.prepare()
    except BaseException:
        server.give_up()
        raise
    server.start()
    ready(server)
    _go_on(service, stop, server=server, each_second=_Edits(service).take)


def clock(service: Service, *, ready: Callable[[], None] = lambda: None) -> None:
    """Run the jobs until SIGTERM or SIGINT, once no other clock does.

    `ready` is called when it is at work. Raises ResonanceError when the connection is lost that its
    lock hangs on: another clock may be at work then.
    """
    _refuse_a_file(service)
    stop = _begin(service)
    service.store.prepare()
    if not _has_come_on(service, stop):
        return
    # Its own guard compares the clocks since this process began, which may be weeks ago.
    service.guard = ClockGuard(store=service.store, now=service.now)
    start_up(service)
    _warn_of_known_holes(service)
    heartbeat = _beating(service)
    ready()
    _go_on(service, stop, heartbeat=heartbeat)


def shut_down(service: Service) -> None:
    """Write what became of the last letter, and that the service stopped."""
    service.delivery.settle()
    with service.store.write() as connection:
        if not journal.recall(connection, journal.HELD):
            # By a clock that is not trusted, the next start would misjudge its own.
            journal.alive(connection, service.now())
        journal.note(connection, service.now(), "service.stopped", "stopped")
    service.store.note_how_far()


def _begin(service: Service) -> threading.Event:
    """What SIGTERM and SIGINT set."""
    permissions.refuse_open_doors(service.settings)
    if warning := permissions.root_warning():
        log.warning(warning)
    stop = threading.Event()
    service.stopping = stop.is_set
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _bound(service: Service) -> WebServer:
    settings = service.settings
    return WebServer(
        make_app(service),
        host=settings.host,
        port=settings.port,
    )


def _refuse_a_file(service: Service) -> None:
    if not service.store.shared:
        raise ConfigurationError(
            "web and clock are the halves of the service on PostgreSQL; a file has one process",
            remedy="Use: resonance-zoom run; or let DATABASE_URL name a PostgreSQL database.",
        )


def _has_come_on(service: Service, stop: threading.Event) -> bool:
    """Stand by until no other clock is at work. False: stopped before that."""
    told = False
    while not stop.is_set():
        try:
            service.store.hold_alone()
        except AlreadyRunning as error:
            if not told:
                log.info("standing by", reason=error.message)
            told = True
        except DatabaseBusy as error:
            log.warning("standing by without a database", reason=error.message)
        else:
            return True
        stop.wait(STAND_BY_SECONDS)
    return False


def _beating(service: Service) -> Heartbeat:
    heartbeat = Heartbeat(service)
    heartbeat.start()
    threading.Thread(target=_listen, args=(service, heartbeat), name="ear", daemon=True).start()
    return heartbeat


def _listen(service: Service, heartbeat: Heartbeat) -> None:
    """Wake the jobs that other processes ask for; deaf for a while, the jobs run at their times."""
    pause = threading.Event()
    while not service.stopping():
        try:
            for job in service.store.heard():
                if job in JOBS:
                    heartbeat.wake(job)
                if service.stopping():
                    return
        except ResonanceError as error:
            log.warning("other processes are not heard", reason=error.message)
        else:
            return  # nobody else can speak
        pause.wait(STAND_BY_SECONDS)


def _go_on(
    service: Service,
    stop: threading.Event,
    *,
    server: WebServer | None = None,
    heartbeat: Heartbeat | None = None,
    each_second: Callable[[], None] = lambda: None,
) -> None:
    """Until told to stop, or a part must be started again."""
    try:
        while not stop.wait(1.0):
            _see_that_all_is_well(service, server, heartbeat)
            each_second()
    except ResonanceError as error:
        log.critical("the service ends itself", reason=error.message)
        _end_anyway()
        raise
    finally:
        stop.set()
        log.info("stopping")
        if server is not None:
            server.stop()
        if heartbeat is not None:
            heartbeat.stop()
            # Whoever holds the database now, or has filled the disk, must not turn a clean end into
            # a failed one.
            with suppress(ResonanceError):
                shut_down(service)


class _Edits:
    """The campaign file as a web without a clock reads it again: what is wrong, the clock tells."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._read = self._written()

    def _written(self) -> int:
        try:
            return self.service.settings.campaign_file.stat().st_mtime_ns
        except OSError:
            return 0

    def take(self) -> None:
        """Go on with an edited file that can be used."""
        if (written := self._written()) == self._read:
            return
        self._read = written
        with suppress(CampaignFileError):
            edited, now = load_campaign(self.service.settings.campaign_file), self.service.campaign
            if (edited.slug, edited.zoom_host) == (now.slug, now.zoom_host):
                self.service.take(edited)


def _warn_of_known_holes(service: Service) -> None:
    if behind := machine.version_behind():
        with service.store.write() as connection:
            journal.note(
                connection,
                service.now(),
                "service.behind",
                f"{behind[0]}. {behind[1]}",
                level=journal.WARNING,
            )


def _see_that_all_is_well(
    service: Service, server: WebServer | None, heartbeat: Heartbeat | None
) -> None:
    """Raises ResonanceError when the process must be started again."""
    if server is not None and not server.alive:
        raise ResonanceError("the web server ended unexpectedly", remedy="Start the daemon again.")
    if heartbeat is not None:
        heartbeat.look_after()
    service.store.look_after()


def _end_anyway() -> None:
    last_word = threading.Timer(FAREWELL_SECONDS, os._exit, (1,))
    last_word.daemon = True
    last_word.start()
