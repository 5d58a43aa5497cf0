"""A report says which letter did not arrive, to whom and why; anything else is refused, in no time."""

import base64
import time
from contextlib import suppress
from email import message_from_bytes
from email.message import Message

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resonance_zoom.mail import bounces
from resonance_zoom.mail.bounces import NoReport, Report, may_be_report, read
from tests.mail.reports import EXCHANGE, POSTFIX, report

ID = "<1f3a@example.org>"
LETTER = (
    f"From: contact@example.org\r\nTo: Alice@example.org\r\nSubject: Votre lien\r\n"
    f"Message-ID: {ID}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nBonjour,\r\n"
).encode()


@pytest.mark.parametrize("shape", [POSTFIX, EXCHANGE])
@pytest.mark.parametrize("whole", [True, False])
def test_the_letter_the_recipient_and_the_code_are_read_in_every_shape(
    shape: str, whole: bool
) -> None:
    assert read(report(LETTER, shape=shape, whole=whole)) == [
        Report(
            message_id=ID,
            recipients=("alice@example.org",),
            lost=True,
            status="5.1.1",
            words="550 5.1.1 <…>: Recipient address rejected: no such user",
        )
    ]


@pytest.mark.parametrize(
    ("action", "status", "lost"),
    [
        ("failed", "5.1.1", True),
        ("failed", "4.4.7", True),  # tried for days, and given up
        ("FAILED", "", True),
        ("delayed", "4.4.1", False),
        ("delayed", "5.0.0", False),  # whatever the code: it still tries
        ("", "5.2.2", True),
        ("", "4.2.2", False),
    ],
)
def test_what_is_given_up_is_lost_and_what_is_tried_again_is_not(
    action: str, status: str, lost: bool
) -> None:
    (found,) = read(report(LETTER, action=action, status=status))
    assert (found.lost, found.status) == (lost, status)


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_good_news_are_none_of_ours(action: str) -> None:
    assert read(report(LETTER, action=action, status="2.1.5")) == []


def test_a_forwarded_letter_names_both_recipients() -> None:
    raw = report(LETTER).replace(
        b"Final-Recipient: rfc822; Alice@example.org", b"Final-Recipient: rfc822; a@other.example"
    )
    (found,) = read(raw)
    assert found.recipients == ("a@other.example", "alice@example.org")


def test_headers_that_come_back_in_base64_are_read() -> None:
    raw = report(LETTER).replace(
        b"Content-Transfer-Encoding: 8bit", b"Content-Transfer-Encoding: base64"
    )
    head, _, rest = raw.partition(b"encoding: base64\n\n".replace(b"e", b"E", 1))
    body, line, end = rest.partition(b"\n--9B5E0380")
    raw = head + b"Encoding: base64\n\n" + base64.encodebytes(body) + line + end
    (found,) = read(raw)
    assert found.message_id == ID


def test_the_words_of_a_server_are_one_short_line_without_an_address() -> None:
    said = (
        "550 alice%40example.org (alice@example.org)\u202e is gone;\n see https://x.example/a "
        + "x" * 5000
    )
    raw = report(LETTER, said=said.encode().decode("latin-1"))
    (found,) = read(raw)
    assert "@" not in found.words
    assert "%40" not in found.words
    assert len(found.words) <= 300
    assert found.words.isprintable()


@pytest.mark.parametrize(
    ("changed", "to", "why"),
    [
        (b"multipart/report", b"multipart/mixed", "it is no report of a mail server"),
        (b"message/delivery-status", b"text/plain", "it is a report, but not about the delivery of a letter"),
        (b"Message-ID: <1f3a", b"X-Other: <1f3a", "it does not say of which letter it speaks"),
        (b"text/rfc822-headers", b"image/png", "it does not say of which letter it speaks"),
        (b"boundary=", b"border=", "it has no parts"),
        (b"report-type=", b"x" * 2000 + b"=", "its headers are longer than those of a report"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused_with_the_reason(changed: bytes, to: bytes, why: str) -> None:
    raw = report(LETTER)
    assert changed in raw
    with pytest.raises(NoReport) as refused:
        read(raw.replace(changed, to))
    assert refused.value.message == why


def test_a_message_that_is_too_large_is_not_read() -> None:
    with pytest.raises(NoReport, match="larger than 300 kB"):
        read(report(LETTER) + b"x" * 300_000)


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        (b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n", True),
        (b"content-type: Multipart/Report;\r\n\tREPORT-TYPE=Delivery-Status\r\n\r\n", True),
        (b"Content-Type: multipart/report; boundary=x\r\n\r\n", True),
        (b"Content-Type: multipart/report; report-type=disposition-notification\r\n\r\n", False),
        (b"Content-Type: text/plain\r\n\r\n", False),
        (b"Content-Type: multipart/report" + b";" * 100_000 + b"\r\n\r\n", False),
        (b"\xff\x00", False),
        (b"", False),
    ],
)
def test_private_mail_is_told_from_reports_by_one_header(headers: bytes, may: bool) -> None:
    assert may_be_report(headers) is may


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/report; boundary=x\n", b"--x\n", b"--x--\n", b"\n", b"\r\n\r\n",
        b"Content-Type: message/delivery-status\n", b"Content-Type: message/rfc822\n",
        b"Content-Type: text/rfc822-headers\n", b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: x-uuencode\n", b"begin 666 x\n", b"Message-ID: <a@b>\n",
        b"Content-Transfer-Encoding: quoted-printable\n", b"Final-Recipient: rfc822; a@b\n",
        b"Action: failed\n", b"Status: 5.1.1\n", b"Diagnostic-Code: smtp; \xff=?utf-8?q?=0A?=\n",
        b"Content-Type: multipart/report; boundary*=utf-8''%ff%00\n", b" folded\n", b"\x00", b"=\n",
        b"Content-Type: multipart/report; boundary*0=a; boundary*1=b\n", b"Content-Type: \xe9/\xe9;\n",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=40).map(b"".join)))  # fmt: skip
@example(report(LETTER)[:-700])
def test_whatever_lies_in_a_mailbox_is_read_or_refused(raw: bytes) -> None:
    may_be_report(raw)
    try:
        found = read(raw)
    except NoReport:
        return
    for one in found:
        assert one.message_id.startswith("<")
        assert one.recipients
        assert "@" not in one.words
        assert len(one.words) <= 300


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 1500), put=st.binary(max_size=30), cut=st.integers(0, 60))
def test_a_report_that_was_damaged_anywhere_is_read_or_refused(
    place: int, put: bytes, cut: int
) -> None:
    whole = report(LETTER, whole=True)
    with suppress(NoReport):
        read(whole[:place] + put + whole[place + cut :])


def _deep(kind: bytes) -> bytes:
    parts = b"".join(b"Content-Type: %b; boundary=%d\n\n--%d\n" % (kind, n, n) for n in range(500))
    return b"Content-Type: multipart/report; boundary=r\n\n--r\n" + parts + b"\n" * 260_000


@pytest.mark.parametrize(
    "raw",
    [
        _deep(b"multipart/mixed"),
        b"Content-Type: multipart/report; boundary=r\n\n" + b"--r\n" * 70_000,
        b'Content-Type: multipart/report; boundary="' + b";" * 290_000,
        report(LETTER).replace(b"Reporting-MTA", b"a: b\n\n" * 45_000),
        report(LETTER, said="a" * 250_000),
        report(LETTER).replace(ID.encode(), b"<" * 250_000),
    ],
    ids=["parts in parts", "many parts", "parameters", "recipients", "long words", "long id"],
)
def test_no_message_keeps_the_reader_busy(raw: bytes) -> None:
    """The library's own parser takes half a minute for the first of these."""
    began = time.process_time()
    with suppress(NoReport):
        read(raw)
    assert time.process_time() - began < 3


def test_the_reader_agrees_with_the_librarys_own_parser() -> None:
    """It cuts messages up by itself: on one that is well made it must see the same."""
    parsed = message_from_bytes(report(LETTER, shape=EXCHANGE, whole=True))
    parts = parsed.get_payload()
    assert isinstance(parts, list)
    assert all(isinstance(part, Message) for part in parts)
    ours = bounces._parts(bounces._headers(report(LETTER, shape=EXCHANGE, whole=True)))
    assert [part.get_content_type() for part in ours] == [
        part.get_content_type() for part in parts if isinstance(part, Message)
    ]
