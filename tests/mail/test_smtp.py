"""Letters reach a real mail server, and each of its answers has one meaning."""

import base64
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resonance_zoom.errors import MailDeferred, MailInDoubt, MailRefused, MailUnreachable
from resonance_zoom.mail.postman import Accepted, MaildirPostman, SmtpPostman, check_login
from resonance_zoom.mail.postman import make_postman as made
from resonance_zoom.mail.smtp import stuffed
from tests.mail.peer import CLOSE, EHLO, GO, GREETING, OK, RESET, SILENCE, Peer
from tests.mail.sample import built
from tests.mail_server import MailServer

SENDER = "letters@example.org"
CAMILLE = "camille@example.net"
LETTER = b"Subject: a\r\n\r\nBonjour\r\n"
QUEUED = "250 2.0.0 Ok: queued as 4F2"
BYE = "221 bye"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def postman(mail_server: MailServer) -> Iterator[SmtpPostman]:
    made = SmtpPostman(mail_server.url, timeout=5)
    yield made
    made.close()


def send(postman: SmtpPostman, message: bytes = LETTER, recipient: str = CAMILLE) -> Accepted:
    return postman.send(sender=SENDER, recipient=recipient, message=message)


class TestARealServer:
    def test_a_letter_arrives_as_it_was_built(
        self, mail_server: MailServer, postman: SmtpPostman
    ) -> None:
        accepted = send(postman, built())

        assert accepted == Accepted("250 OK: queued as 1")
        [kept] = mail_server.kept
        assert (kept.sender, kept.recipients) == (SENDER, [CAMILLE])
        assert kept.raw == built()

    def test_leading_dots_and_lone_line_ends_arrive_as_lines(
        self, mail_server: MailServer, postman: SmtpPostman
    ) -> None:
        send(postman, b"Subject: a\r\n\r\n.\r\n..b\n.\nMAIL FROM:<x@y>\r.\rend")

        assert mail_server.kept[0].raw == (
            b"Subject: a\r\n\r\n.\r\n..b\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\nend\r\n"
        )

    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
    def test_a_4xx_at_any_verb_is_for_later_and_the_next_letter_goes(
        self, mail_server: MailServer, postman: SmtpPostman, verb: str
    ) -> None:
        mail_server.answers[verb] = ["451 4.7.1 greylisted"]

        with pytest.raises(MailDeferred, match=r"451 4\.7\.1 greylisted") as caught:
            send(postman)

        assert caught.value.code == 451
        assert mail_server.kept == []
        assert send(postman).reply.startswith("250")

    @pytest.mark.parametrize("verb", ["RCPT", "DATA"])
    def test_a_5xx_about_the_letter_is_for_ever_and_the_next_letter_goes(
        self, mail_server: MailServer, postman: SmtpPostman, verb: str
    ) -> None:
        mail_server.answers[verb] = ["550 5.1.1 no such user"]

        with pytest.raises(MailRefused, match=r"550 5\.1\.1 no such user") as caught:
            send(postman)

        assert caught.value.code == 550
        assert send(postman, recipient="next@example.net").reply.startswith("250")
        assert [kept.recipients for kept in mail_server.kept] == [["next@example.net"]]

    def test_a_5xx_about_the_sender_holds_every_letter_back_and_fails_none(
        self, mail_server: MailServer, postman: SmtpPostman
    ) -> None:
        mail_server.answers["MAIL"] = ["553 5.7.1 not yours"]

        with pytest.raises(MailUnreachable, match=r"553 5\.7\.1 not yours") as caught:
            send(postman)

        assert caught.value.permanent
        assert "MAIL_FROM" in caught.value.remedy

    @pytest.mark.parametrize(
        "recipient",
        [
            "a@example.net, b@example.net",
            "a@example.net>\r\nRCPT TO:<b@example.net",
            "a%b@example.net",
            "a@example.net> NOTIFY=SUCCESS",
        ],
    )
    def test_no_byte_is_sent_for_an_address_that_is_none(self, recipient: str) -> None:
        with Peer([GREETING, EHLO, OK, OK, GO, QUEUED]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises(MailRefused, match="address"):
                send(postman, recipient=recipient)
            postman.close()

        assert peer.heard == []

    def test_check_login_repeats_what_the_server_says(self, mail_server: MailServer) -> None:
        assert re.match(r"250 \S", check_login(mail_server.url))


class TestOneConnection:
    def test_serves_several_letters(self) -> None:
        script = [GREETING, EHLO, *[OK, OK, GO, QUEUED] * 2, BYE]
        with Peer(script) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            send(postman)
            send(postman)
            postman.close()

        assert [line.split(":")[0] for line in peer.heard[0][1:]] == [
            "MAIL FROM",
            "RCPT TO",
            "DATA",
            "MAIL FROM",
            "RCPT TO",
            "DATA",
            "QUIT",
        ]
        assert peer.heard[0][1:3] == [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{CAMILLE}>"]
        assert peer.letters == [LETTER + b".\r\n"] * 2

    @pytest.mark.parametrize("end", [CLOSE, RESET, "421 4.4.2 idle too long", "451 too many"])
    def test_that_died_while_it_was_kept_is_opened_again_by_itself(self, end: str) -> None:
        first = [GREETING, EHLO, OK, OK, GO, QUEUED, (end, CLOSE)]
        second = [GREETING, EHLO, OK, OK, GO, "250 again", BYE]
        with Peer(first, second) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            send(postman)

            assert send(postman) == Accepted("250 again")
            postman.close()

        assert len(peer.letters) == 2

    def test_that_dies_at_once_twice_is_not_opened_a_third_time(self) -> None:
        first = [GREETING, EHLO, OK, OK, GO, QUEUED, CLOSE]
        with Peer(first, [GREETING, EHLO, CLOSE], [GREETING, EHLO]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            send(postman)

            with pytest.raises(MailDeferred):
                send(postman)

        assert len(peer.heard) == 2

    def test_that_was_idle_is_asked_whether_it_lives(self) -> None:
        now = [0.0]
        first = [GREETING, EHLO, OK, OK, GO, QUEUED, CLOSE]
        with Peer(first, [GREETING, EHLO, OK, BYE]) as peer:
            postman = SmtpPostman(peer.url, timeout=5, monotonic=lambda: now[0])
            send(postman)
            postman.ready()
            now[0] = 6.0
            postman.ready()
            now[0] = 12.0
            postman.ready()
            postman.close()

        assert [lines[1:] for lines in peer.heard] == [
            [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{CAMILLE}>", "DATA", "NOOP"],
            ["NOOP", "QUIT"],
        ]

    def test_carries_fifty_letters_and_no_more(self) -> None:
        """Relays count the letters of a session: https://github.com/codefog/contao-events_subscriptions/issues/57"""
        fifty = [GREETING, EHLO, *[OK, OK, GO, QUEUED] * 50, BYE]
        with Peer(fifty, [GREETING, EHLO, OK, OK, GO, QUEUED, BYE]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            for _ in range(51):
                send(postman)
            postman.close()

        assert [len(lines) for lines in peer.heard] == [152, 5]

    def test_is_as_impatient_with_the_second_letter_as_with_the_first(self) -> None:
        """The patience is for the answer to a final dot only."""
        script = [GREETING, EHLO, OK, OK, GO, QUEUED, OK, SILENCE]
        with Peer(script) as peer:
            postman = SmtpPostman(peer.url, timeout=0.2, patience=30)
            send(postman)
            begun = time.monotonic()
            with pytest.raises(MailDeferred, match="timed out"):
                send(postman)

        assert time.monotonic() - begun < 10

    def test_is_hung_up_soon_when_the_server_does_not_say_goodbye(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("resonance_zoom.mail.smtp.GOODBYE_SECONDS", 0.1)
        with Peer([GREETING, EHLO, SILENCE]) as peer:
            postman = SmtpPostman(peer.url, timeout=30)
            postman.ready()
            begun = time.monotonic()
            postman.close()

        assert time.monotonic() - begun < 3  # the server waits for 5

    def test_starts_afresh_after_a_recipient_was_refused(self) -> None:
        script = [GREETING, EHLO, OK, "550 no", OK, OK, OK, GO, QUEUED, BYE]
        with Peer(script) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises(MailRefused):
                send(postman)
            send(postman)
            postman.close()

        assert peer.heard[0][3] == "RSET"


class TestTheWayToTheServer:
    def test_a_port_where_nobody_listens_is_unreachable_for_now(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]

        with pytest.raises(MailUnreachable, match="refused") as caught:
            SmtpPostman(f"smtp://127.0.0.1:{port}").ready()

        assert not caught.value.permanent
        assert "SMTP_URL" in caught.value.remedy

    def test_an_unknown_host_is_unreachable_for_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_arguments: object, **_more: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)

        with pytest.raises(MailUnreachable, match="no such host") as caught:
            SmtpPostman("smtp://mail.example.org").ready()

        assert not caught.value.permanent

    @pytest.mark.parametrize(
        ("script", "code", "permanent"),
        [
            (["421 4.3.2 too busy"], 421, False),
            (["554 5.7.1 you are on a list"], 554, True),
            (["SSH-2.0-OpenSSH_9.2"], 0, False),
            ([CLOSE], 0, False),
            ([RESET], 0, False),
            ([GREETING, CLOSE], 0, False),
            ([GREETING, "421 closing", "421 closing"], 421, False),
            ([GREETING, "550 go away", "550 go away"], 550, True),
        ],
    )
    def test_a_greeting_that_fails_is_unreachable(
        self, script: list[str], code: int, permanent: bool
    ) -> None:
        with Peer(script) as peer, pytest.raises(MailUnreachable) as caught:
            SmtpPostman(peer.url, timeout=5).ready()

        assert (caught.value.code, caught.value.permanent) == (code, permanent)

    @pytest.mark.parametrize(
        ("url", "port"),
        [
            ("smtp://mail.example.org", 587),
            ("smtps://mail.example.org", 465),
            ("smtp://mail.example.org:25", 25),
        ],
    )
    def test_the_port_is_the_schemes_own_unless_one_is_given(
        self, monkeypatch: pytest.MonkeyPatch, url: str, port: int
    ) -> None:
        asked: list[object] = []

        def unknown(_host: object, port: object, *_more: object, **_named: object) -> None:
            asked.append(port)
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(MailUnreachable, match=f"mail.example.org:{port}"):
            SmtpPostman(url).ready()

        assert asked == [port]

    def test_what_no_mail_server_says_is_repeated_in_part(self) -> None:
        with Peer(["SSH-2.0-" + "x" * 400]) as peer, pytest.raises(MailUnreachable) as caught:
            SmtpPostman(peer.url, timeout=5).ready()

        assert "does not speak SMTP" in caught.value.message
        assert 40 < caught.value.message.count("x") < 80

    def test_a_server_that_says_nothing_is_given_up_after_the_timeout(self) -> None:
        with Peer([SILENCE]) as peer, pytest.raises(MailUnreachable, match="timed out"):
            SmtpPostman(peer.url, timeout=0.1).ready()

    def test_user_and_password_are_percent_decoded(self) -> None:
        script = [GREETING, "250-mail\r\n250 AUTH PLAIN", "235 2.7.0 welcome", BYE]
        with Peer(script) as peer:
            url = f"smtp://camille%40example.org:p%3Ass%2Fw%25rd@127.0.0.1:{peer.port}"

            assert check_login(url) == "235 2.7.0 welcome"

        verb, _, token = peer.heard[0][1].rpartition(" ")
        assert verb == "AUTH PLAIN"
        assert base64.b64decode(token) == b"\0camille@example.org\0p:ss/w%rd"

    @pytest.mark.parametrize(
        ("ehlo", "answer", "code", "permanent"),
        [
            ("250-mail\r\n250 AUTH PLAIN", "535 5.7.8 bad password", 535, True),
            ("250-mail\r\n250 AUTH PLAIN", "454 4.7.0 try later", 454, False),
            ("250-mail\r\n250 AUTH PLAIN", CLOSE, 0, False),
            ("250 mail", BYE, 0, True),
        ],
    )
    def test_a_refused_login_waits_for_a_person(
        self, ehlo: str, answer: str, code: int, permanent: bool
    ) -> None:
        with (
            Peer([GREETING, ehlo, answer, BYE]) as peer,
            pytest.raises(MailUnreachable, match="login") as caught,
        ):
            check_login(f"smtp://camille:secret-word@127.0.0.1:{peer.port}")

        assert (caught.value.code, caught.value.permanent) == (code, permanent)
        assert "secret-word" not in f"{caught.value} {caught.value.remedy}"

    @pytest.mark.parametrize(
        ("ehlo", "told"),
        [
            ("250 mail", "no login at all"),
            ("250-mail\r\n250 AUTH", "no login at all"),
            ("250-mail\r\n250 AUTH XOAUTH2 GSSAPI", "only XOAUTH2 GSSAPI"),
        ],
    )
    def test_a_server_without_a_login_of_ours_is_told_apart_from_a_wrong_password(
        self, ehlo: str, told: str
    ) -> None:
        with (
            Peer([GREETING, ehlo, BYE]) as peer,
            pytest.raises(MailUnreachable) as caught,
        ):
            check_login(f"smtp://camille:secret-word@127.0.0.1:{peer.port}")

        assert caught.value.message == (
            f"the mail server 127.0.0.1:{peer.port} offers {told}, and SMTP_URL names a user"
        )
        assert caught.value.remedy == (
            "Use the port where one logs in (smtp://…:587 or smtps://…:465); or, if this server"
            " wants no login, take USER:PASSWORD@ out of SMTP_URL."
        )
        assert caught.value.permanent
        assert peer.heard[0][1:] == []  # neither user nor password was said

    @pytest.mark.parametrize("offer", ["AUTH LOGIN", "AUTH=PLAIN", "auth XOAUTH2 PLAIN"])
    def test_a_login_is_found_however_it_is_offered(self, offer: str) -> None:
        script = [GREETING, f"250-mail\r\n250 {offer}", "235 2.7.0 welcome", BYE]
        with Peer(script) as peer:
            assert check_login(f"smtp://camille:w@127.0.0.1:{peer.port}").startswith("235")

    def test_a_password_that_smtp_cannot_say_is_named_as_such(self) -> None:
        with (
            Peer([GREETING, "250-mail\r\n250 AUTH PLAIN", BYE]) as peer,
            pytest.raises(MailUnreachable, match="outside ASCII") as caught,
        ):
            check_login(f"smtp://camille:s%C3%A9same@127.0.0.1:{peer.port}")

        assert caught.value.permanent


class TestThePhase:
    """Up to 354 a letter may be repeated; after its final dot only an answer settles it."""

    @pytest.mark.parametrize("end", [CLOSE, RESET, SILENCE, "421 4.3.2 closing", "hello", "299"])
    @pytest.mark.parametrize("before", [[], [OK], [OK, OK]], ids=["MAIL", "RCPT", "DATA"])
    def test_what_breaks_before_the_letter_is_for_later(self, before: list[str], end: str) -> None:
        if end == "299" and len(before) < 2:
            end = "199"  # 299 would be a yes there
        script = [GREETING, EHLO, *before, (end, CLOSE)]
        with Peer(script) as peer:
            postman = SmtpPostman(peer.url, timeout=0.2)
            with pytest.raises(MailDeferred):
                send(postman)
            postman.close()

        assert peer.letters == []

    @pytest.mark.parametrize(
        "end", [CLOSE, RESET, SILENCE, "hello", "250-half", "354 again", "199 hm", "x" * 9000]
    )
    def test_an_answer_lost_after_the_final_dot_is_doubt(self, end: str) -> None:
        with Peer([GREETING, EHLO, OK, OK, GO, (end, CLOSE)]) as peer:
            postman = SmtpPostman(peer.url, timeout=5, patience=0.2)
            with pytest.raises(MailInDoubt):
                send(postman)
            postman.close()

        assert peer.letters == [LETTER + b".\r\n"]

    def test_the_answer_to_the_final_dot_has_a_patience_of_its_own(self) -> None:
        with Peer([GREETING, EHLO, OK, OK, GO, SILENCE]) as peer:
            postman = SmtpPostman(peer.url, timeout=60, patience=0.1)
            with pytest.raises(MailInDoubt, match="timed out"):
                send(postman)

    @pytest.mark.parametrize("answer", ["354 again", "421 4.3.2 closing"])
    def test_a_connection_that_ended_badly_is_not_used_again(self, answer: str) -> None:
        usable = [OK, OK, GO, QUEUED, BYE]
        with Peer([GREETING, EHLO, OK, OK, GO, answer, *usable], [GREETING, EHLO, *usable]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises((MailInDoubt, MailDeferred)):
                send(postman)
            send(postman)
            postman.close()

        assert len(peer.heard) == 2

    def test_a_letter_cut_before_its_final_dot_is_for_later(self) -> None:
        """The server hung up in the middle: it never saw the dot, so it kept nothing."""
        with Peer([GREETING, EHLO, OK, OK, GO]) as peer:
            peer._take_letter = lambda connection: connection.recv(1)  # type: ignore[assignment]
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises(MailDeferred):
                send(postman, b"Subject: a\r\n\r\n" + (b"x" * 998 + b"\r\n") * 16_000)

        assert peer.letters == []

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ("451 4.3.0 not now", MailDeferred),
            ("421 4.3.2 closing", MailDeferred),
            ("552 5.3.4 too big", MailRefused),
        ],
    )
    def test_a_no_to_the_letter_is_no_doubt(
        self, answer: str, error: type[MailDeferred] | type[MailRefused]
    ) -> None:
        with Peer([GREETING, EHLO, OK, OK, GO, answer, BYE]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises(error, match=re.escape(answer)):
                send(postman)
            postman.close()

    @pytest.mark.parametrize("code", [530, 534, 535, 538])
    def test_a_relay_that_wants_a_login_holds_every_letter_back(self, code: int) -> None:
        with Peer([GREETING, EHLO, OK, f"{code} 5.7.0 authenticate first", OK, BYE]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            with pytest.raises(MailUnreachable, match=str(code)) as caught:
                send(postman)
            postman.close()

        assert caught.value.permanent

    def test_an_answer_is_kept_printable_and_short(self) -> None:
        answer = "250-\x1b[31mOk\u2028\x07\r\n250 " + "é" * 1000
        with Peer([GREETING, EHLO, OK, OK, GO, answer, BYE]) as peer:
            postman = SmtpPostman(peer.url, timeout=5)
            reply = send(postman).reply
            postman.close()

        assert reply == ("250 [31mOk " + "é" * 1000)[:500]


def test_stuffing_doubles_leading_dots_and_ends_the_last_line() -> None:
    assert stuffed(b".a\n.\r\r\n..b.") == b"..a\r\n..\r\n\r\n...b.\r\n"


def test_without_a_mail_server_letters_are_kept_in_a_folder(tmp_path: Path) -> None:
    assert isinstance(made(None, tmp_path), MaildirPostman)
    assert isinstance(made("smtp://127.0.0.1:1", tmp_path), SmtpPostman)
