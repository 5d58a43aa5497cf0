"""Keeps letters in a Maildir on this machine: for trying out, and when no mail server is named."""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from resonance_zoom import folders
from resonance_zoom.errors import MailDeferred, MailUnreachable
from resonance_zoom.mail.addresses import plain_address, sender_address
from resonance_zoom.mail.replies import Accepted

_MESSAGE_ID = re.compile(rb"(?im)^message-id:\s*<([^>\r\n]{1,200})>")


class MaildirPostman:
    """Delivers into `folder` (cur, new, tmp). https://cr.yp.to/proto/maildir.html

    A file is named after the letter's Message-ID and how often that came: `ID.1`, `ID.2` are
    two attempts at one letter.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ready(self) -> None:
        """The folder exists. Raises MailUnreachable when it cannot be made."""
        try:
            for part in ("tmp", "new", "cur"):
                folders.make(self._folder / part)
        except OSError as error:
            raise MailUnreachable(
                f"letters cannot be kept in {self._folder}: {error.strerror}",
                remedy="Set SMTP_URL, or let this user write there.",
            ) from error

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        """Keep one letter, on disk for good before it is called accepted."""
        sender_address(sender)
        plain_address(recipient)
        self.ready()
        name = _name(message)
        try:
            draft = self._folder / "tmp" / f"{name}.{os.getpid()}"
            try:
                _write_for_good(draft, message)
                self._file(draft, name)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise MailDeferred(f"not kept in {self._folder}: {error.strerror}") from error
        return Accepted(f"kept in {self._folder}")

    def close(self) -> None:
        """Nothing to hang up."""

    def _file(self, draft: Path, name: str) -> None:
        """Into `new`, under the first number that neither `new` nor `cur` holds."""
        for number in count(1):
            numbered = f"{name}.{number}"
            # A mail program moves what was read to cur, and puts flags behind a colon.
            if any(
                path.name.split(":")[0] == numbered for path in (self._folder / "cur").iterdir()
            ):
                continue
            try:
                (self._folder / "new" / numbered).hardlink_to(draft)
            except FileExistsError:
                continue
            folders.sync(self._folder / "new")
            return


def _name(message: bytes) -> str:
    """What stands before the @ of the Message-ID, safe as a file's name."""
    found = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0])
    words = found[1].decode("ascii", "replace") if found else "without-id"
    return _as_file(words)


def _as_file(message_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", message_id.partition("@")[0])


def _write_for_good(path: Path, message: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message)
        file.flush()
        os.fsync(file.fileno())


def discard(folder: Path, message_ids: Iterable[str]) -> int:
    """Delete the letters of these Message-IDs; returns how many files."""
    names = {_as_file(found.strip("<>")) for found in message_ids}
    return _delete(path for path in _kept(folder) if path.name.partition(".")[0] in names)


def discard_all(folder: Path) -> int:
    """Delete every letter that is kept; returns how many files."""
    return _delete(_kept(folder))


def _kept(folder: Path) -> Iterator[Path]:
    for part in ("tmp", "new", "cur"):
        if (folder / part).is_dir():
            yield from list((folder / part).iterdir())


def _delete(files: Iterable[Path]) -> int:
    found = list(files)
    for path in found:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in found}:
        folders.sync(folder)
    return len(found)
