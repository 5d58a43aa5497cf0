"""What an address asks of a list: each filter checked, a wrong one left out and said so."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, select

from resonance_zoom.store.people import fold, sought
from resonance_zoom.store.tables import registrants

PAGE = 100
LONGEST_WORDS = 100


class Filters:
    """The filters of one address of the list at `home`.

    `kept`: those in use, which links carry on; `hints`: for the reader, what was left out and why.
    """

    def __init__(self, query: Mapping[str, str], home: str) -> None:
        self._query = query
        self._home = home
        self.kept: dict[str, str] = {}
        self.hints: list[str] = []

    def words(self, name: str) -> str:
        """What was typed into a field; "" when that is nothing or too long."""
        found = self._query.get(name, "").strip()
        if len(found) > LONGEST_WORDS:
            self.hints.append(f"Un filtre de plus de {LONGEST_WORDS} caractères est ignoré.")
            return ""
        if found:
            self.kept[name] = found
        return found

    def choice(self, name: str, known: Mapping[str, Any]) -> str:
        """One of `known`, or ""."""
        found = self.words(name)
        if found and found not in known:
            del self.kept[name]
            self.hints.append(f"« {found} » est inconnu : ce filtre est ignoré.")
            return ""
        return found

    @property
    def before(self) -> int | None:
        """The number that a page of older lines begins below; None for the newest page."""
        return whole_number(self._query.get("before", ""))

    def address(self, path: str = "", **more: int | str | None) -> str:
        """The list (or another `path`) with the same filters and `more`; None takes one away."""
        query = {name: value for name, value in {**self.kept, **more}.items() if value is not None}
        return f"{path or self._home}?{urlencode(query)}" if query else path or self._home


def whole_number(text: str) -> int | None:
    """A number of ours as an address writes it, None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def spoken_of(connection: Connection, words: str) -> Sequence[ColumnElement[bool]]:
    """Who a name or an address heard on the telephone may mean: every word occurs somewhere.

    Somebody's whole address means them alone, and is found without reading everyone's.
    """
    theirs = registrants.c.email_folded == fold(words)
    if "@" in words and connection.execute(select(registrants.c.id).where(theirs).limit(1)).first():
        return [theirs]
    return [registrants.c.sought.contains(part, autoescape=True) for part in sought(words).split()]
