"""Who carries the letters: the mail server of SMTP_URL, or a folder on this machine without one."""

from functools import partial
from pathlib import Path
from typing import Protocol

from resonance_zoom.mail.maildir import MaildirPostman
from resonance_zoom.mail.replies import Accepted
from resonance_zoom.mail.smtp import SmtpPostman
from resonance_zoom.mail.talks import Errand, Talk

__all__ = [
    "Accepted",
    "MaildirPostman",
    "Postman",
    "SmtpPostman",
    "check_login",
    "getting_ready",
    "make_postman",
    "make_postmen",
    "sending",
]


class Postman(Protocol):
    """Delivers bytes to one address."""

    def ready(self) -> None:
        """See that a letter could leave now. Raises MailUnreachable."""

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        """Deliver one letter. Raises MailDeferred, MailRefused, MailInDoubt or MailUnreachable."""
        ...

    def close(self) -> None:
        """Say goodbye."""


def getting_ready(postman: Postman) -> Talk[None]:
    """`postman.ready`, while others go on."""
    if isinstance(postman, SmtpPostman):
        yield from postman.getting_ready()
    else:
        yield from Errand(postman.ready)


def sending(postman: Postman, *, sender: str, recipient: str, message: bytes) -> Talk[Accepted]:
    """`postman.send`, while others go on."""
    if isinstance(postman, SmtpPostman):
        talk = postman.sending(sender=sender, recipient=recipient, message=message)
        return (yield from talk)
    letter = partial(postman.send, sender=sender, recipient=recipient, message=message)
    return (yield from Errand(letter))


def make_postman(smtp_url: str | None, maildir: Path) -> Postman:
    """SMTP where a server is named, else a Maildir."""
    return SmtpPostman(smtp_url) if smtp_url else MaildirPostman(maildir)


def make_postmen(smtp_url: str | None, maildir: Path, *, connections: int) -> list[Postman]:
    """So many connections to the mail server; one folder is enough."""
    many = connections if smtp_url else 1
    return [make_postman(smtp_url, maildir) for _ in range(many)]


def check_login(smtp_url: str) -> str:
    """Connect, secure, log in, say goodbye: the server's words. Raises MailUnreachable."""
    postman = SmtpPostman(smtp_url, timeout=10.0)
    try:
        postman.ready()
        return postman.words
    finally:
        postman.close()
