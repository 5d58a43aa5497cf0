"""No letter and no password crosses a network in clear, whoever stands in between."""

import socket
import ssl
from typing import Any

import pytest

from resonance_zoom.errors import MailUnreachable
from resonance_zoom.mail.postman import SmtpPostman
from resonance_zoom.mail.smtp import needs_starttls
from tests.mail.peer import CLOSE, EHLO, GO, GREETING, OK, SELF_SIGNED, TLS, Peer

OFFER = "250-mail.example.org\r\n250 STARTTLS"
BYE = "221 bye"


@pytest.fixture(autouse=True)
def mail_example_org_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not loopback leads to this machine, so that the rules for strangers hold."""
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "mail.example.org" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(SELF_SIGNED))


def test_only_loopback_may_be_spoken_to_in_clear() -> None:
    assert [
        host
        for host in (
            "localhost",
            "::1",
            "127.0.0.1",
            "127.1.2.3",
            "127.255.255.254",
            "LOCALHOST",
            "127.evil.example",
            "127.0.0.1.evil.example",
            "127.999.0.1",
            "127.0.0",
            "127.0.0.1 ",
            "128.0.0.1",
            "::2",
            "0.0.0.0",
            "",
            "localhost.",
            "localhost.example",
            "10.0.0.1",
            "mail.example.org",
        )
        if not needs_starttls(host)
    ] == ["localhost", "::1", "127.0.0.1", "127.1.2.3", "127.255.255.254", "LOCALHOST"]


def test_a_server_that_offers_no_starttls_hears_neither_password_nor_letter() -> None:
    with Peer([GREETING, "250-mail\r\n250 AUTH PLAIN", BYE]) as peer:
        postman = SmtpPostman(f"smtp://user:secret@mail.example.org:{peer.port}", timeout=5)
        with pytest.raises(MailUnreachable, match="offers no STARTTLS") as caught:
            postman.ready()

    assert caught.value.permanent
    assert [line[:4] for line in peer.heard[0]] == ["EHLO"]


@pytest.mark.parametrize(
    ("answer", "permanent"), [("454 4.7.0 not now", False), ("502 5.5.1 no", True), (CLOSE, False)]
)
def test_a_refused_starttls_is_no_reason_to_speak_in_clear(answer: str, permanent: bool) -> None:
    with (
        Peer([GREETING, OFFER, answer, BYE]) as peer,
        pytest.raises(MailUnreachable, match="no secure connection") as caught,
    ):
        SmtpPostman(f"smtp://mail.example.org:{peer.port}", timeout=5).ready()

    assert caught.value.permanent is permanent
    assert [line[:8] for line in peer.heard[0][1:]] == ["STARTTLS"]


@pytest.mark.parametrize(
    ("fault", "permanent"),
    [
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), False),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed"), False),
        (ssl.SSLError(1, "wrong version number"), True),
    ],
)
def test_a_handshake_that_was_cut_off_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, fault: ssl.SSLError, permanent: bool
) -> None:
    def cut_off(*_arguments: Any, **_more: Any) -> None:
        raise fault

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", cut_off)
    with (
        Peer([GREETING, OFFER, "220 go"]) as peer,
        pytest.raises(MailUnreachable, match="no secure connection") as caught,
    ):
        SmtpPostman(f"smtp://mail.example.org:{peer.port}", timeout=5).ready()

    assert caught.value.permanent is permanent


@pytest.mark.parametrize(
    ("scheme", "script"),
    [("smtp", [GREETING, OFFER, ("220 go", TLS), EHLO]), ("smtps", [(TLS, GREETING), EHLO])],
)
def test_a_certificate_that_nobody_vouches_for_is_refused(scheme: str, script: list[str]) -> None:
    with Peer(script) as peer, pytest.raises(MailUnreachable, match="certificate") as caught:
        SmtpPostman(f"{scheme}://mail.example.org:{peer.port}", timeout=5).ready()

    assert caught.value.permanent
    assert "certificate" in caught.value.remedy


def test_a_certificate_for_another_name_is_refused() -> None:
    with (
        Peer([(TLS, GREETING), EHLO]) as peer,
        pytest.raises(MailUnreachable, match="certificate") as caught,
    ):
        SmtpPostman(f"smtps://127.0.0.1:{peer.port}", timeout=5, tls=trusting()).ready()

    assert caught.value.permanent


@pytest.mark.parametrize(
    ("scheme", "before"),
    [("smtp", [GREETING, OFFER, ("220 go", TLS), EHLO]), ("smtps", [(TLS, GREETING), EHLO])],
)
def test_a_letter_goes_over_a_connection_that_is_vouched_for(
    scheme: str, before: list[str]
) -> None:
    with Peer([*before, OK, OK, GO, "250 queued", BYE]) as peer:
        url = f"{scheme}://mail.example.org:{peer.port}"
        postman = SmtpPostman(url, timeout=5, tls=trusting())
        accepted = postman.send(
            sender="letters@example.org", recipient="camille@example.net", message=b"a: b\r\n\r\n"
        )
        postman.close()

    assert accepted.reply == "250 queued"
    assert len(peer.letters) == 1
