"""`check`: what would stop a campaign, and what to do about it.

Each point is one function; CHECKS is the list, in the order in which a person would mend things.
Nothing is changed anywhere: Zoom is asked, the database is read, the relay is greeted, no letter
leaves.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import unquote, urlsplit

from resonance_zoom.doctor import at_zoom, machine, past_acts, way_in, way_out
from resonance_zoom.doctor.points import (
    TRY_AGAIN,
    NotChecked,
    Patient,
    Point,
    Verdict,
    orange,
    red,
)
from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import open_zoom, utc_now
from resonance_zoom.settings import Settings

CHECKS: tuple[tuple[str, Callable[[Patient], Verdict]], ...] = (
    ("campaign file", machine.campaign_file),
    ("dates ahead", machine.dates_ahead),
    ("environment", machine.environment),
    ("database", machine.database),
    ("staff acts", past_acts.staff_acts),
    ("disk", machine.disk),
    ("Zoom token", at_zoom.zoom_token),
    ("scopes", at_zoom.scopes),
    ("host licensed", at_zoom.host_licensed),
    ("host free", at_zoom.host_free),
    ("clock", at_zoom.clock),
    ("webhook secret", way_in.webhook_secret),
    ("public address", way_in.public_address),
    ("mail", way_out.mail),
    ("returned mail", way_out.returned_mail),
    ("time zone data", machine.time_zone_data),
    ("versions", machine.versions),
)


def examine(
    settings: Settings, *, now: Callable[[], datetime] = utc_now, kept_head: str | None = None
) -> Iterator[Point]:
    """Every point in order, each as soon as it is known. Never raises.

    `settings` may have been loaded without needs: what is missing is one of the points.
    `kept_head`: the head of the staff's acts as an earlier check told it.
    """
    patient = Patient(
        settings=settings, now=now, zoom=open_zoom(settings, now=now), kept_head=kept_head
    )
    try:
        for name, check in CHECKS:
            verdict = _verdict(check, patient)
            hide = _without_secrets if verdict.quotes_file else _discreet
            yield Point(
                name, verdict.level, hide(verdict.says, settings), hide(verdict.remedy, settings)
            )
    finally:
        patient.zoom.close()


def _verdict(check: Callable[[Patient], Verdict], patient: Patient) -> Verdict:
    try:
        return check(patient)
    except NotChecked as first:
        return orange(f"not checked: {first} first", "")
    except ResonanceError as error:
        return red(error.message, error.remedy or TRY_AGAIN)
    except Exception as error:  # noqa: BLE001 — the other points are still worth knowing
        return red(
            f"the check itself failed ({type(error).__name__})",
            "Run check again; if it stays, tell the developers which point it is.",
        )


_ADDRESS = re.compile(r"[^\s@/<>\"'():,;=]+(?:@|%40)[^\s@/<>\"'():,;?]+\.[A-Za-z]{2,}")
_NOBODY = "contact@example.org"  # held up as an example in our own messages


def _discreet(words: str, settings: Settings) -> str:
    """The words without secrets and addresses, whatever server they came from."""
    words = _without_secrets(words, settings)
    return _ADDRESS.sub(lambda m: m[0] if m[0] == _NOBODY else "(address)", words)


def _without_secrets(words: str, settings: Settings) -> str:
    for secret in (
        settings.zoom_account_id,
        settings.zoom_client_id,
        settings.zoom_client_secret,
        settings.secret_key,
        *settings.zoom_webhook_secrets,
        *_passwords(settings.smtp_url),
        *_passwords(settings.bounces_url),
    ):
        # A shorter one is hardly a secret, and would tear holes into ordinary words.
        if len(secret) >= 6:
            words = words.replace(secret, "***")
    return words


def _passwords(url: str | None) -> tuple[str, ...]:
    """The password of an address, as it stands there and as a server would quote it."""
    password = urlsplit(url or "").password or ""
    return password, unquote(password)
