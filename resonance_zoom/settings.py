"""The environment → Settings. The only reader of `os.environ`.

`.env` in the working directory is read by python-dotenv and never wins over a real variable. Every
secret NAME has a twin NAME_FILE that names a file holding it.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values

from resonance_zoom.errors import SettingsError

T = TypeVar("T")

ZOOM_CREDENTIALS = ("ZOOM_ACCOUNT_ID", "ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET")
SECRETS = frozenset(
    {
        *ZOOM_CREDENTIALS,
        "ZOOM_WEBHOOK_SECRET_TOKEN",
        "SECRET_KEY",
        "SMTP_URL",
        "BOUNCES_URL",
        "DATABASE_URL",
    }
)
RUN_NEEDS = frozenset({*ZOOM_CREDENTIALS, "ZOOM_WEBHOOK_SECRET_TOKEN", "SECRET_KEY"})
ZOOM_NEEDS = frozenset(ZOOM_CREDENTIALS)
LOOPBACK = ("127.0.0.1", "::1")


class Secret(str):
    """A string that does not show itself: `repr` is ***; use it as a str where it must be used."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the environment says, checked. What a command does not need may be empty."""

    campaign_file: Path
    database_url: Secret
    smtp_url: Secret | None
    mail_from: str | None
    zoom_account_id: Secret
    zoom_client_id: Secret
    zoom_client_secret: Secret
    zoom_webhook_secrets: tuple[Secret, ...]
    zoom_api_url: str
    zoom_oauth_url: str
    webhooks: bool
    secret_key: Secret
    public_url: str
    host: str
    port: int
    log_format: str | None
    smtp_connections: int = 4
    trusted_proxies: tuple[str, ...] = LOOPBACK
    bounces_url: Secret | None = None
    secret_files: tuple[Path, ...] = field(default=(), compare=False)  # where secrets were read

    @property
    def data_dir(self) -> Path:
        """Where database, lock and Maildir lie: the folder of the SQLite file, else var."""
        return self.database_file.parent if self.database_file else Path("var")

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, None for a database on a server."""
        url = str(self.database_url)
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def load_settings(
    *,
    needs: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
    dotenv: Path = Path(".env"),
) -> Settings:
    """Settings from `environ` (default: the process's) over `dotenv`.

    `needs` names the variables that the command cannot do without. Raises SettingsError with one
    line for each missing or bad value.
    """
    real = os.environ if environ is None else environ
    try:
        # Without interpolation: a secret may hold a dollar sign.
        from_file = {k: v for k, v in dotenv_values(dotenv, interpolate=False).items() if v}
    except UnicodeDecodeError:
        raise SettingsError([f"{dotenv}: is not UTF-8 text; save it as UTF-8"]) from None
    except OSError as error:
        raise SettingsError(
            [f"{dotenv}: cannot be read ({error.strerror}); it must be readable for this user"]
        ) from None
    for name in SECRETS:  # a real NAME or NAME_FILE beats both of .env
        if real.get(name) or real.get(f"{name}_FILE"):
            from_file.pop(name, None)
            from_file.pop(f"{name}_FILE", None)
    reader = _Reader({**from_file, **real})
    if not _knows_time_zones():  # else the campaign file would be blamed for its time zone
        reader.problems.append(
            "time zones: this machine has no data on them;"
            " install the system's package tzdata, or: pip install tzdata"
        )
    if (SECRETS - {"DATABASE_URL"}) & from_file.keys():
        reader.secret_files.append(dotenv)
    return reader.settings(needs)


class _Reader:
    """Reads names one by one and collects what is wrong."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.problems: list[str] = []
        self.secret_files: list[Path] = []

    def settings(self, needs: Collection[str]) -> Settings:
        webhooks = self.choice("WEBHOOKS", "on", {"on": True, "off": False})
        if not webhooks:
            needs = set(needs) - {"ZOOM_WEBHOOK_SECRET_TOKEN"}
        for name in sorted(needs):
            value = self.get(name).strip(", ")
            unread = any(problem.startswith(f"{name}_FILE:") for problem in self.problems)
            if not value and not unread:
                self.problems.append(f"{name}: missing; {_HELP[name]}")
        settings = Settings(
            campaign_file=Path(self.get("CAMPAIGN_FILE") or "config/campaign.toml"),
            database_url=Secret(
                self.checked(
                    "DATABASE_URL",
                    "sqlite:///var/resonance.db",
                    _is_database,
                    "must be sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
                )
            ),
            smtp_url=self.smtp_url(),
            smtp_connections=self.number("SMTP_CONNECTIONS", 4, 1, 50),
            bounces_url=self.bounces_url(),
            mail_from=self.checked(
                "MAIL_FROM", "", _is_sender, "must be an address such as contact@example.org"
            )
            or None,
            zoom_account_id=Secret(self.get("ZOOM_ACCOUNT_ID")),
            zoom_client_id=Secret(self.get("ZOOM_CLIENT_ID")),
            zoom_client_secret=Secret(self.get("ZOOM_CLIENT_SECRET")),
            zoom_webhook_secrets=self.webhook_secrets(),
            zoom_api_url=self.url("ZOOM_API_URL", "https://api.zoom.us/v2"),
            zoom_oauth_url=self.url("ZOOM_OAUTH_URL", "https://zoom.us/oauth/token"),
            webhooks=webhooks,
            secret_key=Secret(
                self.checked(
                    "SECRET_KEY",
                    "",
                    lambda v: not v or len(v.encode()) >= 32,
                    "must be at least 32 bytes; make one with: openssl rand -hex 32",
                )
            ),
            public_url=self.public_url(),
            host=self.checked(
                "HOST", "127.0.0.1", _is_host, "must be an address of this machine, or its name"
            ),
            port=self.number("PORT", 8000, 0, 65535),
            trusted_proxies=self.proxies(),
            log_format=self.choice("LOG_FORMAT", "", {"": None, "text": "text", "json": "json"}),
            secret_files=tuple(self.secret_files),
        )
        self.guessable(settings, needs)
        if self.problems:
            raise SettingsError(self.problems)
        return settings

    def get(self, name: str) -> str:
        """The value, or what the file named by NAME_FILE holds; empty when there is none."""
        if value := self.values.get(name, "").strip():
            return value
        path = self.values.get(f"{name}_FILE", "").strip() if name in SECRETS else ""
        if not path:
            return ""
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            line = f"{name}_FILE: cannot read {path} ({reason}); it must be a readable text file"
            if line not in self.problems:
                self.problems.append(line)
            return ""
        if Path(path) not in self.secret_files:
            self.secret_files.append(Path(path))
        return value

    def checked(
        self, name: str, default: str, is_right: Callable[[str], object], would_be_right: str
    ) -> str:
        value = self.get(name) or default
        if not is_right(value):
            shown = "" if name in SECRETS else f" {value!r}"
            self.problems.append(f"{name}:{shown} {would_be_right}")
        return value

    def choice(self, name: str, default: str, meanings: Mapping[str, T]) -> T:
        value = (self.get(name) or default).lower()
        if value not in meanings:
            words = " or ".join(repr(word) for word in meanings if word)
            self.problems.append(f"{name}: {value!r} must be {words}")
            value = default
        return meanings[value]

    def url(self, name: str, default: str) -> str:
        """An absolute http(s) address without a trailing slash; http only towards this machine."""

        def is_right(value: str) -> bool:
            parts = _split(value)
            return parts is not None and (
                parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
            )

        return self.checked(
            name, default, is_right, "must be https://… (http:// only on this machine)"
        ).rstrip("/")

    def public_url(self) -> str:
        """Paths are added to it, so it ends where they begin."""
        value = self.url("PUBLIC_URL", "http://localhost:8000")
        if "?" in value or "#" in value:
            self.problems.append(
                f"PUBLIC_URL: {value!r} must end before any ? or #, such as https://example.org"
            )
        return value

    def smtp_url(self) -> Secret | None:
        value = self.checked(
            "SMTP_URL",
            "",
            lambda v: not v or ((parts := _split(v)) and parts.scheme in {"smtp", "smtps"}),
            "must be smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465",
        )
        return Secret(value) if value else None

    def bounces_url(self) -> Secret | None:
        value = self.checked(
            "BOUNCES_URL",
            "",
            lambda v: not v or _is_mailbox(v),
            "must be imaps://USER:PASSWORD@HOST/INBOX (imap:// only on this machine)",
        )
        return Secret(value) if value else None

    def webhook_secrets(self) -> tuple[Secret, ...]:
        value = self.get("ZOOM_WEBHOOK_SECRET_TOKEN")
        secrets = tuple(Secret(part.strip()) for part in value.split(",") if part.strip())
        if len(secrets) > 2:
            self.problems.append(
                f"ZOOM_WEBHOOK_SECRET_TOKEN: holds {len(secrets)} secrets;"
                " at most two (the new and the old one), separated by a comma"
            )
        return secrets

    def proxies(self) -> tuple[str, ...]:
        """Addresses and networks. Not the whole Internet: anybody could be anybody then."""
        value = self.get("TRUSTED_PROXIES")
        told = tuple(part.strip() for part in value.split(",") if part.strip())
        for part in told:
            try:
                wide = ip_network(part).prefixlen == 0
            except ValueError:
                wide = True
            if wide:
                self.problems.append(
                    f"TRUSTED_PROXIES: {part[:50]!r} must be an address or a network of the proxy,"
                    " such as 172.17.0.1 or 172.30.0.0/24"
                )
        return told or LOOPBACK

    def guessable(self, settings: Settings, needs: Collection[str]) -> None:
        """What anybody could guess or look up opens our doors to them: not for who runs it."""
        by_name = {
            "SECRET_KEY": (settings.secret_key,),
            "ZOOM_WEBHOOK_SECRET_TOKEN": settings.zoom_webhook_secrets,
        }
        for name in sorted(by_name.keys() & needs):
            for secret in by_name[name]:
                if _is_sample(secret):
                    self.problems.append(
                        f"{name}: is an example, known to everybody; {_HELP[name]}"
                    )
                elif name == "ZOOM_WEBHOOK_SECRET_TOKEN" and len(secret.encode()) < 16:
                    self.problems.append(
                        f"{name}: shorter than 16 bytes; Zoom's own have 22: copy it whole"
                    )

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.get(name) or str(default)
        if not re.fullmatch(r"[0-9]{1,5}", value) or not least <= int(value) <= most:
            self.problems.append(f"{name}: {value[:20]!r} must be a number from {least} to {most}")
            return default
        return int(value)


def _knows_time_zones() -> bool:
    try:
        ZoneInfo.no_cache("UTC")
    except ZoneInfoNotFoundError:
        return False
    return True


def is_loopback(host: str | None) -> bool:
    """Whether a host name means this machine, where plain text never leaves it."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return (host or "").lower() == "localhost"


def _is_database(value: str) -> bool:
    """A file, or a database on a server: its name is told, never guessed from the user's."""
    if value.startswith("postgresql+psycopg://"):
        try:
            return len(urlsplit(value).path) > 1
        except ValueError:
            return False
    return value.startswith("sqlite:///") and not value.endswith(":memory:")


def _is_mailbox(value: str) -> bool:
    """A login and a folder of plain characters; a line break in one would be a command of its own.

    A folder whose name has accents is written in another way by each server.
    """
    parts = _split(value)
    if parts is None or parts.query or parts.fragment:
        return False
    safe = parts.scheme == "imaps" or (parts.scheme == "imap" and is_loopback(parts.hostname))
    login = unquote(parts.username or ""), unquote(parts.password or "")
    folder = unquote(parts.path)
    return safe and all(login) and "".join((*login, folder)).isprintable() and folder.isascii()


def _is_sender(value: str) -> bool:
    """Nothing, an address, or `Name <address>`; a dot in the domain, so that it can be answered."""
    name, address = parseaddr(value)
    return not value or (
        re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;.]+(?:\.[^\s@<>,;.]+)+", address) is not None
        and (value == address or (bool(name) and value.endswith(f"<{address}>")))
    )


def _is_sample(secret: str) -> bool:
    """What papers show in place of a secret, or one character over and over."""
    return bool(secret) and (
        len(set(secret)) < 4
        or re.search(r"^your|change.?me|example|_here$", secret, re.I) is not None
    )


def _is_host(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", value) is not None
    return True


def _split(url: str) -> SplitResult | None:
    """The parts of an address with a host, None when it is no such thing."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts if parts.hostname and port != 0 else None


_APP = "from the Server-to-Server OAuth app on marketplace.zoom.us (README, step 1)"
_HELP = {
    "ZOOM_ACCOUNT_ID": _APP,
    "ZOOM_CLIENT_ID": _APP,
    "ZOOM_CLIENT_SECRET": _APP,
    "ZOOM_WEBHOOK_SECRET_TOKEN": "the app's Secret Token, under Feature › Event Subscriptions;"
    " or WEBHOOKS=off on a machine without a public address",
    "SECRET_KEY": "at least 32 bytes of our own; make one with: openssl rand -hex 32",
}
