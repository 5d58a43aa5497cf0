"""`check`, this machine: the campaign file, the environment, database, disk, zones, versions."""

import os
import platform
import shutil
import sqlite3
import ssl
import sys
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from resonance_zoom.campaign import FocusGroup
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.doctor import permissions
from resonance_zoom.doctor.points import (
    Patient,
    Verdict,
    ahead,
    count,
    green,
    known,
    missing,
    orange,
    red,
)
from resonance_zoom.errors import CampaignFileError
from resonance_zoom.service import letter_room
from resonance_zoom.store.engine import HEAD, Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.sqlite import SqliteStore

MB = 1024 * 1024
DISK_TIGHT, DISK_FULL = 500 * MB, 50 * MB
OLDEST_PYTHON, OLDEST_SQLITE, OLDEST_OPENSSL = (3, 11), (3, 35), 3
# The first patch of each line without the known holes that matter to a service on the Internet.
SAFE_PYTHON = {(3, 11): 15, (3, 12): 13, (3, 13): 12, (3, 14): 3}


def campaign_file(patient: Patient) -> Verdict:
    """The file can be used, and so can the templates of all its letters."""
    settings = patient.settings
    try:
        campaign = patient.campaign = load_campaign(settings.campaign_file)
    except CampaignFileError as error:
        # What stands in the file is what its author must find there: nothing of it is hidden.
        return Verdict("red", "; ".join(error.problems), error.remedy, quotes_file=True)
    if problems := letter_room(settings).check(campaign.letter_kinds):
        return red(
            "; ".join(problems), "Correct the templates in letters/ beside the campaign file."
        )
    return green(
        f"{settings.campaign_file}: {count(len(campaign.focus_groups), 'focus group')},"
        f" letters: {', '.join(campaign.letter_kinds)}"
    )


def dates_ahead(patient: Patient) -> Verdict:
    """There is something left to do, and the organiser sees when."""
    groups = known(patient.campaign, "campaign file").focus_groups
    coming = ahead(patient)
    if not coming:
        return red(
            "all focus groups are in the past: Zoom grants no meeting there",
            "Correct the dates in the campaign file, or start a new campaign.",
        )
    first = f"the next is {coming[0].slug} on {_local(coming[0])}"
    if past := len(groups) - len(coming):
        return orange(
            f"{past} of {len(groups)} focus groups {'is' if past == 1 else 'are'} in the past;"
            f" {first}",
            "Nothing to do if they were held; otherwise correct their dates in the campaign file.",
        )
    return green(f"{count(len(groups), 'focus group')} ahead; {first}")


def environment(patient: Patient) -> Verdict:
    """All variables that `run` asks for are set, and nobody else can read them or the data."""
    lacking = missing(patient.settings)
    if not lacking:
        if doors := permissions.open_doors(patient.settings):
            return red(permissions.words(doors), permissions.commands(doors))
        return green("all that `run` needs is set")
    made = " SECRET_KEY is our own: openssl rand -hex 32." if "SECRET_KEY" in lacking else ""
    return red(
        f"missing: {', '.join(lacking)}",
        "Set them in the environment or in .env; the ZOOM_ ones are on the page of the"
        f" Server-to-Server OAuth app on marketplace.zoom.us.{made}",
    )


def database(patient: Patient) -> Verdict:
    """It can be opened or created, is sound, and of this version."""
    store = open_store(patient.settings.database_url)
    try:
        return _file(store) if isinstance(store, SqliteStore) else _server(store)
    finally:
        store.close()


def _file(store: SqliteStore) -> Verdict:
    path = store.path
    if problem := _unwritable(path):
        return red(problem, "Make it writable for this user, or name another DATABASE_URL.")
    if not path.exists():
        return green(f"{path} will be created")
    with store.read() as connection:
        sound = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
    if not sound:
        return red(f"{path} is damaged", "Put it aside and restore the newest backup.")
    return _schema(store, "Nothing to do: `run` keeps a copy beside it and migrates it.")


def _server(store: Store) -> Verdict:
    with store.read() as connection:
        lax = [
            name
            for name in ("fsync", "full_page_writes")
            if connection.exec_driver_sql(f"SHOW {name}").scalar() != "on"
        ]
        version = connection.exec_driver_sql("SHOW server_version").scalar()
    if lax:
        return red(
            f"{store.name} loses what was acknowledged when its power fails: {', '.join(lax)} off",
            "Turn it on in the server's postgresql.conf.",
        )
    verdict = _schema(store, "Make a backup: the first process that starts migrates it.")
    return verdict._replace(says=f"{verdict.says} (PostgreSQL {version})")


def _schema(store: Store, before_migrating: str) -> Verdict:
    found = store.revision()
    if found is None:
        return green(f"{store.name} is empty and will be filled")
    if found < HEAD:
        return orange(
            f"{store.name} was written by an older version (schema {found}, now {HEAD})",
            before_migrating,
        )
    store.require_current()  # refuses what a newer version wrote
    return green(f"{store.name}, schema {found}")


def disk(patient: Patient) -> Verdict:
    """Room for the database, its journal and its backups."""
    folder = _existing(patient.settings.data_dir)
    free = shutil.disk_usage(folder).free
    says = f"{free // MB} MB free at {folder}"
    remedy = "Make room, or let DATABASE_URL name a path on a larger disk."
    if free < DISK_FULL:
        return red(says, remedy)
    return orange(says, remedy) if free < DISK_TIGHT else green(says)


def time_zone_data(patient: Patient) -> Verdict:
    """The campaign's local time can be computed on this machine."""
    remedy = "Install the system's package tzdata, or: pip install tzdata"
    if not available_timezones():  # then the campaign file is refused for its time zone
        return red("this machine knows no time zone at all", remedy)
    zone = known(patient.campaign, "campaign file").timezone.key
    try:
        # Past the cache, which would go on answering from memory.
        ZoneInfo.no_cache(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return red(f"{zone} cannot be loaded", remedy)
    return green(f"{zone} can be loaded")


def versions(_patient: Patient) -> Verdict:
    """What we stand on is new enough, and we do not stand there as root."""
    openssl = ".".join(str(part) for part in ssl.OPENSSL_VERSION_INFO[:3])
    says = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, OpenSSL {openssl}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return red(f"{says}: Python is too old", f"Install Python {_dotted(OLDEST_PYTHON)}.")
    if sqlite3.sqlite_version_info[:2] < OLDEST_SQLITE:
        return red(f"{says}: SQLite is too old", f"Install SQLite {_dotted(OLDEST_SQLITE)}.")
    if os.geteuid() == 0:
        return orange(
            f"{says}; running as root, which the service never needs",
            "Run it as a user of its own, who owns only the data folder.",
        )
    if (behind := version_behind()) is not None:
        return orange(f"{says}: {behind[0]}", behind[1])
    if not _resets_its_log_safely(sqlite3.sqlite_version_info):
        return green(f"{says} (whose WAL-reset fault the service keeps clear of)")
    return green(says)


def version_behind() -> tuple[str, str] | None:
    """Which known holes we stand on and what to do, None when there are none."""
    line, patch = sys.version_info[:2], sys.version_info[2]
    if patch < (safe := SAFE_PYTHON.get(line, 0)):
        return (
            "this Python lacks security corrections",
            f"Have the system's updates installed (Python {line[0]}.{line[1]}.{safe} or newer);"
            " some distributions correct the older number too: then nothing is to be done.",
        )
    if ssl.OPENSSL_VERSION_INFO[0] < OLDEST_OPENSSL:
        return (
            "this OpenSSL gets no security corrections any more",
            f"Use a Python that was built with OpenSSL {OLDEST_OPENSSL} or newer.",
        )
    return None


def _resets_its_log_safely(version: tuple[int, int, int]) -> bool:
    """Whether two processes may tidy the log at once: https://sqlite.org/wal.html#walresetbug"""
    corrected = {(3, 44): 6, (3, 50): 7}  # elsewhere, 3.51.3 brought the correction
    line, patch = version[:2], version[2]
    return version >= (3, 51, 3) or (line in corrected and patch >= corrected[line])


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


def _local(group: FocusGroup) -> str:
    return f"{group.date} at {group.starts:%H:%M} ({group.timezone.key})"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version)) + " or newer"
