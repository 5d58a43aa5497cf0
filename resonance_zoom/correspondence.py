"""Makes one registrant's letter out of what we know of them: fields, calendar file, message."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from babel import Locale

from resonance_zoom.campaign import CANCELLED, MOVED, WITHDRAWN, Campaign
from resonance_zoom.links import Links
from resonance_zoom.mail.calendar import calendar_file
from resonance_zoom.mail.letters import DialIn, LetterFields, LetterRoom, OtherMeeting
from resonance_zoom.mail.message import build_message

TELEPHONES = 3  # so many numbers are enough in a letter


class Composer:
    """Composes the letters of one campaign. `sender` is the envelope's and the From address."""

    def __init__(
        self, *, campaign: Campaign, letters: LetterRoom, sender: str | None, links: Links
    ) -> None:
        self.campaign = campaign
        self.letters = letters
        self.links = links
        self.sender = sender or campaign.organiser.email

    def compose(
        self,
        *,
        kind: str,
        person: Any,
        meeting: Any,
        others: tuple[Any, ...],
        message_id: str,
        date: datetime,
        told_start: datetime | None = None,
        last_end: datetime | None = None,
    ) -> bytes:
        """The bytes to send. `person` and `meeting` are rows, `others` the person's other meetings.

        `told_start`: of which the last letter spoke; `last_end`: of all meetings that Zoom holds.
        Raises ResonanceError when a template is wrong or a join link is none of Zoom's.
        """
        fields = self.fields(
            kind=kind,
            person=person,
            meeting=meeting,
            others=others,
            told_start=told_start,
            last_end=last_end,
        )
        over = kind in {CANCELLED, WITHDRAWN}
        return build_message(
            self.letters.render(fields),
            fields=fields,
            sender=self.sender,
            message_id=message_id,
            date=date,
            calendar=self.calendar(person=person, meeting=meeting, date=date, cancelled=over),
        )

    def calendar(
        self, *, person: Any, meeting: Any, date: datetime, cancelled: bool = False
    ) -> bytes:
        """A person's calendar file of a meeting, made at `date`; it replaces all earlier ones."""
        group = self.campaign.focus_group(meeting.focus_group)
        return calendar_file(
            uid=f"{meeting.zoom_meeting_id}.{person.id}@{self.campaign.slug}",
            # Counts up over moves, over a place given up, over coming back.
            sequence=meeting.revision + 2 * (person.episode - 1) + cancelled,
            start=meeting.start_at,
            end=meeting.end_at,
            timezone=self.campaign.timezone,
            title=f"{self.campaign.name} : {meeting.topic}",
            description=group.agenda if group else "",
            join_url="" if cancelled else person.join_url,
            organiser_name=self.campaign.organiser.name,
            organiser_email=self.campaign.organiser.email,
            stamp=date,
            cancelled=cancelled,
        )

    def fields(
        self,
        *,
        kind: str,
        person: Any,
        meeting: Any,
        others: tuple[Any, ...],
        told_start: datetime | None = None,
        last_end: datetime | None = None,
    ) -> LetterFields:
        """All that the letter may say. Dates and title are Zoom's, the rest is the file's."""
        campaign, group = self.campaign, self.campaign.focus_group(meeting.focus_group)
        was_start, was_end = _former(meeting, told_start) if kind == MOVED else (None, None)
        return LetterFields(
            kind=kind,
            campaign_name=campaign.name,
            organiser_name=campaign.organiser.name,
            organiser_email=campaign.organiser.email,
            organiser_phone=campaign.organiser.phone,
            title=meeting.topic,
            start=meeting.start_at,
            end=meeting.end_at,
            timezone=campaign.timezone,
            first_name=person.first_name,
            last_name=person.last_name,
            email=person.email,
            join_url="" if kind in {CANCELLED, WITHDRAWN} else person.join_url,
            keep_days=campaign.keep_days_after_last,
            agenda=group.agenda if group else "",
            other_meetings=tuple(
                OtherMeeting(title=row.topic, start=row.start_at, end=row.end_at) for row in others
            ),
            personal_url=self.links.personal(person.id),
            was_start=was_start,
            was_end=was_end,
            dial_in=_telephones(meeting.dial_in or ()),
            meeting_number=_spoken(meeting.zoom_meeting_id),
            keep_until=campaign.kept_until(last_end),
        )


def _former(meeting: Any, told_start: datetime | None) -> tuple[datetime | None, datetime | None]:
    """The time that the person was told before; its end only where it is known for sure."""
    if told_start is None or told_start == meeting.start_at:
        return meeting.former_start, meeting.former_end
    if told_start == meeting.former_start:
        return told_start, meeting.former_end
    return told_start, told_start + (meeting.end_at - meeting.start_at)


def _telephones(lines: Sequence[Sequence[str]]) -> tuple[DialIn, ...]:
    """The numbers of France, or else the first ones, each with its country in French."""
    if not lines:
        return ()
    home = [line for line in lines if line[1] == "FR"]
    countries = Locale("fr").territories
    return tuple(
        DialIn(number, countries.get(country, ""))
        for number, country in (home or lines)[:TELEPHONES]
    )


def _spoken(meeting_id: int | None) -> str:
    """`869 3452 1190`: as Zoom writes a number that is typed on a telephone."""
    digits = str(meeting_id or "")
    middle = 7 if len(digits) > 10 else 6
    return " ".join(filter(None, (digits[:3], digits[3:middle], digits[middle:])))
