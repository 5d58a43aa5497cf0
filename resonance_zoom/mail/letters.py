"""Renders a registrant's letter: a subject, a text, an HTML page, from templates staff may edit.

A template says only what LetterFields holds; one that names anything else is refused at start.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import cache, lru_cache, partial
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from resonance_zoom.errors import ResonanceError
from resonance_zoom.mail.addresses import is_this_machine
from resonance_zoom.mail.frames import FilledLetter, Frame, Letter, RenderedLetter, frame_of
from resonance_zoom.mail.french import calendar_day, day, hour, typeset, when
from resonance_zoom.mail.names import clean_header, clean_name, clean_text
from resonance_zoom.mail.templates import LetterTemplateError, Templates

__all__ = [
    "DialIn",
    "LetterFields",
    "LetterRefused",
    "LetterRoom",
    "LetterTemplateError",
    "OtherMeeting",
    "RenderedLetter",
]

LONGEST_SUBJECT = 300
MOST_FRAMES = 100  # kept: those of a few waves, and of people with several meetings
WITHOUT_LINK = frozenset({"cancelled", "withdrawn"})
_ZOOMS = re.compile(r"https://([a-z0-9-]+\.)*zoom\.us(:443)?/[A-Za-z0-9._~%!$&'()*+,;=:@/?#-]*")
_THIS_MACHINES = re.compile(  # a rehearsal's Zoom lives on loopback
    r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?/[A-Za-z0-9._~%&+=:@/?-]*"
)


class LetterRefused(ResonanceError):
    """A letter that must not be sent, such as one without a join link of Zoom's."""


@dataclass(frozen=True, slots=True)
class OtherMeeting:
    """Another meeting that the same person is registered for; times aware."""

    title: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class DialIn:
    """A telephone number for those who join by phone; `place` in French, may be empty."""

    number: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFields:
    """All that a letter may say. Times aware; `keep_days` counted from the last meeting.

    Templates know these names, and three more: `day` (`mardi 9 février 2021`), `hour` (`9 h 00`)
    and `when` (day, hours and zone). Each of `other_meetings` has `title`, `day`, `hour`, `when`.
    """

    kind: str
    campaign_name: str
    organiser_name: str
    organiser_email: str
    organiser_phone: str | None
    title: str
    start: datetime
    end: datetime
    timezone: ZoneInfo
    first_name: str
    last_name: str
    email: str
    join_url: str
    keep_days: int
    agenda: str = ""
    other_meetings: tuple[OtherMeeting, ...] = ()
    personal_url: str | None = None
    was_start: datetime | None = None
    was_end: datetime | None = None
    dial_in: tuple[DialIn, ...] = ()
    meeting_number: str = ""
    keep_until: date | None = None


class LetterRoom:
    """Renders letters from the first folder that has the template. Compiles each once."""

    def __init__(self, template_dirs: Sequence[Path]) -> None:
        self._templates = Templates(template_dirs)
        self._frames: dict[Hashable, Frame | None] = {}

    def check(self, kinds: Iterable[str]) -> list[str]:
        """Every problem of the templates of these letters, as `file:line: reason`."""
        problems = (problem for kind in kinds for problem in self._problems(kind))
        return list(dict.fromkeys(problems))  # a fault in a frame is every letter's

    def render(self, fields: LetterFields) -> Letter:
        """The words of one letter. Raises LetterTemplateError and LetterRefused."""
        if fields.kind not in WITHOUT_LINK and not is_join_url(fields.join_url):
            raise LetterRefused("the join link is none of Zoom's; the letter is not sent")
        if fields.personal_url is not None and not is_private(fields.personal_url):
            raise LetterRefused(
                "the link to the personal page is not https; the letter is not sent",
                remedy="PUBLIC_URL must be https://…: whoever reads along could use the link.",
            )
        own = _own(fields)
        key = (_shared(fields), *map(bool, own.values()))
        if key not in self._frames:
            if len(self._frames) >= MOST_FRAMES:
                self._frames.clear()
            self._frames[key] = self._frame(fields, own)
        frame = self._frames[key]
        return self._rendered(fields, own) if frame is None else FilledLetter(frame, own)

    def _frame(self, letter: LetterFields, own: Mapping[str, str]) -> Frame | None:
        """What the letters share that differ in nothing but `own`; None if it cannot be told."""
        try:
            return frame_of(partial(self._rendered, letter), own)
        except LetterTemplateError:
            return None  # it may be right for this person all the same

    def _rendered(self, letter: LetterFields, own: Mapping[str, str]) -> RenderedLetter:
        values = {**_values(letter), **own, "personal_url": own["personal_url"] or None}
        subject = clean_header(self._part(letter.kind, "subject", values))
        if not subject:
            raise LetterTemplateError(f"{letter.kind}.subject:1: says nothing")
        values["subject"] = subject = subject[:LONGEST_SUBJECT]
        text = self._part(letter.kind, "txt", values).strip()
        return RenderedLetter(subject, f"{text}\n", self._part(letter.kind, "html", values))

    def _part(self, kind: str, part: str, values: Mapping[str, object]) -> str:
        return self._templates.render(f"{kind}.{part}", values)

    def _problems(self, kind: str) -> Iterator[str]:
        known = {*_values(_sample()), *_OWN, "subject"}
        names = [f"{kind}.{part}" for part in ("subject", "txt", "html")]
        unknown = [line for name in names for line in self._templates.unknown_names(name, known)]
        if unknown:
            yield from unknown
            return
        for sample in (replace(_sample(), kind=kind), replace(_bare_sample(), kind=kind)):
            try:
                letter = self.render(sample)
            except LetterTemplateError as error:
                yield error.message
                return  # the other sample would most likely say the same
            for name, words in zip(names[1:], (letter.text, letter.html), strict=True):
                if kind not in WITHOUT_LINK and _sample().join_url not in words:
                    yield f"{name}:1: does not say {{{{ join_url }}}}: nobody could take part"


def is_join_url(url: str) -> bool:
    """Whether a link is Zoom's own, or this machine's in a rehearsal.

    Matched in full, not taken apart: programs disagree about `https://evil.example\\@zoom.us/`.
    """
    return bool(_ZOOMS.fullmatch(url) or _THIS_MACHINES.fullmatch(url))


def is_private(url: str) -> bool:
    """Whether what a link carries is for the server alone: https, or a server on this machine."""
    return _is_private("/".join(url.split("/", 3)[:3]))


@lru_cache(maxsize=8)
def _is_private(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))
    )


_OWN = ("first_name", "last_name", "email", "join_url", "personal_url")
_shared = attrgetter(*(field.name for field in fields(LetterFields) if field.name not in _OWN))


def _own(letter: LetterFields) -> dict[str, str]:
    """What a letter says of its person alone: strangers' words, made safe."""
    return {
        "first_name": clean_name(letter.first_name),
        "last_name": clean_name(letter.last_name),
        "email": letter.email,
        "join_url": letter.join_url,
        "personal_url": letter.personal_url or "",
    }


def _values(letter: LetterFields) -> dict[str, object]:
    """What templates may name, but for what is the person's own; in French."""
    values: dict[str, object] = {
        field.name: getattr(letter, field.name)
        for field in fields(letter)
        if field.name not in _OWN
    }
    values.update(
        campaign_name=typeset(clean_header(letter.campaign_name)),
        organiser_name=typeset(clean_header(letter.organiser_name)),
        agenda=typeset(clean_text(letter.agenda)),
        other_meetings=[_meeting(other, letter.timezone) for other in letter.other_meetings],
    )
    values["was"] = (
        when(letter.was_start, letter.was_end or letter.was_start, letter.timezone)
        if letter.was_start
        else ""
    )
    values["keep_until"] = calendar_day(letter.keep_until) if letter.keep_until else ""
    return values | _meeting(letter, letter.timezone)


def _meeting(meeting: LetterFields | OtherMeeting, timezone: ZoneInfo) -> dict[str, str]:
    return {
        "title": typeset(clean_header(meeting.title)),
        "day": day(meeting.start, timezone),
        "hour": hour(meeting.start, timezone),
        "when": when(meeting.start, meeting.end, timezone),
    }


@cache
def _sample() -> LetterFields:
    """A letter with everything in it. Not made at import: a machine may lack its time zones."""
    return LetterFields(
        kind="confirmation",
        campaign_name="Campagne",
        organiser_name="Organisation",
        organiser_email="contact@example.org",
        organiser_phone="+33 2 00 00 00 00",
        title="Rencontre",
        start=datetime(2021, 2, 9, 8, tzinfo=UTC),
        end=datetime(2021, 2, 9, 10, tzinfo=UTC),
        timezone=ZoneInfo("UTC"),
        first_name="Camille",
        last_name="Martin",
        email="camille@example.org",
        join_url="https://zoom.us/w/1?tk=x",
        keep_days=30,
        agenda="Ordre du jour",
        other_meetings=(
            OtherMeeting(
                "Autre rencontre",
                datetime(2021, 3, 1, 8, tzinfo=UTC),
                datetime(2021, 3, 1, 10, tzinfo=UTC),
            ),
        ),
        personal_url="https://example.org/me/x",
        was_start=datetime(2021, 2, 2, 8, tzinfo=UTC),
        was_end=datetime(2021, 2, 2, 10, tzinfo=UTC),
        dial_in=(DialIn("+33 1 00 00 00 00", "France"),),
        meeting_number="100 0000 0000",
        keep_until=date(2021, 4, 1),
    )


@cache
def _bare_sample() -> LetterFields:
    """What is optional left out: a template must do without it."""
    return replace(
        _sample(),
        organiser_phone=None,
        first_name="",
        last_name="",
        agenda="",
        other_meetings=(),
        personal_url=None,
        was_start=None,
        was_end=None,
        dial_in=(),
        meeting_number="",
        keep_until=None,
    )
