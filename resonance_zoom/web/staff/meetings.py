"""The meetings: what the file says against what Zoom holds, field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from resonance_zoom import comparison, meetings
from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.mail import french
from resonance_zoom.web.staff.door import Visit

FIELDS = {
    "topic": "Titre",
    "agenda": "Texte",
    "start_time": "Début",
    "duration": "Durée",
    "timezone": "Fuseau horaire",
    "settings.approval_type": "Approbation des inscriptions",
    "settings.registrants_confirmation_email": "Zoom confirme aux inscrits",
    "settings.registrants_email_notification": "Zoom écrit aux inscrits",
    "settings.use_pmi": "Numéro personnel de l’hôte",
}
BY_HAND = "by_hand"
CAUSES = {
    "file": "modifié dans le fichier, sera reporté",
    BY_HAND: "modifié à la main sur Zoom (les courriers suivent Zoom)",
    "refused": "Zoom ne l’a pas appliqué",
}
PLANNED, CANCELLED, PAST = "planned", "cancelled", "past"
_APPROVALS = {0: "automatique", 1: "à la main", 2: "sans inscription"}
_NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One field: the file's value, Zoom's, and why they differ ("" when they do not)."""

    name: str
    wanted: str
    held: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One group: `row` is what is known of its meeting, None before anything was done.

    `notices`: what somebody should know first; `link`: where people register, "" while nowhere.
    """

    slug: str
    title: str
    state: str
    row: Any
    start: datetime | None
    end: datetime | None
    notices: tuple[str, ...]
    lines: tuple[Line, ...]
    link: str

    @property
    def differing(self) -> int:
        """In how many fields Zoom is not as the file says."""
        return sum(bool(line.cause) for line in self.lines)


def listing(visit: Visit) -> Response:
    """GET: every group of the file, then those that only the database knows."""
    campaign, now = visit.service.campaign, visit.now
    with visit.service.store.read() as connection:
        rows: dict[str, Any] = {row.focus_group: row for row in meetings.rows(connection)}
    shown = [
        _shown(campaign, group.slug, group, rows.pop(group.slug, None), now)
        for group in campaign.focus_groups
    ]
    shown += [_shown(campaign, slug, None, row, now) for slug, row in rows.items()]
    return visit.page("meetings.html", heading="Réunions", meetings=shown)


def title_of(slug: str, group: FocusGroup | None, row: Any) -> str:
    """What a group is called: by the file, else as Zoom has it."""
    if group is not None:
        return group.title
    return (row.topic if row is not None else None) or slug


def state_of(group: FocusGroup | None, row: Any, now: datetime) -> str:
    """A word of `words.MEETING_STATES`."""
    end = (row.end_at if row is not None else None) or (group.end if group is not None else None)
    if (row is not None and row.cancelled_at is not None) or (
        group is not None and group.cancelled
    ):
        return CANCELLED
    if end is not None and end <= now:
        return PAST
    return PLANNED if row is None else str(row.state)


def waiting(row: Any, campaign: Campaign, now: datetime) -> str:
    """A change of the file that may still be a typo: since when, and when it is acted on."""
    if row is None or not row.edit or row.edited_at is None:
        return ""
    seen = french.hour(row.edited_at, campaign.timezone)
    acts_at = row.edited_at + comparison.SECOND_THOUGHTS
    then = (
        f"à {french.hour(acts_at, campaign.timezone)}"
        if acts_at > now
        else "d’un instant à l’autre"
    )
    if row.edit == meetings.CALLED_OFF:
        return (
            f"Annulation lue dans le fichier à {seen} ; les inscrits sont prévenus {then} si elle"
            " n’est pas corrigée."
        )
    what = "Nouvelle date lue" if "start_time" in row.edit else "Nouvelle durée lue"
    return f"{what} dans le fichier à {seen}, reportée sur Zoom {then} si elle n’est pas corrigée."


def _shown(
    campaign: Campaign, slug: str, group: FocusGroup | None, row: Any, now: datetime
) -> Shown:
    state = state_of(group, row, now)
    link = (row.registration_url if row is not None else None) or ""
    return Shown(
        slug=slug,
        title=title_of(slug, group, row),
        state=state,
        row=row,
        start=(row.start_at if row is not None else None) or (group.start if group else None),
        end=(row.end_at if row is not None else None) or (group.end if group else None),
        notices=tuple(_notices(campaign, group, row, state, now)),
        lines=() if group is None or state == CANCELLED else _lines(campaign, group, row, state),
        link=link if link.startswith(("https://", "http://")) else "",
    )


def _notices(
    campaign: Campaign, group: FocusGroup | None, row: Any, state: str, now: datetime
) -> Iterator[str]:
    if group is None:
        yield "Cette rencontre a été retirée du fichier."
    if waits := waiting(row, campaign, now):
        yield waits
    if row is not None and row.cancelled_at is not None:
        when = french.date_hour(row.cancelled_at, campaign.timezone)
        yield f"Annulée le {when} ; les inscrits sont prévenus."
        to_come = row.end_at is None or row.end_at > now
        if row.zoom_meeting_id is not None and row.missing_since is None and to_come:
            yield (
                f"Le service ne supprime rien : supprimez la réunion {row.zoom_meeting_id} sur"
                " zoom.us, sinon on peut encore s’y inscrire."
            )
    if state == meetings.MISSING:
        yield (
            "Introuvable sur Zoom : restaurez-la sur zoom.us, dans Réunions › Supprimées récemment."
            " Les courriers de ce groupe attendent."
        )
    if state == meetings.DUPLICATE:
        yield (
            f"Plusieurs réunions sur Zoom portent « {row.reference} » : supprimez-les sur zoom.us,"
            " sauf une. Rien n’est fait pour ce groupe d’ici là."
        )
    if state == meetings.OPEN and not row.registration_url:
        yield (
            "Pas de page d’inscription : Zoom n’en donne qu’aux hôtes qui ont une licence."
            " Donnez-en une à l’hôte sur zoom.us."
        )


def _lines(campaign: Campaign, group: FocusGroup, row: Any, state: str) -> tuple[Line, ...]:
    want = comparison.fields_of(comparison.wanted(campaign, group))
    held: Mapping[str, Any] = (row.held if row is not None else None) or {}
    causes = causes_of(campaign, group, row) if state != PAST else {}
    return tuple(
        Line(
            name=FIELDS.get(name, name),
            wanted=_said(name, value, campaign),
            held=_said(name, held[name], campaign) if name in held else _NOTHING,
            cause=CAUSES[causes[name]] if name in causes else "",
        )
        for name, value in want.items()
    )


def causes_of(campaign: Campaign, group: FocusGroup, row: Any) -> dict[str, str]:
    """{field: why Zoom differs from the file there}, a name of CAUSES."""
    held: Mapping[str, Any] = (row.held if row is not None else None) or {}
    if not held:
        return {}
    want = comparison.fields_of(comparison.wanted(campaign, group))
    found = comparison.differences(want, row.applied, held, row.refused or ())
    return {difference.field: difference.cause for difference in found}


def _said(name: str, value: Any, campaign: Campaign) -> str:
    """A value as staff read it; anything that Zoom may hold can be shown."""
    if value is None or value == "":
        return _NOTHING
    if name == "start_time":
        return french.date_hour(datetime.fromisoformat(value), campaign.timezone)
    if name == "duration":
        return f"{value}\u00a0min"
    if name == "settings.approval_type":
        return _APPROVALS.get(value, str(value))
    if isinstance(value, bool):
        return "oui" if value else "non"
    return str(value)
