"""Nobody else on the machine reads secrets or registrants, and no secret is one that others know."""

import os
import re
import sqlite3
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from resonance_zoom import doctor
from resonance_zoom.doctor import machine, permissions
from resonance_zoom.errors import ConfigurationError, SettingsError
from resonance_zoom.settings import RUN_NEEDS, Settings, load_settings
from resonance_zoom.store.opening import open_store
from tests.faults.besieged import PROJECT, Daemon

SECRETS = ("SECRET_KEY", "ZOOM_CLIENT_SECRET", "ZOOM_WEBHOOK_SECRET_TOKEN")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# ---- what the service itself leaves --------------------------------------------------------------


def test_all_that_the_service_writes_is_for_its_user_alone(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Whatever umask the machine has."""
    was = os.umask(0)
    try:
        started = Daemon(environ | {"PORT": "0"}, tmp_path)
        try:
            started.wait_until_ready()
            folder = tmp_path / "var"
            open_store(f"sqlite:///{folder}/resonance.db").copy_to(folder / "copy.db")
            found = {path.name: mode(path) for path in folder.iterdir() if path.is_file()}
        finally:
            started.kill()
            started.dead()
    finally:
        os.umask(was)
    assert mode(folder) == 0o700
    assert {"resonance.db", "resonance.db-wal", "resonance.db.lock", "copy.db"} <= found.keys()
    assert set(found.values()) == {0o600}


# ---- what others have opened ---------------------------------------------------------------------


@pytest.fixture
def prepared(settings: Settings) -> Settings:
    """A machine on which the daemon has run."""
    store = open_store(settings.database_url)
    store.prepare()
    store.close()
    backups = settings.data_dir / "backups"
    backups.mkdir(mode=0o700)
    for path in (backups / "resonance-2021-01-01.db", settings.data_dir / "resonance.db-wal"):
        path.touch(mode=0o600)
    return settings


@pytest.mark.parametrize(
    ("name", "opened", "command"),
    [
        ("", 0o755, "chmod 700 {}"),
        ("", 0o710, "chmod 700 {}"),
        ("resonance.db", 0o644, "chmod 600 {}/resonance.db"),
        ("resonance.db", 0o660, "chmod 600 {}/resonance.db"),
        ("resonance.db-wal", 0o604, "chmod 600 {}/resonance.db-wal"),
        ("backups", 0o711, "chmod 700 {}/backups"),
        ("backups/resonance-2021-01-01.db", 0o640, "chmod 600 {}/backups/resonance-2021-01-01.db"),
    ],
)
def test_an_open_door_is_refused_with_the_command_that_closes_it(
    name: str, opened: int, command: str, prepared: Settings
) -> None:
    path = prepared.data_dir / name
    path.chmod(opened)
    with pytest.raises(ConfigurationError) as refused:
        permissions.refuse_open_doors(prepared)
    assert refused.value.exit_code == 78
    assert refused.value.message == f"others on this machine can read {path}"
    mends = command.format(prepared.data_dir)
    assert refused.value.remedy == f"Close them: {mends}"
    subprocess.run(["/bin/sh", "-c", mends], check=True)  # noqa: S603 — the words we show
    permissions.refuse_open_doors(prepared)


def test_several_doors_are_closed_with_one_line(prepared: Settings) -> None:
    folder = prepared.data_dir
    folder.chmod(0o755)
    (folder / "resonance.db").chmod(0o644)
    doors = permissions.open_doors(prepared)
    assert permissions.commands(doors) == f"chmod 700 {folder} && chmod 600 {folder}/resonance.db"


def test_the_daemon_does_not_start_behind_an_open_door(
    environ: dict[str, str], prepared: Settings, tmp_path: Path
) -> None:
    prepared.data_dir.chmod(0o755)
    ended = Daemon(environ | {"PORT": "0"}, tmp_path)
    assert not ended.dead()
    assert ended.process.returncode == 78
    assert ended.said[-1] == f"Close them: chmod 700 {prepared.data_dir}\n"


@pytest.mark.parametrize("where", [".env", "a secret's own file"])
def test_a_file_with_secrets_that_others_can_read_is_refused(
    where: str, environ: dict[str, str], tmp_path: Path
) -> None:
    dotenv, own = tmp_path / ".env", tmp_path / "key"
    own.write_text(environ["SECRET_KEY"])
    dotenv.write_text(f"SECRET_KEY={environ['SECRET_KEY']}\nPORT=8000\n")
    given = {name: value for name, value in environ.items() if name != "SECRET_KEY"}
    if where != ".env":
        dotenv.unlink()
        given["SECRET_KEY_FILE"] = str(own)
    path = own if where != ".env" else dotenv
    for opened, refused in ((0o644, True), (0o640, True), (0o600, False), (0o400, False)):
        path.chmod(opened)
        settings = load_settings(needs=RUN_NEEDS, environ=given, dotenv=dotenv)
        assert permissions.open_doors(settings) == ([(path, "600")] if refused else [])


def test_a_file_without_secrets_may_be_read_by_everybody(
    environ: dict[str, str], tmp_path: Path
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"PORT=8000\nSECRET_KEY={'x' * 40}\n")  # a real variable replaces this one
    dotenv.chmod(0o644)
    settings = load_settings(needs=RUN_NEEDS, environ=environ, dotenv=dotenv)
    assert permissions.open_doors(settings) == []


def test_a_containers_secrets_are_as_the_container_shows_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker mounts them readable to all of the container's one user, and nobody can change that."""
    monkeypatch.setattr(permissions, "CONTAINER_SECRETS", tmp_path / "run" / "secrets")
    secret = tmp_path / "run" / "secrets" / "key"
    secret.parent.mkdir(parents=True)
    secret.touch(mode=0o444)
    assert permissions.open_doors(replace(settings, secret_files=(secret,))) == []


def test_check_says_the_same(prepared: Settings) -> None:
    prepared.data_dir.chmod(0o755)
    point = next(one for one in doctor.examine(prepared) if one.name == "environment")
    assert point.level == "red"
    assert point.remedy == f"chmod 700 {prepared.data_dir}"


def test_root_is_warned_loudly_and_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(permissions.root_warning()).startswith("RUNNING AS ROOT: ")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert permissions.root_warning() is None


# ---- secrets that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SECRET_KEY", "change-me-change-me-change-me-change-me", "is an example"),
        ("SECRET_KEY", "x" * 64, "is an example"),
        ("SECRET_KEY", "your_secret_key_of_at_least_32_bytes", "is an example"),
        ("SECRET_KEY", "a" * 31, "must be at least 32 bytes"),
        ("ZOOM_WEBHOOK_SECRET_TOKEN", "ZOOM_WEBHOOK_SECRET_TOKEN_HERE", "is an example"),
        ("ZOOM_WEBHOOK_SECRET_TOKEN", "your_webhook_secret_token", "is an example"),
        ("ZOOM_WEBHOOK_SECRET_TOKEN", "fifteen-bytes-l", "shorter than 16 bytes"),
        ("ZOOM_WEBHOOK_SECRET_TOKEN", "Zm9vYmFyYmF6cXV4MTIzNA,short", "shorter than 16 bytes"),
    ],
)
def test_a_secret_that_can_be_guessed_does_not_start(
    name: str, value: str, told: str, environ: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(needs=RUN_NEEDS, environ=environ | {name: value}, dotenv=tmp_path / "none")
    assert any(line.startswith(f"{name}: {told}") for line in refused.value.problems)
    assert value not in str(refused.value)


def test_a_secret_as_zoom_makes_them_will_do(environ: dict[str, str], tmp_path: Path) -> None:
    """Twenty-two characters: sixteen random bytes."""
    given = environ | {"ZOOM_WEBHOOK_SECRET_TOKEN": "Zm9vYmFyYmF6cXV4MTIzNA"}
    found = load_settings(needs=RUN_NEEDS, environ=given, dotenv=tmp_path / "none")
    assert found.zoom_webhook_secrets == ("Zm9vYmFyYmF6cXV4MTIzNA",)


# ---- versions, locks, the unit -------------------------------------------------------------------


def test_check_names_the_versions_and_the_warning_is_the_daemons_too(
    prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "SAFE_PYTHON", {})
    point = next(one for one in doctor.examine(prepared) if one.name == "versions")
    assert point.says.startswith(f"Python {sys.version_info[0]}.")
    assert f"SQLite {sqlite3.sqlite_version}, OpenSSL {ssl.OPENSSL_VERSION_INFO[0]}." in point.says
    monkeypatch.setattr(machine, "OLDEST_OPENSSL", 99)
    point = next(one for one in doctor.examine(prepared) if one.name == "versions")
    assert point.level == "orange"
    assert "OpenSSL gets no security corrections" in str(machine.version_behind())


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 9), False),
        ((3, 50, 6), False), ((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True),
        ((3, 53, 0), True), ((4, 0, 0), True),
    ],
)  # fmt: skip
def test_which_sqlite_has_the_wal_reset_fault(version: tuple[int, int, int], safe: bool) -> None:
    """https://sqlite.org/wal.html#walresetbug"""
    assert machine._resets_its_log_safely(version) is safe


def test_only_who_holds_the_lock_tidies_the_log(settings: Settings) -> None:
    """Two processes that did it at once could damage the file, before SQLite 3.51.3."""
    running, beside = open_store(settings.database_url), open_store(settings.database_url)
    running.hold_alone()
    running.prepare()
    for store, pages in ((running, 500), (beside, 0)):
        with store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == pages
        store.close()


@pytest.mark.parametrize(
    ("name", "installed_by"),
    [
        ("requirements.txt", "Makefile"),
        ("requirements-dev.txt", "Makefile"),
        ("requirements-build.txt", "Makefile"),
        ("requirements-build.txt", "Dockerfile"),
        ("requirements-bench.txt", "Makefile"),
        ("requirements-postgres.txt", "Dockerfile"),
    ],
)
def test_every_locked_package_has_its_version_and_its_hashes(name: str, installed_by: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert packages
    for line in packages:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
    told = (PROJECT / installed_by).read_text(encoding="utf-8")
    assert f"--require-hashes -r {name}" in told
    # Nothing is installed beside the locks but what is built here.
    for line in re.findall(r"pip install .*", told):
        words = line.split()
        assert {"--require-hashes", "--no-deps", "virtualenv"} & {*words}, line
