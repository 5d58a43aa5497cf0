"""Which e-mail addresses a letter may go to: one plain ASCII address, or no byte is sent.

`To: Jean <x@evil.example>, <y@example.org>` has two readers, and `a%b@relay` a third: what is not
a bare addr-spec is refused, not repaired. https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2
"""

import re
from functools import lru_cache
from ipaddress import ip_address

from resonance_zoom.errors import MailRefused, MailUnreachable

LONGEST_ADDRESS = 254
LONGEST_LOCAL_PART = 64
# Without % and !, by which old relays route onwards.
_LOCAL_PART = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# Python knows the rules of 2003, which turn these into other letters: another domain altogether.
_READ_DIFFERENTLY = frozenset("ßς\u200c\u200d")


def plain_address(email: str) -> str:
    """The address as SMTP takes it, its domain in ASCII. Raises MailRefused with the reason."""
    local, at, domain = email.rpartition("@")
    if not at:
        raise MailRefused("the address has no @")
    if len(local) > LONGEST_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        raise MailRefused("the part of the address before @ cannot be written to")
    address = f"{local}@{plain_domain(domain)}"
    if len(address) > LONGEST_ADDRESS:
        raise MailRefused(f"the address is longer than {LONGEST_ADDRESS} characters")
    return address


@lru_cache(maxsize=8)
def sender_address(email: str) -> str:
    """The same for an address of ours. A bad one holds every letter back, and fails none."""
    try:
        return plain_address(email)
    except MailRefused as error:
        raise MailUnreachable(
            f"letters cannot leave from {email!r}: {error.message}",
            remedy="MAIL_FROM and the organiser's email must be bare addresses: name@example.org.",
            permanent=True,
        ) from error


@lru_cache(maxsize=256)  # everybody's mail is with a few
def plain_domain(domain: str) -> str:
    """`xn--…` for a domain with accents. Raises MailRefused for what is no domain."""
    try:
        in_ascii = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        in_ascii = ""
    ambiguous = _READ_DIFFERENTLY & set(domain)
    if ambiguous or not all(_LABEL.fullmatch(label) for label in in_ascii.split(".")):
        raise MailRefused("the domain of the address cannot be written to")
    return in_ascii


def is_this_machine(host: str) -> bool:
    """Whether a host is loopback for sure: 127.0.0.0/8, ::1, localhost.

    `127.999.0.1` or `127.0.0.1.example.org` look like it, and are names that lead anywhere.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
