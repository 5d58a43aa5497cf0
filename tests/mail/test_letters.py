"""Letters say what LetterFields holds, safely, and wrong templates are named with their line."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from resonance_zoom.mail.letters import (
    LetterRefused,
    LetterRoom,
    LetterTemplateError,
    RenderedLetter,
)
from resonance_zoom.mail.templates import styled
from tests.mail.sample import FIELDS, SHIPPED, render

TXT = "{{ title }}\n{{ join_url }}\n"
HTML = '<p><a href="{{ join_url }}">{{ title }}</a></p>\n'


class Skeleton(HTMLParser):
    """The tags and attributes of a page, without its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))


def written(folder: Path, **files: str) -> LetterRoom:
    """A room with a good letter, but for the `files` given (`txt="…"`)."""
    for part, words in ({"subject": "{{ title }}", "txt": TXT, "html": HTML} | files).items():
        (folder / f"confirmation.{part}").write_text(words, encoding="utf-8")
    (folder / "_style.css").write_text("p { margin: 0 }", encoding="utf-8")
    return LetterRoom([folder])


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><a href="https://evil.example">gagnez</a>',
        "' onmouseover='alert(1)",
        "</p></td></table><h1>",
        "<!--",
        "{{7*7}}{% raw %}",
        "{0.__class__} %(x)s",
        "&lt;b&gt;",
        "https://evil.example/",
    ],
)
def test_a_name_adds_no_tag_no_attribute_and_no_link(name: str) -> None:
    plain = Skeleton(render().html)

    letter = render(first_name=name, last_name=name)

    assert Skeleton(letter.html).tags == plain.tags
    assert "49" not in letter.text
    assert "evil.example" not in letter.text
    assert "evil.example" not in letter.html


def test_a_last_name_is_as_safe_as_a_first_one_in_an_organisers_own_template(
    tmp_path: Path,
) -> None:
    room = written(tmp_path, txt=TXT + "Bonjour {{ last_name }},", subject="{{ last_name }}")
    name = "{{ 7*7 }}\r\nBcc: x@evil.example \u202e" + "Z" * 100
    letter = room.render(replace(FIELDS, kind="confirmation", last_name=name))
    assert letter.text.splitlines()[-1] == (
        f"Bonjour {{{{ 7*7 }}}} Bcc: x@\u2060evil.\u2060example {'Z' * 48},"
    )
    assert letter.subject == f"{{{{ 7*7 }}}} Bcc: x@evil.example {'Z' * 48}"


@pytest.mark.parametrize(
    "join_url",
    [
        "",
        "http://zoom.us/w/1",
        "https://evil.example/w/1",
        "https://zoom.us.evil.example/w/1",
        "https://evilzoom.us/w/1",
        "https://zoom.us@evil.example/w/1",
        "https://evil.example\\@zoom.us/w/1",
        "https://user@zoom.us/w/1",
        "https://zoom.us:99999999/w/1",
        "https://zoom.us/w/1\nhttps://evil.example",
        'https://zoom.us/w/1"><script>',
        "https://zoom.us/w/ 1",
        "javascript:alert(1)//zoom.us/",
        "http://127.0.0.1.evil.example/w/1",
        "https://[::1",
    ],
)
def test_a_letter_without_a_link_of_zooms_is_refused(join_url: str) -> None:
    with pytest.raises(LetterRefused):
        render(join_url=join_url)


@pytest.mark.parametrize(
    "join_url",
    [
        "https://zoom.us/w/1?tk=a.b-c_d",
        "https://us02web.zoom.us/j/812?pwd=a%2Fb&uname=x",
        "https://tours-metropole.zoom.us:443/w/1",
        "http://127.0.0.1:8801/w/1?tk=x",
        "https://[::1]:8801/w/1",
        "http://localhost:8801/w/1",
    ],
)
def test_a_link_of_zooms_or_of_a_rehearsal_is_taken(join_url: str) -> None:
    assert join_url in render(join_url=join_url).text


@pytest.mark.parametrize("kind", ["confirmation", "reminder-7", "reminder-1", "moved"])
def test_whoever_may_take_part_gets_no_letter_without_the_link(kind: str) -> None:
    with pytest.raises(LetterRefused):
        render(kind=kind, join_url="")


@pytest.mark.parametrize("kind", ["cancelled", "withdrawn"])
def test_who_cannot_take_part_needs_no_link(kind: str) -> None:
    assert "zoom.us" not in render(kind=kind, join_url="").text


def test_an_old_time_whose_end_is_not_known_is_said_as_it_is() -> None:
    was = datetime(2021, 2, 2, 8, tzinfo=UTC)
    both = render(kind="moved", was_start=was, was_end=was + timedelta(hours=3)).text
    neither = render(kind="moved").text

    assert "prévue le mardi 2 février 2021, de 9\u00a0h\u00a000 à 12\u00a0h\u00a000, heure" in both
    assert "prévue" not in neither


@pytest.mark.parametrize("part", ["text", "html"])
def test_the_organisers_words_are_cleaned_and_set_in_french(part: str) -> None:
    words = "L'été\u2028 : ici"
    letter = render(title=words, agenda=words, campaign_name=words, organiser_name=words)
    said = getattr(letter, part)

    assert said.count("L’été\u00a0: ici") >= 4
    assert "\u2028" not in said
    assert "L'été" not in said
    assert "L&#39;été" not in said


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/me/x",
        "http://127.0.0.1.evil.example/me/x",
        "http://127.999.0.1/me/x",
        "http://localhost.evil.example/me/x",
        "http://127.0.0.1@evil.example/me/x",
        "ftp://localhost/me/x",
        "javascript:alert(1)",
        "https:///me/x",
        "/me/x",
        "https://[::1/me/x",
        "",
    ],
)
def test_a_personal_link_that_others_could_read_is_not_sent(url: str) -> None:
    with pytest.raises(LetterRefused, match="personal page") as caught:
        render(personal_url=url)

    assert "PUBLIC_URL" in caught.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/me/x",
        "https://résonance.example:8443/base/me/x",
        "http://localhost:8000/me/x",
        "http://127.0.0.1:8000/me/x",
        "http://127.9.0.1/me/x",
        "http://[::1]:8000/me/x",
    ],
)
def test_a_personal_link_over_https_or_on_this_machine_is_sent(url: str) -> None:
    assert f"{url}\n" in render(personal_url=url).text


def test_templates_beside_the_campaign_file_win_over_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "reminder-7.subject").write_text("À bientôt : {{ day }}", encoding="utf-8")
    room = LetterRoom([tmp_path / "none", tmp_path, SHIPPED])

    assert room.check(["confirmation", "reminder-7"]) == []
    assert render_with(room, kind="reminder-7").subject == "À bientôt : mardi 9 février 2021"


def test_an_organisers_own_letter_may_build_on_the_shipped_frame(tmp_path: Path) -> None:
    (tmp_path / "moved.subject").write_text("Nouvelle date", encoding="utf-8")
    for part in ("txt", "html"):
        (tmp_path / f"moved.{part}").write_text(
            f'{{% extends "_frame.{part}" %}}{{% block announce %}}Déplacée !{{% endblock %}}',
            encoding="utf-8",
        )
    room = LetterRoom([tmp_path, SHIPPED])

    assert room.check(["moved"]) == []
    assert "Déplacée !" in render_with(room, kind="moved").text


def test_a_subject_is_one_line(tmp_path: Path) -> None:
    room = written(tmp_path, subject="\n  Rappel\u00a0:\n{{ title }}\n")

    assert render_with(room, title="a\r\nBcc: b").subject == "Rappel\u00a0: a Bcc: b"


def test_a_template_is_read_once(tmp_path: Path) -> None:
    """What is being edited reaches nobody before it was checked at the next start."""
    room = written(tmp_path)
    before = render_with(room)
    (tmp_path / "confirmation.txt").write_text("half a sente", encoding="utf-8")

    assert render_with(room) == before


def render_with(room: LetterRoom, **changes: Any) -> RenderedLetter:
    return room.render(replace(FIELDS, **changes))


@pytest.mark.parametrize(
    ("part", "words", "problem"),
    [
        ("txt", TXT + "{{ titel }}", "confirmation.txt:3: 'titel' is no field of a letter"),
        (
            "html",
            HTML + "\n{% if agenda == 'never' %}{{ agneda }}{% endif %}",
            "confirmation.html:3: 'agneda' is no field of a letter",
        ),
        (
            "html",
            "<p\nclass='a'>\n{{ other_meetings[0].titel }}{{ join_url }}</p>",
            "'dict object' has no attribute 'titel'",
        ),
        ("txt", TXT + "{% if %}", "confirmation.txt:3: Expected an expression"),
        ("txt", TXT + "\n{{ join_url", "confirmation.txt:4: unexpected end of template"),
        ("txt", TXT + "{{ title + 1 }}", "confirmation.txt:3: can only concatenate str"),
        ("txt", TXT + "{{ ''.__class__ }}", "confirmation.txt:3: access to attribute '__class__'"),
        ("txt", TXT + "{{ 1 / 0 }}", "confirmation.txt:3: division by zero"),
        ("txt", '{% extends "_none.txt" %}', "there is no template '_none.txt'"),
        ("txt", '{% extends "../secret" %}', "there is no template '../secret'"),
        ("txt", "{{ title }}", "confirmation.txt:1: does not say {{ join_url }}"),
        ("html", "<p>{{ title }}</p>", "confirmation.html:1: does not say {{ join_url }}"),
        ("subject", " {# nothing #} ", "confirmation.subject:1: says nothing"),
        (
            "txt",
            "{{ organiser_phone.strip() }}" + TXT,
            "confirmation.txt:1: 'None' has no attribute 'strip'",
        ),
    ],
)
def test_a_wrong_template_is_named_with_its_line(
    tmp_path: Path, part: str, words: str, problem: str
) -> None:
    room = written(tmp_path, **{part: words})

    [found] = room.check(["confirmation"])

    assert problem in found


def test_a_missing_template_is_named_with_the_folders_searched(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "confirmation.html").unlink()

    room = LetterRoom([tmp_path, tmp_path / "letters"])

    assert room.check(["confirmation"]) == [
        f"confirmation.html:1: missing; it must lie in {tmp_path} or {tmp_path}/letters"
    ]


def test_every_unknown_name_is_told_once_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "_frame.txt").write_text(TXT + "\n{{ one }}{% block more %}{% endblock %}")
    extends = '{% extends "_frame.txt" %}\n{% block more %}{{ two }}{% endblock %}'
    room = written(tmp_path, txt=extends, html=HTML + "{{ three }}")

    assert room.check(["confirmation", "confirmation"]) == [
        f"{tmp_path}/confirmation.txt:2: 'two' is no field of a letter",
        f"{tmp_path}/_frame.txt:4: 'one' is no field of a letter",
        f"{tmp_path}/confirmation.html:2: 'three' is no field of a letter",
    ]


def test_a_macro_that_hides_a_field_is_named(tmp_path: Path) -> None:
    """Or the letter would read `Numéro de la réunion : <Macro 'meeting_number'>`."""
    (tmp_path / "_words.txt").write_text("\n{% macro meeting_number() %}n° {% endmacro %}")
    room = written(tmp_path, txt='{% import "_words.txt" as words with context %}' + TXT)

    assert room.check(["confirmation"]) == [
        f"{tmp_path}/_words.txt:2: 'meeting_number' is a field of a letter already;"
        " give this macro another name"
    ]


@pytest.mark.parametrize("field", ["dial_in[0]", "personal_url", "was", "keep_until"])
def test_a_fault_in_what_only_some_letters_say_is_found_at_start(
    tmp_path: Path, field: str
) -> None:
    room = written(tmp_path, txt=TXT + "{% if dial_in %}{{ " + field + ".none }}{% endif %}")

    [found] = room.check(["confirmation"])

    assert "has no attribute 'none'" in found


def test_a_template_that_is_no_text_is_named(tmp_path: Path) -> None:
    room = written(tmp_path)
    (tmp_path / "confirmation.txt").write_bytes(b"\xff\xfe{{ join_url }}")

    assert room.check(["confirmation"]) == ["confirmation.txt:1: is not UTF-8 text"]


def test_a_fault_at_sending_time_names_its_line(tmp_path: Path) -> None:
    room = written(tmp_path, txt=TXT + "{{ 1 / (keep_days - 30) }}")

    with pytest.raises(LetterTemplateError, match=r"confirmation\.txt:3: division by zero"):
        render_with(room)


def test_styles_are_written_into_tags_and_jinja_stays_as_it_was() -> None:
    source = (
        '<body style="margin: 0">\n'
        '{% for row in rows %}\n<p class="a">{{ "<b>" if row > 1 }}</p>\n{% endfor %}\n'
        '<table><tr><td>a</td></tr>{# <p> #}{% if x %}<tr><td><a href="{{ url }}">b</a></td></tr>'
        "{% endif %}</table>\n</body>"
    )

    page = styled(source, ".a { color: red }")

    assert '<p class="a" style="color: red;">{{ "<b>" if row > 1 }}</p>' in page
    assert '{# <p> #}{% if x %}<tr><td><a href="{{ url }}">b</a></td></tr>{% endif %}' in page
    assert page.count("\n") == source.count("\n")
