"""What `check` examines and what it says: the patient, its points, the three colours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar

from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.settings import RUN_NEEDS, Settings
from resonance_zoom.zoom.client import ZoomClient

T = TypeVar("T")
Level = Literal["green", "orange", "red"]

TRY_AGAIN = "Wait a few minutes and run check again."


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the report. `says` never holds a secret or the address of a registrant."""

    name: str
    level: Level
    says: str
    remedy: str = ""


class Verdict(NamedTuple):
    """What a check found; examine() adds the name of the point.

    `quotes_file`: the addresses in it are the organiser's own, to be found in a file and corrected.
    """

    level: Level
    says: str
    remedy: str = ""
    quotes_file: bool = False


def green(says: str) -> Verdict:
    """Nothing to do."""
    return Verdict("green", says)


def orange(says: str, remedy: str) -> Verdict:
    """The campaign can run; somebody should look."""
    return Verdict("orange", says, remedy)


def red(says: str, remedy: str) -> Verdict:
    """The campaign cannot run, or would fail somebody."""
    return Verdict("red", says, remedy)


class NotChecked(Exception):
    """Another point must hold first; `str()` is its name."""


@dataclass(slots=True)
class Patient:
    """What is examined, and what earlier points found out for the later ones."""

    settings: Settings
    now: Callable[[], datetime]
    zoom: ZoomClient
    kept_head: str | None = None
    campaign: Campaign | None = None
    granted: frozenset[str] | None = None
    lacking: frozenset[str] = field(default_factory=frozenset)
    host_found: bool = False


def known(value: T | None, point: str) -> T:
    """What `point` found out; without it there is nothing to look at."""
    if value is None:
        raise NotChecked(point)
    return value


def ahead(patient: Patient) -> list[FocusGroup]:
    """The groups still to come, the next one first."""
    now = patient.now()
    groups = known(patient.campaign, "campaign file").focus_groups
    return sorted((group for group in groups if group.start > now), key=lambda g: g.start)


def missing(settings: Settings) -> list[str]:
    """The variables that `run` asks for and that are empty."""
    values = {
        "ZOOM_ACCOUNT_ID": settings.zoom_account_id,
        "ZOOM_CLIENT_ID": settings.zoom_client_id,
        "ZOOM_CLIENT_SECRET": settings.zoom_client_secret,
        "ZOOM_WEBHOOK_SECRET_TOKEN": settings.zoom_webhook_secrets or not settings.webhooks,
        "SECRET_KEY": settings.secret_key,
    }
    return sorted(name for name in RUN_NEEDS if not values[name])


def count(number: int, noun: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
