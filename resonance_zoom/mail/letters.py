"""Renders a registrant's letter: one subject, one text, one HTML, from templates that staff may edit.

A template says only what LetterFields holds; one that names anything else is refused at start.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import css_inline
from babel.dates import format_datetime
from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from resonance_zoom.errors import ResonanceError
from resonance_zoom.mail.names import clean_name

PARTS = ("subject", "txt", "html")
_ZONE_NAMES = {"Europe/Paris": "heure de Paris"}
_NBSP = "\u00a0"


class LetterTemplateError(ResonanceError):
    """A letter's template is missing, wrong, or names an unknown field."""


class LetterRefused(ResonanceError):
    """A letter that must not be sent, such as one whose join link is none of Zoom's."""


@dataclass(frozen=True, slots=True)
class OtherMeeting:
    """Another meeting that the same person is registered for; times aware."""

    title: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFields:
    """All that a letter may say. Times aware; `keep_days` counted from the last meeting."""

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


@dataclass(frozen=True, slots=True)
class RenderedLetter:
    """A letter's words: one line, plain text, a whole HTML document."""

    subject: str
    text: str
    html: str


class LetterRoom:
    """Renders letters from the first folder that has the template. Compiles each once."""

    def __init__(self, template_dirs: Sequence[Path]) -> None:
        self._text = _environment(template_dirs, autoescape=False)
        self._html = _environment(template_dirs, autoescape=True)
        self._templates: dict[str, Template] = {}

    def check(self, kinds: Iterable[str]) -> list[str]:
        """Every problem of the templates of these letters, as `file:line: reason`."""
        problems: list[str] = []
        for kind in kinds:
            try:
                self.render(_sample(kind))
            except LetterTemplateError as error:
                problems.append(error.message)
        return problems

    def render(self, fields: LetterFields) -> RenderedLetter:
        """The words of one letter. Raises LetterTemplateError and LetterRefused."""
        _refuse_foreign(fields.join_url)
        values = _values(fields)
        subject = " ".join(self._part(fields.kind, "subject", values).split(" ")).strip()
        values["subject"] = subject
        return RenderedLetter(
            subject=subject,
            text=self._part(fields.kind, "txt", values).strip() + "\n",
            html=self._part(fields.kind, "html", values),
        )

    def _part(self, kind: str, part: str, values: dict[str, object]) -> str:
        name = f"{kind}.{part}"
        try:
            template = self._templates.get(name)
            if template is None:
                template = self._templates[name] = self._compiled(name)
            return template.render(values)
        except TemplateSyntaxError as error:
            raise LetterTemplateError(
                f"{error.filename or error.name}:{error.lineno}: {error.message}"
            ) from error
        except TemplateError as error:
            raise LetterTemplateError(f"{_place(error, name)}: {error.message}") from error

    def _compiled(self, name: str) -> Template:
        return (self._html if name.endswith(".html") else self._text).get_template(name)


def _environment(template_dirs: Sequence[Path], *, autoescape: bool) -> SandboxedEnvironment:
    loader = _InlinedCss([str(folder) for folder in template_dirs])
    environment = SandboxedEnvironment(
        loader=loader, undefined=StrictUndefined, autoescape=autoescape, keep_trailing_newline=True
    )
    environment.trim_blocks = not autoescape
    return environment


class _InlinedCss(FileSystemLoader):
    """Reads templates; the HTML frame gets its styles inlined here, once and not per letter."""

    def get_source(self, environment, template):  # type: ignore[no-untyped-def]
        source, filename, fresh = super().get_source(environment, template)
        if "</style>" in source:
            source = _inlined(source)
        return source, filename, fresh


def _inlined(source: str) -> str:
    """Inline the styles of a frame without touching what Jinja will fill in."""
    kept: list[str] = []

    def hide(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"jinja{len(kept) - 1}x"

    hidden = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", hide, source, flags=re.DOTALL)
    inlined = css_inline.inline(hidden, keep_style_tags=False, load_remote_stylesheets=False)
    return re.sub(r"jinja(\d+)x", lambda found: kept[int(found[1])], inlined)


def _place(error: Exception, name: str) -> str:
    """The file and line of a template at which rendering stopped."""
    trace, place = error.__traceback__, name
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename.endswith(PARTS):
            place = f"{filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _refuse_foreign(join_url: str) -> None:
    """A link that a registrant gets must be Zoom's own (or this machine's, in a rehearsal)."""
    parts = urlsplit(join_url)
    host = parts.hostname or ""
    zooms = host == "zoom.us" or host.endswith((".zoom.us", ".zoom.com"))
    if parts.scheme != "https" or not zooms or any(c.isspace() or c in "<>\"'" for c in join_url):
        raise LetterRefused("the join link is none of Zoom's")


def _values(fields: LetterFields) -> dict[str, object]:
    values: dict[str, object] = {
        name: getattr(fields, name) for name in LetterFields.__dataclass_fields__
    }
    for name in ("first_name", "last_name"):
        values[name] = clean_name(getattr(fields, name))
    values["day"] = day(fields.start, fields.timezone)
    values["when"] = when(fields.start, fields.end, fields.timezone)
    values["subject"] = ""
    values["other_meetings"] = tuple(
        {"title": other.title, "when": when(other.start, other.end, fields.timezone)}
        for other in fields.other_meetings
    )
    return values


def day(moment: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021`, `lundi 1er mars 2021`."""
    local = moment.astimezone(timezone)
    first = "1er" if local.day == 1 else "d"
    pattern = f"EEEE '{first}' MMMM y" if first == "1er" else "EEEE d MMMM y"
    return format_datetime(local, pattern, locale="fr")


def when(start: datetime, end: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021, de 9 h 00 à 11 h 00, heure de Paris`."""
    zone = _ZONE_NAMES.get(timezone.key, f"fuseau horaire {timezone.key}")
    return f"{day(start, timezone)}, de {_hour(start, timezone)} à {_hour(end, timezone)}, {zone}"


def _hour(moment: datetime, timezone: ZoneInfo) -> str:
    local = moment.astimezone(timezone)
    return f"{local.hour}{_NBSP}h{_NBSP}{local.minute:02}"


def _sample(kind: str) -> LetterFields:
    start, end = datetime(2021, 2, 9, 8, tzinfo=UTC), datetime(2021, 2, 9, 10, tzinfo=UTC)
    return LetterFields(
        kind=kind,
        campaign_name="Campagne",
        organiser_name="Organisation",
        organiser_email="contact@example.org",
        organiser_phone="+33 2 00 00 00 00",
        title="Rencontre",
        start=start,
        end=end,
        timezone=ZoneInfo("Europe/Paris"),
        first_name="Camille",
        last_name="Martin",
        email="camille@example.org",
        join_url="https://zoom.us/w/1?tk=x",
        keep_days=30,
        agenda="Ordre du jour",
        other_meetings=(OtherMeeting("Autre", start, end),),
    )
