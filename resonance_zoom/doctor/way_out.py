"""`check`, the way out: the mail server lets us in, and its letters have a chance to arrive."""

from email.utils import parseaddr
from urllib.parse import urlsplit

from resonance_zoom.doctor.points import Patient, Verdict, count, green, orange
from resonance_zoom.errors import MailboxUnreadable
from resonance_zoom.mail.mailbox import Mailbox
from resonance_zoom.mail.postman import check_login


def mail(patient: Patient) -> Verdict:
    """The relay lets us in, and its letters have a chance to arrive."""
    settings = patient.settings
    if not settings.smtp_url:
        return orange(
            f"no SMTP_URL: letters only go to the Maildir {settings.data_dir / 'mail'}",
            "Set SMTP_URL=smtp://USER:PASSWORD@HOST:587 before anybody registers.",
        )
    check_login(settings.smtp_url)
    welcome = f"the mail server {urlsplit(settings.smtp_url).hostname} lets us in"
    if patient.campaign and settings.mail_from:
        ours, theirs = _domain(settings.mail_from), _domain(patient.campaign.organiser.email)
        if ours != theirs:
            return orange(
                f"{welcome}; letters leave from {ours}, the organiser is at {theirs}",
                f"See that the SPF and DKIM records of {ours} allow this relay, or let MAIL_FROM"
                f" be an address at {theirs}.",
            )
    return green(welcome)


def returned_mail(patient: Patient) -> Verdict:
    """The mailbox in which letters come back can be read. No letter waits for it."""
    url = patient.settings.bounces_url
    if not url:
        return green("BOUNCES_URL is not set: nobody sees here which letters came back")
    try:
        there = Mailbox(url, timeout=10.0).count()
    except MailboxUnreadable as error:
        return orange(error.message, error.remedy)
    host = urlsplit(url).hostname
    return green(f"the mailbox at {host} can be read ({count(there, 'message')})")


def _domain(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2].lower()
