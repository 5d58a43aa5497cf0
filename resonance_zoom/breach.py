"""After a breach: who is concerned, what was held of them, who looked, and until when to tell it.

Facts alone, read from the database and from what lies beside it. Article 33 of the GDPR gives the
controller 72 hours from when they learned of the breach.
https://www.cnil.fr/fr/notifier-une-violation-de-donnees-personnelles
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from resonance_zoom import backups
from resonance_zoom.campaign import Campaign
from resonance_zoom.store import chain, held
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import journal, registrants, sessions

TO_TELL = timedelta(hours=72)
PERSON_COLUMNS = ("email", "first_name", "last_name", "focus_groups", "registered_at")
_SIGN_INS = ("staff.sign_in", "staff.sign_in_refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The period in question (`since` None: from the beginning) and when the breach was noticed."""

    since: datetime | None
    until: datetime
    noticed: datetime


def facts(
    connection: Connection, store: Store, campaign: Campaign, asked: Asked, now: datetime
) -> dict[str, Any]:
    """Everything that can be known of the period; times ISO, UTC. `persons.list` names people."""
    deadline = asked.noticed + TO_TELL
    lines = _lines(connection, asked)
    return {
        "campaign": campaign.slug,
        "made_at": _iso(now),
        "period": {"since": asked.since and _iso(asked.since), "until": _iso(asked.until)},
        "noticed_at": _iso(asked.noticed),
        "deadline": _iso(deadline),
        "hours_left": (deadline - now) // timedelta(hours=1),
        "persons": _persons(connection, campaign, asked, lines),
        "held": list(held.filled(connection)),
        "not_described": held.undescribed(),
        "staff": _staff(connection, lines),
        "acts": _acts(connection),
        "backups": [_copy(path) for path in backups.daily(store)],
        "copies_beside": [_copy(path) for path in backups.beside(store)],
        "kept_letters": sum(path.is_file() for path in (store.folder / "mail").rglob("*")),
    }


def _lines(connection: Connection, asked: Asked) -> list[Any]:
    """The acts of the period."""
    within = [journal.c.at <= asked.until, journal.c.kind.startswith(chain.ACTS)]
    if asked.since is not None:
        within.append(journal.c.at >= asked.since)
    return list(connection.execute(select(journal).where(*within).order_by(journal.c.id)))


def _persons(
    connection: Connection, campaign: Campaign, asked: Asked, lines: Iterable[Any]
) -> dict[str, Any]:
    """Everybody whose data lay here at any time of the period, and is known still."""
    here = (registrants.c.email != "", registrants.c.registered_at <= asked.until)
    rows = connection.execute(select(registrants).where(*here).order_by(registrants.c.id)).all()
    people: dict[str, dict[str, Any]] = {}
    for row in rows:
        person = people.setdefault(
            row.email_folded,
            {
                "email": row.email,
                "first_name": row.first_name,
                "last_name": row.last_name,
                "focus_groups": [],
                "registered_at": _iso(row.registered_at),
            },
        )
        person["focus_groups"].append(row.focus_group)
    count = Counter(row.focus_group for row in rows)
    groups = [group.slug for group in campaign.focus_groups]
    return {
        "count": len(people),
        "registrations": len(rows),
        "by_focus_group": {
            slug: count[slug] for slug in (*groups, *sorted(count.keys() - set(groups)))
        },
        "erased_registrations": sum(_erased(line) for line in lines),
        "without_name": connection.execute(
            select(func.count()).where(registrants.c.email == "")
        ).scalar(),
        "list": list(people.values()),
    }


def _erased(line: Any) -> int:
    """How many registrations an act took the name from."""
    if line.kind == "staff.erase":
        return 1
    return int(line.data["registrants"]) if line.kind in {"staff.purge", "staff.close"} else 0


def _staff(connection: Connection, lines: Iterable[Any]) -> dict[str, Any]:
    """Who entered, who took lists away, and how often everything else was done."""
    sorted_out: dict[str, list[dict[str, Any]]] = {"sign_ins": [], "exports": []}
    others: Counter[str] = Counter()
    for line in lines:
        told = {"at": _iso(line.at), "line": line.id, "who": line.data.get("by", "")}
        if line.kind in _SIGN_INS:
            refused = line.kind == "staff.sign_in_refused"
            sorted_out["sign_ins"].append(
                {**told, "role": line.data.get("role"), "refused": refused}
            )
        elif line.kind == "staff.export":
            whole = {name: line.data.get(name) for name in ("rows", "format")}
            sorted_out["exports"].append({**told, "focus_group": line.focus_group, **whole})
        else:
            others[line.kind] += 1
    names = connection.execute(select(sessions.c.name).order_by(sessions.c.seen_at)).scalars()
    return {**sorted_out, "other_acts": dict(sorted(others.items())), "sessions": list(names)}


def _acts(connection: Connection) -> dict[str, Any]:
    """Whether what the journal says of acts can be relied on."""
    found = chain.examine(connection)
    return {"count": found.acts, "head": found.head, "problems": list(found.problems)}


def _copy(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "file": path.name,
        "made_at": _iso(datetime.fromtimestamp(found.st_mtime, UTC)),
        "bytes": found.st_size,
    }


def _iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
