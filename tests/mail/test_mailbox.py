"""A mailbox is read without a change to it, each message once, and none that is no report."""

import ssl
from collections.abc import Callable, Iterator
from datetime import date

import pytest

from resonance_zoom.errors import MailboxUnreadable
from resonance_zoom.mail import mailbox
from resonance_zoom.mail.mailbox import Batch, Mailbox, Seen
from tests.mail.imap_peer import CUT, ENDLESS, LONGER, PASSWORD, USER, ImapPeer
from tests.mail.peer import SELF_SIGNED, SILENCE, Peer
from tests.mail.reports import report

SINCE = date(2021, 1, 10)
LETTER = b"To: alice@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nBonjour\r\n"
REPORT = report(LETTER).replace(b"\n", b"\r\n")
PRIVATE = b"From: aunt@example.org\r\nContent-Type: text/plain\r\n\r\nA word between us\r\n"


@pytest.fixture
def peer() -> Iterator[ImapPeer]:
    with ImapPeer() as made:
        yield made


def read(peer: ImapPeer, seen: Seen | None = None) -> Batch:
    return Mailbox(peer.url).read_on(SINCE, seen)


def test_of_private_mail_only_size_and_kind_are_asked_for(peer: ImapPeer) -> None:
    peer.put(PRIVATE)
    uid = peer.put(REPORT)
    peer.put(PRIVATE)
    found = read(peer)
    assert found == Batch([REPORT], Seen(7, 103), more=False)
    assert peer.fetched() == [uid]


def test_nothing_is_said_that_could_change_the_mailbox(peer: ImapPeer) -> None:
    """EXAMINE and BODY.PEEK: not even what counts as read is touched."""
    peer.put(REPORT)
    read(peer)
    assert peer.heard == [
        "CAPABILITY",
        "AUTHENTICATE PLAIN",
        'EXAMINE "INBOX"',
        "UID SEARCH UID 1:* SINCE 10-Jan-2021",
        "UID FETCH 101 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (CONTENT-TYPE)])",
        "UID FETCH 101 (UID BODY.PEEK[]<0.300001>)",
        "LOGOUT",
    ]


def test_what_was_seen_is_not_asked_for_again(peer: ImapPeer) -> None:
    first = peer.put(REPORT)
    seen = read(peer).seen
    assert read(peer, seen) == Batch([], seen, more=False)
    peer.put(REPORT)
    assert read(peer, seen) == Batch([REPORT], Seen(7, 102), more=False)
    assert peer.fetched() == [first, 102]


def test_years_of_mail_from_before_the_first_letter_are_left_alone(peer: ImapPeer) -> None:
    peer.put(REPORT, date(2019, 5, 1))
    peer.put(REPORT, date(2021, 1, 9))
    ours = peer.put(REPORT, date(2021, 1, 10))
    assert len(read(peer).messages) == 1
    assert peer.fetched() == [ours]


def test_under_another_validity_everything_is_looked_at_again(peer: ImapPeer) -> None:
    """The server has numbered its messages anew: the old numbers mean nothing."""
    peer.put(REPORT)
    peer.put(REPORT)
    seen = read(peer).seen
    peer.validity = 8
    assert read(peer, seen) == Batch([REPORT, REPORT], Seen(8, 102), more=False)


def test_a_full_mailbox_is_read_in_pieces(peer: ImapPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "LOOKED_AT", 3)
    monkeypatch.setattr(mailbox, "FETCHED", 2)
    for raw in (REPORT, REPORT, REPORT, PRIVATE, REPORT):
        peer.put(raw)
    seen, sizes = None, []
    for _ in range(3):
        found = read(peer, seen)
        seen, sizes = found.seen, [*sizes, (len(found.messages), found.seen.uid, found.more)]
    assert sizes == [(2, 102, True), (2, 105, False), (0, 105, False)]


@pytest.mark.parametrize("uid_last", [True, False])
def test_the_number_may_stand_before_or_behind_the_message(uid_last: bool) -> None:
    with ImapPeer(uid_last=uid_last) as peer:
        peer.put(REPORT)
        assert read(peer).messages == [REPORT]


def test_who_offers_no_plain_login_gets_the_other(peer: ImapPeer) -> None:
    peer.capabilities = "IMAP4rev1"
    peer.put(REPORT)
    assert read(peer).messages == [REPORT]
    assert "LOGIN" in peer.heard


def test_how_many_messages_lie_there_can_be_asked(peer: ImapPeer) -> None:
    peer.put(PRIVATE)
    assert Mailbox(peer.url).count() == 1
    assert peer.heard[-1] == "LOGOUT"


def test_mailboxes_are_told_apart_and_not_named(peer: ImapPeer) -> None:
    one = Mailbox("imaps://a%40example.org:p@mail.example.org/INBOX").name
    assert one == Mailbox("imaps://a%40example.org:other@mail.example.org:993").name
    for other in ("b%40example.org:p@mail.example.org", "a%40example.org:p@other.example.org",
                  "a%40example.org:p@mail.example.org/Retours"):  # fmt: skip
        assert Mailbox(f"imaps://{other}").name != one
    assert "example" not in one


# ---- what can go wrong -----------------------------------------------------------------------


def trouble(act: Callable[[], object]) -> MailboxUnreadable:
    with pytest.raises(MailboxUnreadable) as caught:
        act()
    for secret in (PASSWORD, USER, "example.org"):
        assert secret not in caught.value.message
    return caught.value


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
def test_a_refused_login_is_for_a_person_to_mend(peer: ImapPeer, capabilities: str) -> None:
    peer.knows, peer.capabilities = False, capabilities
    error = trouble(lambda: read(peer))
    assert error.message == (
        "the mailbox at 127.0.0.1 refuses the login: [AUTHENTICATIONFAILED] not …"
    )
    assert error.permanent
    assert "BOUNCES_URL" in error.remedy


def test_a_server_that_cannot_look_passwords_up_is_tried_again(peer: ImapPeer) -> None:
    peer.knows, peer.refusal = False, "UNAVAILABLE"
    assert not trouble(lambda: read(peer)).permanent


def test_a_password_with_an_accent_is_told_as_one_where_it_cannot_be_said(peer: ImapPeer) -> None:
    peer.capabilities = "IMAP4rev1"
    box = Mailbox(peer.url.replace("canary", "%C3%A9"))
    assert trouble(lambda: box.read_on(SINCE, None)).permanent


def test_a_folder_that_is_not_there_is_named(peer: ImapPeer) -> None:
    box = Mailbox(peer.url.replace("INBOX", "Courriers%20revenus"))
    error = trouble(lambda: box.read_on(SINCE, None))
    assert error.message == (
        "the mailbox at 127.0.0.1 has no folder Courriers revenus:"
        " [NONEXISTENT] no such folder of …"
    )
    assert error.permanent


def test_a_server_that_is_down_is_tried_again(peer: ImapPeer) -> None:
    with ImapPeer() as gone:
        url = gone.url
    error = trouble(lambda: Mailbox(url).read_on(SINCE, None))
    assert not error.permanent
    assert f"the mailbox at 127.0.0.1:{gone.port} cannot be read: " in error.message


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    with ImapPeer(tls=True) as peer:
        error = trouble(lambda: Mailbox(peer.url).read_on(SINCE, None))
        assert peer.heard == []
    assert error.permanent
    assert error.remedy == "The server's certificate must be valid for the name in BOUNCES_URL."


def test_the_password_goes_through_a_connection_that_is_encrypted() -> None:
    tls = ssl.create_default_context(cafile=SELF_SIGNED)
    tls.check_hostname = False  # it is for mail.example.org, and we are not
    with ImapPeer(tls=True) as peer:
        peer.put(REPORT)
        found = Mailbox(peer.url, tls=tls).read_on(SINCE, None)
    assert found.messages == [REPORT]


def test_a_connection_that_is_cut_in_a_message_loses_none(peer: ImapPeer) -> None:
    box = Mailbox(peer.url)
    peer.put(REPORT)
    cut = peer.put(REPORT)
    peer.faults[cut] = CUT
    assert not trouble(lambda: box.read_on(SINCE, None)).permanent
    peer.faults.clear()
    assert box.read_on(SINCE, None) == Batch([REPORT, REPORT], Seen(7, 102), more=False)


def test_a_message_that_always_breaks_the_connection_is_passed_over(peer: ImapPeer) -> None:
    box = Mailbox(peer.url)
    peer.faults[peer.put(REPORT)] = CUT
    peer.put(REPORT)
    for _ in range(3):
        trouble(lambda: box.read_on(SINCE, None))
    assert box.read_on(SINCE, None) == Batch([REPORT], Seen(7, 102), more=False)


def test_a_huge_message_is_not_fetched(peer: ImapPeer) -> None:
    peer.put(REPORT + b"x" * 400_000)
    assert read(peer) == Batch([], Seen(7, 101), more=False)
    assert peer.fetched() == []


def test_a_huge_message_whose_size_is_told_wrongly_is_taken_up_to_the_limit(peer: ImapPeer) -> None:
    peer.faults[peer.put(REPORT + b"x" * 4_000_000)] = LONGER
    (taken,) = read(peer).messages
    assert len(taken) == 300_001


def test_a_server_that_announces_a_terabyte_is_hung_up_on(peer: ImapPeer) -> None:
    peer.faults[peer.put(REPORT)] = ENDLESS
    error = trouble(lambda: read(peer))
    assert "the server sends 1099511627776 bytes where less was asked for" in error.message


def test_a_message_that_has_gone_meanwhile_is_none(peer: ImapPeer) -> None:
    peer.put(REPORT)
    answer = peer._answer

    def gone(connection: object, words: str) -> str | None:
        if "BODY.PEEK[]" in words:
            peer.messages.clear()
        return answer(connection, words)  # type: ignore[arg-type]

    peer._answer = gone  # type: ignore[assignment]
    assert read(peer) == Batch([], Seen(7, 101), more=False)


def test_a_server_that_falls_silent_is_waited_for_and_no_longer() -> None:
    with Peer(["* OK ready", SILENCE]) as peer:
        url = f"imap://a:b@127.0.0.1:{peer.port}"
        error = trouble(lambda: Mailbox(url, timeout=0.2).count())
    assert error.message.endswith("timed out")


def test_a_server_that_never_comes_to_an_end_is_hung_up_on() -> None:
    """Each of its lines comes in time; the whole does not."""
    endless = ("* OK ready", *("* OK still here" for _ in range(20)), SILENCE)
    with Peer([endless]) as peer:
        url = f"imap://a:b@127.0.0.1:{peer.port}"
        error = trouble(lambda: Mailbox(url, timeout=60, patience=0.2).count())
    assert "cannot be read" in error.message


@pytest.mark.parametrize(
    "said",
    [
        "220 mail.example.net ESMTP",
        "HTTP/1.1 400 Bad Request",
        "* BYE too many connections",
        "\x00\xff\xfe",
        "* PREAUTH",
        "",
    ],
)
def test_what_does_not_speak_imap_is_told(said: str) -> None:
    with Peer([said, "* nonsense", "+", "a b c"]) as peer:
        url = f"imap://a:b@127.0.0.1:{peer.port}"
        trouble(lambda: Mailbox(url, timeout=2).count())
