"""What an address asks of the journal: each filter checked, a wrong one left out and said so."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from resonance_zoom.campaign import Campaign
from resonance_zoom.store.journal import DEBUG, ERROR, INFO, WARNING
from resonance_zoom.web.staff import events, journal_search
from resonance_zoom.web.staff.events import FAMILIES
from resonance_zoom.web.staff.journal_search import MOST_PEOPLE, SHOWN_LEVELS, Wanted

HOME = "/staff/journal"
SIZE, LARGEST = 50, 200
LONGEST_WORDS = 100
LIVE = range(2, 61)  # seconds between two looks
EVERYTHING = "all"
LEVEL_NAMES = {
    ERROR: "erreurs",
    WARNING: "avertissements",
    INFO: "informations",
    DEBUG: "appels techniques seulement",
    EVERYTHING: "tout, y compris les appels techniques",
}


class Asked:
    """The filters of one address. `kept`: those in use, which links carry on; `hints`: for the
    reader, what was left out and why; `wanted`: what to search for.
    """

    def __init__(
        self, query: Mapping[str, str], campaign: Campaign, connection: Connection
    ) -> None:
        self._query = query
        self._campaign = campaign
        self._connection = connection
        self.hints: list[str] = []
        self.kept: dict[str, str] = {}
        self.groups = groups_of(connection, campaign)
        self.kinds = self._known_kinds()
        self.wanted = self._wanted()
        self.size = self._number("size", LARGEST) or SIZE
        if self.size != SIZE:
            self.kept["size"] = str(self.size)
        self.after = self._number("after")
        self.before = None if self.after else self._number("before")
        self.live = None if self.before or self.after else self._seconds()

    def address(self, **more: int | str | None) -> str:
        """The listing with the same filters, and more."""
        query = {**self.kept, **{name: value for name, value in more.items() if value}}
        return f"{HOME}?{urlencode(query)}" if query else HOME

    def _wanted(self) -> Wanted:
        group = self._choice("group", self.groups)
        kind = self._choice("kind", self.kinds)
        level = self._choice("level", LEVEL_NAMES)
        since, until = self._day("from"), self._day("to")
        if since and until and until < since:
            self.hints.append("La période finit avant de commencer : sa fin est ignorée.")
            until = None
            del self.kept["to"]
        return Wanted(
            groups=(group,) if group else None,
            kinds=self._kinds_of(kind) if kind else None,
            levels={"": SHOWN_LEVELS, EVERYTHING: None}.get(level, (level,)),
            people=self._people(),
            since=self._midnight(since) if since else None,
            until=self._midnight(until + timedelta(days=1)) if until else None,
        )

    def _words(self, name: str) -> str:
        """A field of the form as typed, "" when it is empty or too long."""
        found = self._query.get(name, "").strip()
        if len(found) > LONGEST_WORDS:
            self.hints.append(f"Un filtre de plus de {LONGEST_WORDS} caractères est ignoré.")
            return ""
        return found

    def _number(self, name: str, most: int = 2**63 - 1) -> int | None:
        found = self._words(name)
        if not found:
            return None
        if not (found.isascii() and found.isdigit()) or not 1 <= int(found) <= most:
            self.hints.append(f"« {found} » n’est pas un nombre possible : il est ignoré.")
            return None
        return int(found)

    def _seconds(self) -> int | None:
        seconds = self._number("live", LIVE[-1])
        if seconds is not None and seconds not in LIVE:
            self.hints.append(f"La vue en direct attend au moins {LIVE[0]} secondes.")
            return None
        return seconds

    def _choice(self, name: str, known: Mapping[str, Any]) -> str:
        found = self._words(name)
        if found and found not in known:
            self.hints.append(f"« {found} » est inconnu : ce filtre est ignoré.")
            return ""
        if found:
            self.kept[name] = found
        return found

    def _day(self, name: str) -> date | None:
        found = self._words(name)
        try:
            day = date.fromisoformat(found) if found else None
        except ValueError:
            day = None
        if found and (day is None or not 2000 <= day.year < 2100):
            self.hints.append(f"« {found} » n’est pas une date possible : ce filtre est ignoré.")
            return None
        if day is not None:
            self.kept[name] = day.isoformat()
        return day

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._campaign.timezone).astimezone(UTC)

    def _people(self) -> tuple[int, ...] | None:
        words = self._words("person")
        if not words:
            return None
        self.kept["person"] = words
        found = journal_search.people(self._connection, words)
        if not found:
            self.hints.append(f"Personne ne correspond à « {words} ».")
        if len(found) > MOST_PEOPLE:
            self.hints.append(
                f"Plus de {MOST_PEOPLE} personnes correspondent à « {words} » : seules les"
                " dernières inscrites sont montrées. Précisez le nom ou l’adresse."
            )
        return found[:MOST_PEOPLE]

    def _known_kinds(self) -> dict[str, str]:
        """The families to choose from, and the one kind that a link of ours may ask for."""
        asked = self._query.get("kind", "").strip()
        if not asked or asked in FAMILIES:
            return dict(FAMILIES)
        if asked in events.WORDS or asked in journal_search.kinds(self._connection):
            return {**FAMILIES, asked: asked}
        return dict(FAMILIES)

    def _kinds_of(self, chosen: str) -> tuple[str, ...]:
        if chosen not in FAMILIES:
            return (chosen,)
        return tuple(
            kind
            for kind in journal_search.kinds(self._connection)
            if events.family_of(kind) == chosen
        )


def groups_of(connection: Connection, campaign: Campaign) -> dict[str, str]:
    """Every group and its title, also those that the file no longer has (by their slug)."""
    titles = {group.slug: group.title for group in campaign.focus_groups}
    return {**{slug: slug for slug in journal_search.groups(connection)}, **titles}
