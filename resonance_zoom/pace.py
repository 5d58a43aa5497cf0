"""Keeps to the pace that a relay allows: so many letters a minute, also over a restart.

A bucket that fills as time goes by: a wave spends from it, and never more than a quarter of a
minute's letters (and one) at once.
"""

import math
from datetime import datetime, timedelta

from sqlalchemy import Connection

from resonance_zoom.campaign import Campaign
from resonance_zoom.store import journal

BUCKET = "pace"
FULL_AFTER = timedelta(seconds=15)


def allowed(connection: Connection, campaign: Campaign, wanted: int, now: datetime) -> int:
    """How many of `wanted` letters may leave now."""
    if campaign.letters_per_minute is None:
        return wanted
    return min(wanted, math.floor(_filled(connection, campaign.letters_per_minute, now)))


def spend(connection: Connection, campaign: Campaign, letters: int, now: datetime) -> None:
    """So many letters leave now."""
    if campaign.letters_per_minute is None or not letters:
        return
    left = _filled(connection, campaign.letters_per_minute, now) - letters
    journal.remember(connection, BUCKET, {"letters": left, "at": now})


def lasts(campaign: Campaign, letters: int) -> timedelta | None:
    """How long so many letters take, None without a pace."""
    if campaign.letters_per_minute is None:
        return None
    return timedelta(minutes=letters / campaign.letters_per_minute)


def _filled(connection: Connection, a_minute: int, now: datetime) -> float:
    # One more than runs in between two looks: what is left of a letter must not spill over.
    most = a_minute * FULL_AFTER.total_seconds() / 60 + 1
    kept = journal.recall(connection, BUCKET)
    if kept is None:
        return most
    passed = (now - datetime.fromisoformat(kept["at"])).total_seconds()
    if passed < 0:
        return most  # the clock was set back: nobody knows how much time went by
    return min(most, float(kept["letters"]) + passed * a_minute / 60)
