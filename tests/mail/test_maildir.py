"""Without a mail server every letter lies in a folder, where any mail program can read it."""

import mailbox
from pathlib import Path

import pytest

from resonance_zoom.errors import MailDeferred, MailRefused, MailUnreachable
from resonance_zoom.mail.postman import Accepted, MaildirPostman
from tests.mail.sample import built


def send(folder: Path, message: bytes, recipient: str = "camille@example.net") -> Accepted:
    return MaildirPostman(folder).send(
        sender="letters@example.org", recipient=recipient, message=message
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_letter_is_kept_as_it_was_built(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "mail"

    assert send(folder, built()) == Accepted(f"kept in {folder}")

    assert (folder / "new" / "0123456789abcdef.1").read_bytes() == built()
    [letter] = mailbox.Maildir(folder, create=False)
    assert letter["To"] == "camille@example.net"


def test_attempts_at_one_letter_lie_side_by_side(tmp_path: Path) -> None:
    for _ in range(2):
        send(tmp_path, built())
    (tmp_path / "new" / "0123456789abcdef.1").rename(tmp_path / "cur" / "0123456789abcdef.1:2,S")
    send(tmp_path, built())

    assert files(tmp_path) == [
        "cur/0123456789abcdef.1:2,S",
        "new/0123456789abcdef.2",
        "new/0123456789abcdef.3",
    ]


def test_only_this_user_reads_the_letters(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    send(folder, built())

    assert (folder / "new").stat().st_mode & 0o777 == 0o700
    assert (folder / "new" / "0123456789abcdef.1").stat().st_mode & 0o777 == 0o600


def test_a_message_id_cannot_choose_another_folder(tmp_path: Path) -> None:
    send(tmp_path / "mail", b"Message-ID: <../../evil@x>\r\n\r\n")
    send(tmp_path / "mail", b"Subject: a\r\n\r\nMessage-ID: <body@x>\r\n")

    assert files(tmp_path) == ["mail/new/------evil.1", "mail/new/without-id.1"]


def test_an_address_that_smtp_would_not_take_is_refused_here_too(tmp_path: Path) -> None:
    with pytest.raises(MailRefused):
        send(tmp_path, built(), recipient="a@example.net, b@example.net")


def test_a_folder_that_cannot_be_made_holds_every_letter_back(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")

    with pytest.raises(MailUnreachable, match=f"{tmp_path}/mail"):
        MaildirPostman(tmp_path / "mail").ready()


def test_a_letter_that_cannot_be_written_is_for_later_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(MailDeferred, match="No space left"):
        send(tmp_path, built())

    assert files(tmp_path) == []
