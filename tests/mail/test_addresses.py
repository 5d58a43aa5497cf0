"""A letter has one reader: the address is a bare one, or nothing is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_zoom.errors import MailRefused, MailUnreachable
from resonance_zoom.mail.addresses import plain_address, sender_address


@pytest.mark.parametrize(
    ("email", "on_the_wire"),
    [
        ("camille@example.net", "camille@example.net"),
        ("Camille.Martin+zoom@Example.NET", "Camille.Martin+zoom@Example.NET"),
        ("o'brien@example.net", "o'brien@example.net"),
        ("zoe@théâtre.example", "zoe@xn--thtre-4qa2c.example"),
        ("root@localhost", "root@localhost"),
        (f"{'a' * 64}@{'bcdefgh.' * 22}{'b' * 5}.example",) * 2,
    ],
)
def test_a_bare_address_is_taken(email: str, on_the_wire: str) -> None:
    assert plain_address(email) == on_the_wire


@pytest.mark.parametrize(
    "email",
    [
        "",
        "camille",
        "@example.net",
        "camille@",
        "Jean <evil@example.net>, <b@example.net>",
        "a@example.net,b@example.net",
        "a@example.net;b@example.net",
        "a%b@example.net",
        "b!a@example.net",
        '"a b"@example.net',
        "a(comment)@example.net",
        "a@b@example.net",
        "a@[127.0.0.1]",
        "a..b@example.net",
        ".a@example.net",
        "a@example..net",
        "a@-example.net",
        "a@example.net\r\nRCPT TO:<b@example.net>",
        "a@example.net\n",
        "a b@example.net",
        "zoé@example.net",
        "a@straße.example",
        "a@ab\u200dc.example",
        "a@ab\u200cc.example",
        f"{'a' * 64}@{'bcdefgh.' * 22}{'b' * 6}.example",
        "a@evil.example\uff0fx.example",
        "a" * 65 + "@example.net",
        "a@" + "b" * 64 + ".example",
        "a@" + "bcdefgh." * 32 + "example",
        "\ud800@example.net",
        "a@\ud800.example",
    ],
)
def test_anything_but_a_bare_address_is_refused(email: str) -> None:
    with pytest.raises(MailRefused):
        plain_address(email)


@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=40))
def test_what_is_taken_is_one_ascii_address(local: str, domain: str) -> None:
    try:
        address = plain_address(f"{local}@{domain}")
    except MailRefused:
        return
    assert address.isascii()
    assert address.count("@") == 1
    assert not set(address) & set(' \t\r\n<>()[],;:\\"%!')


def test_a_bad_address_of_ours_holds_letters_back_and_fails_none() -> None:
    with pytest.raises(MailUnreachable, match="Mission <a@example.org>") as caught:
        sender_address("Mission <a@example.org>")

    assert caught.value.permanent
    assert "MAIL_FROM" in caught.value.remedy
