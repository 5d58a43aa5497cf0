"""Letters of a wave are filled into one frame, and read as if each had been rendered by itself."""

from collections import Counter
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonance_zoom.mail.frames import FilledLetter, Frame, RenderedLetter
from resonance_zoom.mail.letters import LetterRoom, LetterTemplateError
from resonance_zoom.mail.message import build_message
from tests.mail.sample import DATE, FIELDS, JOIN_URL, KINDS, MESSAGE_ID, SHIPPED
from tests.mail.test_letters import HTML, TXT, written
from tests.mail.test_message import HOSTILE


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> LetterRoom:
    """A room that renders every letter by itself."""
    room = LetterRoom([SHIPPED])
    monkeypatch.setattr(room, "_frame", lambda *_: None)
    return room


SHARED = LetterRoom([SHIPPED])
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=120), st.just(""))
LINKS = st.text("abcXYZ0129.-_?=&%", max_size=250).map(lambda tail: JOIN_URL + tail)


def read(letter: Any, fields: Any) -> list[str]:
    """The text and the HTML as `email`'s own parser reads them."""
    raw = build_message(
        letter, fields=fields, sender="a@example.org", message_id=MESSAGE_ID, date=DATE,
        calendar=b"BEGIN:VCALENDAR",
    )  # fmt: skip
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parts = [*message_from_bytes(raw, policy=default).walk()]
    assert [part.defects for part in parts] == [[]] * 5
    bodies = [part for part in parts if part.get_content_maintype() == "text"][:2]
    assert all(len(line) <= 76 for body in bodies for line in body.get_payload().splitlines())
    return [body.get_content() for body in bodies]


@given(kind=st.sampled_from(KINDS), first=NAMES, last=NAMES, link=LINKS, page=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_filled_letter_reads_as_the_rendered_one(
    kind: str, first: str, last: str, link: str, page: bool
) -> None:
    fields = replace(
        FIELDS, kind=kind, first_name=first, last_name=last, join_url=link,
        email="o'neil+x@example.org",
        personal_url="https://example.org/me/" + "eyJh." * 40 if page else None,
    )  # fmt: skip
    own = LetterRoom([SHIPPED])
    own._frame = lambda *_: None  # type: ignore[method-assign]
    filled, rendered = SHARED.render(fields), own.render(fields)
    assert isinstance(filled, FilledLetter)
    assert isinstance(rendered, RenderedLetter)
    assert (filled.subject, filled.text, filled.html) == (
        rendered.subject,
        rendered.text,
        rendered.html,
    )
    assert read(filled, fields) == read(rendered, fields)


def test_a_thousand_letters_of_a_wave_are_rendered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, rendered = LetterRoom([SHIPPED]), Counter[str]()
    plain = room._templates.render

    def count(name: str, values: Any) -> str:
        rendered[name] += 1
        return plain(name, values)

    monkeypatch.setattr(room._templates, "render", count)
    texts = {
        room.render(replace(FIELDS, first_name=f"A{n}", join_url=f"{JOIN_URL}{n}")).text
        for n in range(1000)
    }
    assert len(texts) == 1000
    assert rendered["confirmation.html"] <= 5  # one with marks, and people to compare it by


def test_a_letter_about_another_meeting_has_a_frame_of_its_own() -> None:
    assert "Les vélos" not in SHARED.render(FIELDS).text
    assert "Les vélos" in SHARED.render(replace(FIELDS, title="Les vélos")).text
    assert "Les vélos" not in SHARED.render(FIELDS).html


def test_frames_do_not_gather_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.mail.letters.MOST_FRAMES", 3)
    room = LetterRoom([SHIPPED])
    for number in range(8):
        room.render(replace(FIELDS, title=f"Rencontre {number}"))
    assert len(room._frames) <= 3


@pytest.mark.parametrize(
    "words",
    [
        "{{ first_name|upper }}",
        "{{ first_name|length }}",
        "{{ first_name[:1] }}",
        "{{ first_name == 'Ève' }}",
        "{{ 'v' in first_name }}",
        "{% if first_name|length > 8 %}long{% endif %}",
        "{% if email.endswith('example.net') %}net{% endif %}",
        "{{ first_name.upper() }}",
        "{{ first_name|truncate(2, true, '…', 0) }}",
        "{{ '%-20s|'|format(first_name) }}",
        "{{ (' ' ~ first_name)|upper }}",
        "{% filter upper %}{{ first_name }}{% endfilter %}",
        "{% set x %}{{ last_name }}{% endset %}{{ x|length }}",
        "{% for c in first_name %}{{ c }}-{% endfor %}",
        "{{ {'Ève': 'madame'}.get(first_name, 'monsieur') }}",
        "{{ first_name * 2 }}",
        "{{ first_name|replace('è', 'e') }}",
        "{{ first_name|urlencode }}",
        "{{ first_name|tojson }}",
        "{{ [last_name, first_name]|sort|join(' ') }}",
    ],
)
@pytest.mark.parametrize("part", ["txt", "html"])
def test_a_template_may_do_with_a_name_what_it_likes(tmp_path: Path, part: str, words: str) -> None:
    whole = {"txt": TXT, "html": HTML}[part] + words
    room, alone = written(tmp_path, **{part: whole}), LetterRoom([tmp_path])
    alone._frame = lambda *_: None  # type: ignore[method-assign]
    for first in ("Ève", "Maximilienne", "<b>", ""):
        fields = replace(FIELDS, first_name=first, last_name="Zola")
        mine, own = room.render(fields), alone.render(fields)
        assert (mine.text, mine.html) == (own.text, own.html)


def test_a_subject_may_name_a_person(tmp_path: Path) -> None:
    room = written(tmp_path, subject="{{ first_name }}, votre lien")
    assert room.render(replace(FIELDS, first_name="Ève")).subject == "Ève, votre lien"
    assert room.render(replace(FIELDS, first_name="Bruno")).subject == "Bruno, votre lien"


def test_a_template_that_fails_for_one_person_fails_for_that_one_alone(tmp_path: Path) -> None:
    room = written(tmp_path, txt=TXT + "{{ 6 / (first_name|length - 3) }}")
    assert room.render(replace(FIELDS, first_name="Bruno")).text.endswith("3.0\n")
    with pytest.raises(LetterTemplateError, match=r"confirmation\.txt:3: division by zero"):
        room.render(replace(FIELDS, first_name="Ève"))


def test_a_letter_that_is_mostly_not_latin_is_rendered_by_itself(tmp_path: Path) -> None:
    room = written(tmp_path, txt="Приглашение на встречу по совместной работе {{ join_url }}\n" * 9)
    letter = room.render(FIELDS)
    assert isinstance(letter, RenderedLetter)
    assert read(letter, FIELDS)[0].count(JOIN_URL) == 9


def test_marks_in_a_template_are_not_taken_for_ours(tmp_path: Path) -> None:
    room = written(tmp_path, txt=TXT + "\ue000email\ue001")
    assert room.render(FIELDS).text.endswith("\ue000email\ue001\n")


def test_the_shipped_letters_all_have_frames() -> None:
    for kind in (*KINDS, "moved", "cancelled", "withdrawn"):
        changes: dict[str, Any] = {"kind": kind}
        if kind in {"cancelled", "withdrawn"}:
            changes["join_url"] = ""
        letter = SHARED.render(replace(FIELDS, **changes))
        assert isinstance(letter, FilledLetter)
        assert isinstance(letter.frame, Frame)
