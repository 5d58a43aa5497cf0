"""Makes one registrant's letter out of what we know of them: fields, calendar file, message."""

from datetime import datetime
from typing import Any

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail.calendar import calendar_file
from resonance_zoom.mail.letters import LetterFields, LetterRoom, OtherMeeting
from resonance_zoom.mail.message import build_message


class Composer:
    """Composes the letters of one campaign. `sender` is the envelope's and the From address."""

    def __init__(self, *, campaign: Campaign, letters: LetterRoom, sender: str | None) -> None:
        self.campaign = campaign
        self.letters = letters
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
    ) -> bytes:
        """The bytes to send. `person` and `meeting` are rows, `others` the person's other meetings.

        Raises ResonanceError when a template is wrong or a join link is none of Zoom's.
        """
        fields = self.fields(kind=kind, person=person, meeting=meeting, others=others)
        group = self.campaign.focus_group(meeting.focus_group)
        calendar = calendar_file(
            uid=f"{meeting.zoom_meeting_id}.{person.id}@{self.campaign.slug}",
            sequence=meeting.revision,
            start=fields.start,
            end=fields.end,
            timezone=fields.timezone,
            title=f"{self.campaign.name} : {fields.title}",
            description=group.agenda if group else "",
            join_url=fields.join_url,
            organiser_name=fields.organiser_name,
            organiser_email=fields.organiser_email,
            stamp=date,
        )
        return build_message(
            self.letters.render(fields),
            fields=fields,
            sender=self.sender,
            message_id=message_id,
            date=date,
            calendar=calendar,
        )

    def fields(
        self, *, kind: str, person: Any, meeting: Any, others: tuple[Any, ...]
    ) -> LetterFields:
        """All that the letter may say. Dates and title are Zoom's, the rest is the file's."""
        campaign, group = self.campaign, self.campaign.focus_group(meeting.focus_group)
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
            join_url=person.join_url,
            keep_days=campaign.keep_days_after_last,
            agenda=group.agenda if group else "",
            other_meetings=tuple(
                OtherMeeting(title=row.topic, start=row.start_at, end=row.end_at) for row in others
            ),
        )
