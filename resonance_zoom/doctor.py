"""`check`: what would stop a campaign, and what to do about it.

Each point is one function; CHECKS is the list, in the order in which a person would mend things.
Nothing is changed anywhere: Zoom is asked, the database is read, the relay is greeted, no letter
leaves.
"""

import os
import platform
import re
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import requests
from urllib3.exceptions import NameResolutionError

from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import (
    CampaignFileError,
    ResonanceError,
    ZoomNotFound,
    ZoomUnauthorized,
)
from resonance_zoom.mail.postman import check_login
from resonance_zoom.meetings import with_reference
from resonance_zoom.service import letter_room, open_zoom, utc_now
from resonance_zoom.settings import RUN_NEEDS, ZOOM_NEEDS, Settings, is_loopback
from resonance_zoom.store.engine import HEAD, Store
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.client import ZoomClient, missing_scopes
from resonance_zoom.zoom.payloads import LICENSED, Challenge

T = TypeVar("T")
Level = Literal["green", "orange", "red"]

MB = 1024 * 1024
DISK_TIGHT, DISK_FULL = 500 * MB, 50 * MB
SKEW_FINE, SKEW_BEARABLE = timedelta(seconds=5), timedelta(seconds=120)
HOST_MARGIN = timedelta(minutes=30)
SHORT_SECRET = 16
TRY_AGAIN = "Wait a few minutes and run check again."
ZOOM_PATIENCE = 3  # seconds: https://developers.zoom.us/docs/api/webhooks/
OLDEST_PYTHON, OLDEST_SQLITE = (3, 11), (3, 35)
READS_USERS = "user:read:user:admin"
LISTS_MEETINGS = "meeting:read:list_meetings:admin"
HOME_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the report. `says` never holds a secret or the address of a person."""

    name: str
    level: Level
    says: str
    remedy: str = ""


class Verdict(NamedTuple):
    """What a check found; examine() adds the name of the point."""

    level: Level
    says: str
    remedy: str = ""


def green(says: str) -> Verdict:
    """Nothing to do."""
    return Verdict("green", says)


def orange(says: str, remedy: str) -> Verdict:
    """The campaign can run; somebody should look."""
    return Verdict("orange", says, remedy)


def red(says: str, remedy: str) -> Verdict:
    """The campaign cannot run, or would fail somebody."""
    return Verdict("red", says, remedy)


class _NotChecked(Exception):
    """Another point must hold first; `str()` is its name."""


@dataclass(slots=True)
class Patient:
    """What is examined, and what earlier points found out for the later ones."""

    settings: Settings
    now: Callable[[], datetime]
    zoom: ZoomClient
    campaign: Campaign | None = None
    granted: frozenset[str] | None = None
    lacking: frozenset[str] = field(default_factory=frozenset)
    host_found: bool = False


def examine(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Iterator[Point]:
    """Every point in order, each as soon as it is known. Never raises.

    `settings` may have been loaded without needs: what is missing is one of the points.
    """
    patient = Patient(settings=settings, now=now, zoom=open_zoom(settings, now=now))
    try:
        for name, check in CHECKS:
            verdict = _verdict(check, patient)
            yield Point(
                name,
                verdict.level,
                _discreet(verdict.says, settings),
                _discreet(verdict.remedy, settings),
            )
    finally:
        patient.zoom.close()


def _verdict(check: Callable[[Patient], Verdict], patient: Patient) -> Verdict:
    try:
        return check(patient)
    except _NotChecked as first:
        return orange(f"not checked: {first} first", "")
    except ResonanceError as error:
        return red(error.message, error.remedy or TRY_AGAIN)
    except Exception as error:  # noqa: BLE001 — the other points are still worth knowing
        return red(
            f"the check itself failed ({type(error).__name__})",
            "Run check again; if it stays, tell the developers which point it is.",
        )


def _known(value: T | None, point: str) -> T:
    """What `point` found out; without it there is nothing to look at."""
    if value is None:
        raise _NotChecked(point)
    return value


_ADDRESS = re.compile(r"[^\s@/<>\"'():,;=]+(?:@|%40)[^\s@/<>\"'():,;?]+\.[A-Za-z]{2,}")
_NOBODY = "contact@example.org"  # held up as an example in our own messages


def _discreet(words: str, settings: Settings) -> str:
    """The words without secrets and addresses, whatever server they came from."""
    for secret in (
        settings.zoom_account_id,
        settings.zoom_client_id,
        settings.zoom_client_secret,
        settings.secret_key,
        *settings.zoom_webhook_secrets,
        *_passwords(settings.smtp_url),
    ):
        # A shorter one is hardly a secret, and would tear holes into ordinary words.
        if len(secret) >= 6:
            words = words.replace(secret, "***")
    return _ADDRESS.sub(lambda m: m[0] if m[0] == _NOBODY else "(address)", words)


def _passwords(url: str | None) -> tuple[str, ...]:
    """The password of an address, as it stands there and as a server would quote it."""
    password = urlsplit(url or "").password or ""
    return password, unquote(password)


# ---- this machine ----------------------------------------------------------------------------


def campaign_file(patient: Patient) -> Verdict:
    """The file can be used, and so can the templates of all its letters."""
    settings = patient.settings
    try:
        campaign = patient.campaign = load_campaign(settings.campaign_file)
    except CampaignFileError as error:
        return red("; ".join(error.problems), error.remedy)
    if problems := letter_room(settings).check(campaign.letter_kinds):
        return red(
            "; ".join(problems), "Correct the templates in letters/ beside the campaign file."
        )
    return green(
        f"{settings.campaign_file}: {_count(len(campaign.focus_groups), 'focus group')},"
        f" letters: {', '.join(campaign.letter_kinds)}"
    )


def dates_ahead(patient: Patient) -> Verdict:
    """There is something left to do, and the organiser sees when."""
    groups = _known(patient.campaign, "campaign file").focus_groups
    ahead = _ahead(patient)
    if not ahead:
        return red(
            "all focus groups are in the past: Zoom grants no meeting there",
            "Correct the dates in the campaign file, or start a new campaign.",
        )
    coming = f"the next is {ahead[0].slug} on {_local(ahead[0])}"
    if past := len(groups) - len(ahead):
        return orange(
            f"{past} of {len(groups)} focus groups {'is' if past == 1 else 'are'} in the past;"
            f" {coming}",
            "Nothing to do if they were held; otherwise correct their dates in the campaign file.",
        )
    return green(f"{_count(len(groups), 'focus group')} ahead; {coming}")


def environment(patient: Patient) -> Verdict:
    """All variables that `run` asks for are set."""
    missing = _missing(patient.settings)
    if not missing:
        return green("all that `run` needs is set")
    made = " SECRET_KEY is our own: openssl rand -hex 32." if "SECRET_KEY" in missing else ""
    return red(
        f"missing: {', '.join(missing)}",
        "Set them in the environment or in .env; the ZOOM_ ones are on the page of the"
        f" Server-to-Server OAuth app on marketplace.zoom.us.{made}",
    )


def database(patient: Patient) -> Verdict:
    """It can be opened or created, is sound, and of this version."""
    store = Store(patient.settings.database_url)
    path = store.path
    if problem := _unwritable(path):
        return red(problem, "Make it writable for this user, or name another DATABASE_URL.")
    if not path.exists():
        return green(f"{path} will be created")
    try:
        with store.read() as connection:
            sound = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
        found = store.revision()
        if found is not None and found >= HEAD:
            store.require_current()  # refuses what a newer version wrote
    finally:
        store.close()
    if not sound:
        return red(f"{path} is damaged", "Put it aside and restore the newest backup.")
    if found is None:
        return green(f"{path} is empty and will be filled")
    if found < HEAD:
        return orange(
            f"{path} was written by an older version (schema {found}, now {HEAD})",
            "Nothing to do: `run` keeps a copy beside it and migrates it.",
        )
    return green(f"{path}, schema {found}")


def disk(patient: Patient) -> Verdict:
    """Room for the database, its journal and its backups."""
    folder = _existing(patient.settings.data_dir)
    free = shutil.disk_usage(folder).free
    says = f"{free // MB} MB free at {folder}"
    remedy = "Make room, or let DATABASE_URL name a path on a larger disk."
    if free < DISK_FULL:
        return red(says, remedy)
    return orange(says, remedy) if free < DISK_TIGHT else green(says)


# ---- Zoom ------------------------------------------------------------------------------------


def zoom_token(patient: Patient) -> Verdict:
    """Zoom knows the app and its secret."""
    settings = patient.settings
    if ZOOM_NEEDS & set(_missing(settings)):
        raise _NotChecked("environment")
    try:
        patient.granted = patient.zoom.granted_scopes()
    except ZoomUnauthorized as error:
        return red(
            error.message,
            f"On marketplace.zoom.us › Manage open {_app(settings)}: it must be activated, and"
            " ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET must be those of its page"
            " App Credentials.",
        )
    return green(f"Zoom gives a token to {_app(settings)}")


def scopes(patient: Patient) -> Verdict:
    """The app may do all that the service does."""
    patient.lacking = frozenset(missing_scopes(_known(patient.granted, "Zoom token")))
    if not patient.lacking:
        return green("the app has every scope that is needed")
    return red(
        f"the app lacks {_count(len(patient.lacking), 'scope')}:"
        f" {' '.join(sorted(patient.lacking))}",
        f"Add them under Scopes in {_app(patient.settings)}; new scopes need a new token: wait a"
        " few minutes and run check again.",
    )


def host_licensed(patient: Patient) -> Verdict:
    """The host exists and may have registration."""
    campaign = _known(patient.campaign, "campaign file")
    _may(patient, READS_USERS)
    try:
        host = patient.zoom.get_user(campaign.zoom_host)
    except ZoomNotFound:
        # Zoom's own message repeats the address of the host.
        return red(
            "zoom_host names nobody in this Zoom account",
            "Correct zoom_host in the campaign file: the e-mail or user id of a licensed user.",
        )
    if host.type != LICENSED:
        return red(
            f"the host has no licence (Zoom's user type {host.type}): registration is impossible",
            "Give zoom_host a licence on zoom.us › User Management, or name a licensed user.",
        )
    patient.host_found = True
    return green("the host has a licence")


def host_free(patient: Patient) -> Verdict:
    """Nobody else needs the host while a focus group meets."""
    campaign = _known(patient.campaign, "campaign file")
    _known(patient.granted, "Zoom token")
    if not patient.host_found:
        raise _NotChecked("host licensed")
    _may(patient, LISTS_MEETINGS)
    listing = patient.zoom.list_meetings(campaign.zoom_host)
    ours = {
        summary.id
        for group in campaign.focus_groups
        for summary in with_reference(listing, campaign.reference(group))
    }
    clashes = [
        f"meeting {other.id} ({other.start_time:%Y-%m-%d %H:%M} UTC) overlaps {group.slug}"
        for group in _ahead(patient)
        for other in listing
        if other.id not in ours
        and other.start_time is not None
        and other.start_time < group.end + HOST_MARGIN
        and other.start_time + timedelta(minutes=other.duration) > group.start - HOST_MARGIN
    ]
    if clashes:
        return orange(
            "the host is wanted elsewhere: " + "; ".join(clashes),
            "A host can hold one meeting at a time: move the other one, or name another zoom_host.",
        )
    return green("the host has no other meeting half an hour around the focus groups")


def clock(patient: Patient) -> Verdict:
    """This machine agrees with Zoom about the time: letters and tokens depend on it."""
    skew = patient.zoom.clock_skew
    if skew is None:
        _known(patient.granted, "Zoom token")
        return orange("Zoom's answers do not say what time it is", TRY_AGAIN)
    seconds = f"{abs(skew).total_seconds():.0f} seconds"
    says = (
        f"this machine's clock is {seconds} {'behind' if skew > timedelta() else 'ahead of'} Zoom's"
    )
    remedy = "Let the system keep the time: timedatectl set-ntp true"
    if abs(skew) > SKEW_BEARABLE:
        return red(says, remedy)
    if abs(skew) > SKEW_FINE:
        return orange(says, remedy)
    return green(f"this machine's clock agrees with Zoom's within {SKEW_FINE.seconds} seconds")


# ---- the way in ------------------------------------------------------------------------------


def webhook_secret(patient: Patient) -> Verdict:
    """Zoom's calls can be told from anybody else's."""
    if not patient.settings.webhooks:
        return green("off: polling every 2 minutes")
    known = patient.settings.zoom_webhook_secrets
    if not known:
        return red(
            "ZOOM_WEBHOOK_SECRET_TOKEN is missing: no call of Zoom's could be believed",
            "Copy the Secret Token from the app's Feature › Event Subscriptions, or set"
            " WEBHOOKS=off on a machine without a public address.",
        )
    if any(len(secret) < SHORT_SECRET for secret in known):
        return orange(
            f"a webhook secret is shorter than {SHORT_SECRET} characters; Zoom's own are longer",
            "See that ZOOM_WEBHOOK_SECRET_TOKEN was copied whole from Feature › Event"
            " Subscriptions.",
        )
    return green(f"{_count(len(known), 'webhook secret')} known")


def public_address(patient: Patient) -> Verdict:
    """Zoom can call us: our own address is called as Zoom does, from here."""
    settings = patient.settings
    if not settings.webhooks:
        return green("not needed: WEBHOOKS=off")
    real_zoom = not is_loopback(urlsplit(settings.zoom_api_url).hostname)
    if real_zoom and not _is_public(settings.public_url):
        return red(
            "Zoom calls https addresses on the public Internet only; PUBLIC_URL is not one",
            "Set PUBLIC_URL to the https address of this service, or WEBHOOKS=off.",
        )
    if not settings.zoom_webhook_secrets:
        raise _NotChecked("webhook secret")
    url = f"{settings.public_url}/webhooks/zoom"
    try:
        answer, expected = _challenged(url, settings.zoom_webhook_secrets[0], patient.now())
    except requests.RequestException as error:
        return _no_answer(error)
    return _answered(answer, expected)


def _challenged(url: str, secret: str, now: datetime) -> tuple[requests.Response, dict[str, str]]:
    """Zoom's `endpoint.url_validation`, signed and posted; the answer, and what it must hold.

    https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
    """
    plain, timestamp = secrets.token_urlsafe(16), str(int(now.timestamp()))
    body = (
        f'{{"event":"endpoint.url_validation","event_ts":{timestamp}000,'
        f'"payload":{{"plainToken":"{plain}"}}}}'
    ).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "resonance-zoom check",  # a log must not take this for a call of Zoom's
        "x-zm-request-timestamp": timestamp,
        "x-zm-signature": protocol.sign(secret, timestamp, body),
    }
    with requests.Session() as session:
        # A proxy for the way out cannot know the way to this machine.
        session.trust_env = not is_loopback(urlsplit(url).hostname)
        answer = session.post(
            url, data=body, headers=headers, timeout=ZOOM_PATIENCE, allow_redirects=False
        )
    return answer, protocol.challenge_answer(Challenge(plain), secret=secret)


def _no_answer(error: requests.RequestException) -> Verdict:
    if isinstance(error, requests.exceptions.SSLError):
        return red(
            "PUBLIC_URL: the TLS connection fails, Zoom's would too",
            "Zoom wants TLS 1.2 or newer and a valid certificate for this name, with the whole"
            " chain: see the proxy's certificate.",
        )
    if isinstance(error, requests.ConnectTimeout):
        return orange(
            f"PUBLIC_URL: no connection from this machine within {ZOOM_PATIENCE} seconds",
            "Open the port in the firewall. Some routers keep a machine from its own public"
            " address: then press Validate in the app's Event Subscriptions instead.",
        )
    if isinstance(error, requests.Timeout):
        return red(
            f"PUBLIC_URL: no answer within {ZOOM_PATIENCE} seconds, then Zoom gives up",
            "See what holds it up: the proxy, or a machine that is too busy.",
        )
    if _caused_by(error, NameResolutionError):
        return red(
            "PUBLIC_URL: its name is not known to the DNS",
            "Correct PUBLIC_URL, or have the name entered in the DNS.",
        )
    if _caused_by(error, ConnectionRefusedError):
        return orange(
            "PUBLIC_URL: connection refused", "Is the daemon running? Start it and run check again."
        )
    return red(
        f"PUBLIC_URL: the connection broke off ({type(error).__name__})",
        "See the log of the proxy in front of this service.",
    )


def _answered(answer: requests.Response, expected: dict[str, str]) -> Verdict:
    status = answer.status_code
    if answer.is_redirect or 300 <= status < 400:
        return red(
            f"PUBLIC_URL: a redirect ({status}), and Zoom follows none",
            "Set PUBLIC_URL to the address that it leads to, or take the redirect off"
            " /webhooks/zoom.",
        )
    if status == 401:
        return red(
            "PUBLIC_URL: our own signature is refused (401)",
            "The daemon runs with another ZOOM_WEBHOOK_SECRET_TOKEN (restart it), or a proxy"
            " changes the body or drops the x-zm- headers.",
        )
    if status in {404, 405}:
        return red(
            f"PUBLIC_URL: nothing there under /webhooks/zoom ({status})",
            "The proxy does not forward this path: forward POST /webhooks/zoom to HOST and PORT.",
        )
    if status in {502, 503, 504}:
        return orange(
            f"PUBLIC_URL: the proxy answers, the service behind it does not ({status})",
            "Is the daemon running? Start it and run check again.",
        )
    if status != 200 or not _holds(answer, expected):
        return red(
            f"PUBLIC_URL: a wrong answer to Zoom's challenge ({status})",
            "Something else answers at that address: see where the proxy forwards"
            " /webhooks/zoom to.",
        )
    if answer.elapsed > timedelta(seconds=ZOOM_PATIENCE):
        return red(
            f"PUBLIC_URL: the answer took longer than {ZOOM_PATIENCE} seconds",
            "See what holds it up: the proxy, or a machine that is too busy.",
        )
    return green("PUBLIC_URL answers Zoom's challenge rightly")


def _holds(answer: requests.Response, expected: dict[str, str]) -> bool:
    try:
        said = answer.json()
    except requests.JSONDecodeError:
        return False
    return isinstance(said, dict) and expected.items() <= said.items()


# ---- the way out, and what lies underneath ---------------------------------------------------


def mail(patient: Patient) -> Verdict:
    """The relay lets us in, and its letters have a chance to arrive."""
    settings = patient.settings
    if not settings.smtp_url:
        return orange(
            f"no SMTP_URL: letters only go to the Maildir {settings.data_dir / 'mail'}",
            "Set SMTP_URL=smtp://USER:PASSWORD@HOST:587 before anybody registers.",
        )
    check_login(settings.smtp_url)
    welcome = f"the mail server {urlsplit(settings.smtp_url).hostname} lets us in"
    if patient.campaign and settings.mail_from:
        ours, theirs = _domain(settings.mail_from), _domain(patient.campaign.organiser.email)
        if ours != theirs:
            return orange(
                f"{welcome}; letters leave from {ours}, the organiser is at {theirs}",
                f"See that the SPF and DKIM records of {ours} allow this relay, or let MAIL_FROM"
                f" be an address at {theirs}.",
            )
    return green(welcome)


def time_zone_data(patient: Patient) -> Verdict:
    """The campaign's local time can be computed on this machine."""
    remedy = "Install the system's package tzdata, or: pip install tzdata"
    if not available_timezones():  # then the campaign file is refused for its time zone
        return red("this machine knows no time zone at all", remedy)
    zone = _known(patient.campaign, "campaign file").timezone.key
    try:
        # Past the cache, which would go on answering from memory.
        ZoneInfo.no_cache(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return red(f"{zone} cannot be loaded", remedy)
    return green(f"{zone} can be loaded")


def versions(_patient: Patient) -> Verdict:
    """What we stand on is new enough, and we do not stand there as root."""
    says = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return red(f"{says}: Python is too old", f"Install Python {_dotted(OLDEST_PYTHON)}.")
    if sqlite3.sqlite_version_info[:2] < OLDEST_SQLITE:
        return red(f"{says}: SQLite is too old", f"Install SQLite {_dotted(OLDEST_SQLITE)}.")
    if os.geteuid() == 0:
        return orange(
            f"{says}; running as root, which the service never needs",
            "Run it as a user of its own, who owns only the data folder.",
        )
    return green(says)


CHECKS: tuple[tuple[str, Callable[[Patient], Verdict]], ...] = (
    ("campaign file", campaign_file),
    ("dates ahead", dates_ahead),
    ("environment", environment),
    ("database", database),
    ("disk", disk),
    ("Zoom token", zoom_token),
    ("scopes", scopes),
    ("host licensed", host_licensed),
    ("host free", host_free),
    ("clock", clock),
    ("webhook secret", webhook_secret),
    ("public address", public_address),
    ("mail", mail),
    ("time zone data", time_zone_data),
    ("versions", versions),
)


# ---- small questions -------------------------------------------------------------------------


def _ahead(patient: Patient) -> list[FocusGroup]:
    """The groups still to come, the next one first."""
    now = patient.now()
    groups = _known(patient.campaign, "campaign file").focus_groups
    return sorted((group for group in groups if group.start > now), key=lambda g: g.start)


def _missing(settings: Settings) -> list[str]:
    """The variables that `run` asks for and that are empty."""
    values = {
        "ZOOM_ACCOUNT_ID": settings.zoom_account_id,
        "ZOOM_CLIENT_ID": settings.zoom_client_id,
        "ZOOM_CLIENT_SECRET": settings.zoom_client_secret,
        "ZOOM_WEBHOOK_SECRET_TOKEN": settings.zoom_webhook_secrets or not settings.webhooks,
        "SECRET_KEY": settings.secret_key,
    }
    return sorted(name for name in RUN_NEEDS if not values[name])


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _unwritable(path: Path) -> str | None:
    """Why a database could not be written there, None if it can."""
    try:
        if path.is_dir():
            return f"{path} is a folder"
        if path.exists() and not os.access(path, os.W_OK):
            return f"{path} is not writable"
        # SQLite keeps its log beside the file. Asking for permissions would not see a read-only
        # disk, so a nameless file is made, which is gone at once.
        tempfile.TemporaryFile(dir=_existing(path.parent)).close()
    except OSError as error:
        return f"nothing can be written to the folder of {path} ({error.strerror})"
    return None


def _may(patient: Patient, scope: str) -> None:
    _known(patient.granted, "Zoom token")
    if scope in patient.lacking:
        raise _NotChecked("scopes")


def _app(settings: Settings) -> str:
    """How to find the app among others; the end of an id gives nothing away."""
    tail = settings.zoom_client_id[-4:] if len(settings.zoom_client_id) >= 12 else ""
    return "the Server-to-Server OAuth app" + (f" whose Client ID ends in {tail}" if tail else "")


def _is_public(url: str) -> bool:
    """Whether Zoom could reach the address: https, and no name or number of a private network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        at_home = not ip_address(host).is_global
    except ValueError:
        at_home = "." not in host or host.endswith(HOME_NAMES)
    return parts.scheme == "https" and not at_home


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether `kind` lies somewhere under what requests and urllib3 wrapped around it."""
    while error is not None:
        reason = getattr(error, "reason", None)
        if isinstance(error, kind) or isinstance(reason, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _domain(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2].lower()


def _local(group: FocusGroup) -> str:
    return f"{group.date} at {group.starts:%H:%M} ({group.timezone.key})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version)) + " or newer"
