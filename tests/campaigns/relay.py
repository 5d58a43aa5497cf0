"""The mail server of a campaign: it remembers what it accepted, and fails as the plan says."""

import email
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from resonance_zoom.errors import MailDeferred, MailInDoubt, MailRefused, MailUnreachable
from resonance_zoom.mail.replies import Accepted
from tests.campaigns.draw import Plan
from tests.campaigns.hazards import Crash, Hazards

JOIN_LINK = re.compile(r"https://[\w.]+/w/(\d+)\?tk=[\w-]+(?:&pwd=[\w-]+)?")
SPEAKS_TO_NOBODY = ("unreachable", "login refused")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that the relay accepted, by the true clock. `everything`: all of it, decoded."""

    at: datetime
    recipients: tuple[str, ...]
    kind: str
    message_id: str
    text: str
    links: tuple[str, ...]
    everything: str

    @property
    def meeting_id(self) -> int | None:
        found = JOIN_LINK.search(self.text)
        return int(found[1]) if found else None


def read(at: datetime, recipients: tuple[str, ...], content: bytes) -> Letter:
    """A letter as any mail program reads it."""
    message = email.message_from_bytes(content)
    parts: dict[str, str] = {}
    for part in message.walk():
        body = part.get_payload(decode=True)
        if isinstance(body, bytes) and part.get_content_maintype() == "text":
            parts[part.get_content_subtype()] = body.decode()
    text = parts["plain"]
    return Letter(
        at,
        recipients,
        str(message["X-Letter"]),
        str(message["Message-ID"]),
        text,
        tuple(match[0] for match in JOIN_LINK.finditer(text)),
        "\n".join((str(message["Subject"]), *parts.values())),
    )


class Relay:
    """A mail server that remembers what it accepted, and fails as the plan says."""

    def __init__(self, plan: Plan, hazards: Hazards, *, begins: Callable[[Letter], None]) -> None:
        self.plan = plan
        self.hazards = hazards
        self.begins = begins  # told of every conversation before anything is accepted
        self.accepted: list[Letter] = []
        self.doubts: Counter[str] = Counter()  # Message-ID → how often nobody could know
        self.doubted: list[Letter] = []
        self.begun: Counter[str] = Counter()  # Message-ID → conversations
        self.offered: list[datetime] = []  # when each of these began
        self.deferred: Counter[str] = Counter()  # Message-ID → of these, put off

    def ready(self) -> None:
        window = next((one for one in self.hazards.open if one.kind in SPEAKS_TO_NOBODY), None)
        if window is not None and (struck := self.hazards.strikes("mail")) is not None:
            if struck.kind == "login refused":
                raise MailUnreachable("535 the login is refused", code=535, permanent=True)
            raise MailUnreachable("the mail server cannot be spoken to: refused")

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:  # noqa: ARG002 — as the real one
        letter = read(self.hazards.now(), (recipient,), message)
        self.begun[letter.message_id] += 1
        self.offered.append(letter.at)
        self.begins(letter)
        self._die("mail before", letter)
        if (window := self.hazards.strikes("mail")) is not None:
            self._refuse(window.kind, letter)
        self._as_poison_wants(letter)
        self._keep_to_the_pace(letter)
        self.accepted.append(letter)
        self._die("mail after", letter)
        if self.hazards.by_rate("answer lost"):
            self.doubts[letter.message_id] += 1
            self.doubted.append(letter)
            raise MailInDoubt("the letter was sent, the answer was lost: reset")
        return Accepted(f"250 OK: letter {len(self.accepted)}")

    def _die(self, point: str, letter: Letter) -> None:
        try:
            self.hazards.point(point)
        except (Crash, MailInDoubt):
            self.doubts[letter.message_id] += 1
            self.doubted.append(letter)
            raise

    def forgets_whether(self, under_way: set[str]) -> None:
        """The process died before it had written down that these were accepted, if they were."""
        for letter in self.accepted:
            if letter.message_id in under_way and not any(letter is one for one in self.doubted):
                under_way.discard(letter.message_id)
                self.doubts[letter.message_id] += 1
                self.doubted.append(letter)

    def _refuse(self, kind: str, letter: Letter) -> None:
        """In words that quote the recipient, as many servers do."""
        if kind in SPEAKS_TO_NOBODY:
            raise MailUnreachable("the mail server hung up")
        if kind == "broken before":
            raise MailDeferred("DATA: the connection broke: reset")
        whom = letter.recipients[0]
        if kind == "5xx once":
            raise MailRefused(f"550 <{whom}>: no such user", code=550)
        self.deferred[letter.message_id] += 1
        raise MailDeferred(f"451 <{whom}>: try again later", code=451)

    def _as_poison_wants(self, letter: Letter) -> None:
        poison = self.plan.poison
        if poison is None or letter.recipients[0].lower() != poison.email:
            return
        self.hazards.happened[f"poison {poison.how}"] += 1
        if poison.how in {"refused", "put off"}:
            self._refuse("5xx once" if poison.how == "refused" else "4xx", letter)

    def _keep_to_the_pace(self, letter: Letter) -> None:
        """A relay with a quota puts off what is beyond it."""
        if self.plan.letters_a_minute is None:
            return
        lately = sum(one.at > letter.at - MINUTE for one in self.accepted[-20:])
        if lately >= self.plan.letters_a_minute:
            self.hazards.happened["as many as the relay takes"] += 1
        # A bucket of a quarter of a minute's letters, and never less than one, may be full.
        if lately >= self.plan.letters_a_minute + max(1, self.plan.letters_a_minute // 4):
            self.hazards.happened["beyond the pace"] += 1
            raise MailDeferred("450 too many letters", code=450)

    def close(self) -> None:
        """Nothing to hang up."""
