"""What strangers call themselves is data: readable, on one line, without links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_zoom.mail.names import clean_header, clean_name, clean_text

CONTROLS = {chr(c) for c in (*range(32), *range(127, 160), 0x2028, 0x2029)}


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Camille", "Camille"),
        ("  Jean-Éric   D'Ormesson ", "Jean-Éric D'Ormesson"),
        ("Zoé\r\nBcc: all@example.org", "Zoé Bcc: all@\u2060example.\u2060org"),
        ("Zoé\u2028\u0085\x00Martin", "Zoé Martin"),
        ("\u202egnp.exe", "gnp.\u2060exe"),
        ("win at evil.example", "win at evil.\u2060example"),
        ("https://evil.example/x", "https evil.\u2060example/x"),
        ("evil\u3002example", "evil\u3002\u2060example"),
        ("evil\uff61example", "evil\uff61\u2060example"),
        ("evil\uff0eexample", "evil\uff0e\u2060example"),
        ("Zoé\ue000\U000f0000\u0378 Martin", "Zoé Martin"),
        ("M. Martin", "M. Martin"),
        ("=?UTF-8?Q?=0D=0A?=Bcc:x", "= ?UTF-8?Q?=0D=0A?=Bcc:x"),
        ("=" * 3 + "?x", "=== ?x"),
        ("\ud800Zoé", "Zoé"),
        ("Zoé 🎉", "Zoé 🎉"),
        ("אבי", "אבי"),
        ("", ""),
        ("\u2060\u200b", ""),
    ],
)
def test_a_name_is_shown_as_typed_but_for_what_could_do_harm(typed: str, written: str) -> None:
    assert clean_name(typed) == written


def test_a_name_of_ten_kilobytes_is_cut_to_80_characters() -> None:
    assert clean_name("é" * 10_000) == "é" * 80


@given(st.text(st.characters(), max_size=120))
def test_no_name_raises_or_keeps_a_control_character_or_an_encoded_word(name: str) -> None:
    for cleaned in (clean_name(name), clean_header(name)):
        assert not CONTROLS & set(cleaned)
        assert "=?" not in cleaned
        cleaned.encode("utf-8")
    assert len(clean_name(name)) <= 80
    assert clean_header(clean_header(name)) == clean_header(name)


def test_a_title_keeps_its_no_break_spaces() -> None:
    assert clean_header("Où\u00a0?") == "Où\u00a0?"


def test_a_text_keeps_its_lines_and_nothing_else_that_breaks_lines() -> None:
    assert clean_text("\r\nun\r\n\r\ndeux\u2028trois\x0b\rquatre\n") == "un\n\ndeux trois\nquatre"
