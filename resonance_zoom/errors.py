"""Every error that we raise on purpose; each says what the caller does next.

ResonanceError                 one sentence for a person; .remedy says what to do; .exit_code
├── ConfigurationError         exit 78: the environment or a file must be changed first
│   ├── SettingsError          .problems: one line a name
│   └── CampaignFileError      .problems: `file:line: key: reason`
├── TryAgainLater              exit 75: nothing is wrong but the moment; .retry_after seconds
│   ├── AlreadyRunning         another daemon holds the lock
│   └── DatabaseBusy           another process held the database longer than we wait
│       └── DatabaseLost       the connection broke: nobody knows whether the last commit was heard
├── DatabaseUnusable           exit 1: unreadable, damaged, or written by a newer version
├── NotFound                   exit 1: no such group, person or letter
├── BadNotification            the webhook answers .status (400, 401, 413, 415) and stores nothing
├── ZoomError                  what Zoom (or the way to it) answered
│   ├── ZoomUnreachable        network, timeout, 5xx, no JSON; .maybe_done: it may have worked
│   ├── ZoomRateLimited        .retry_after seconds; .daily: the quota ends at 00:00 UTC
│   ├── ZoomUnauthorized       token, client id or secret refused
│   │   └── ZoomScopeMissing   .scopes to add to the app
│   ├── ZoomNotFound           the meeting, registrant or user does not exist (any more)
│   └── ZoomRefused            any other 4xx: the same request would be refused again
└── MailError                  what the mail server (or the way to it) answered
    ├── MailUnreachable        no conversation was possible: the relay is down; every letter waits
    ├── MailDeferred           4xx: this letter again later
    ├── MailRefused            5xx: this letter never
    ├── MailInDoubt            the bytes were sent, the answer was lost: it may have been accepted
    └── MailboxUnreadable      reports of what came back are not read; letters leave all the same
"""

import traceback
from collections.abc import Sequence
from pathlib import Path


class ResonanceError(Exception):
    """Something a person can act on. `str()` is one sentence, `remedy` the next step."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigurationError(ResonanceError):
    """The environment or a file must be changed before anything can run."""

    exit_code = 78


class SettingsError(ConfigurationError):
    """Environment variables are missing or wrong; `problems` has one line a name."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), remedy="Set them in the environment or in .env.")
        self.problems = tuple(problems)


class CampaignFileError(ConfigurationError):
    """The campaign file cannot be used; `problems` holds every `file:line: key: reason`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), remedy="Correct the campaign file and try again.")
        self.problems = tuple(problems)


class TryAgainLater(ResonanceError):
    """Nothing is wrong with the request, only with the moment."""

    exit_code = 75

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class AlreadyRunning(TryAgainLater):
    """Another daemon holds the lock on this database."""


class DatabaseBusy(TryAgainLater):
    """Another process held the database for longer than we wait."""


class DatabaseLost(DatabaseBusy):
    """The connection to the database broke: what is known by its key may be done again at once."""


class DatabaseUnusable(ResonanceError):
    """The database is unreadable, damaged, or was written by a newer version."""


class NotFound(ResonanceError):
    """No such focus group, person or letter."""


class BadNotification(ResonanceError):
    """A webhook body that must not be stored; `status` is the HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ZoomError(ResonanceError):
    """What Zoom answered. `code` is Zoom's number in the body, `status` the HTTP one (0: none)."""

    def __init__(
        self, message: str, *, status: int = 0, code: int | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code


class ZoomUnreachable(ZoomError):
    """Network fault, timeout, 5xx or an answer that is no JSON.

    `maybe_done` is True when the request may have had its effect: look before you repeat it.
    """

    exit_code = 75

    def __init__(
        self, message: str, *, status: int = 0, remedy: str = "", maybe_done: bool = False
    ) -> None:
        super().__init__(message, status=status, remedy=remedy)
        self.maybe_done = maybe_done


class ZoomRateLimited(ZoomError):
    """429. `retry_after` in seconds; `daily` when the quota comes back at 00:00 UTC."""

    exit_code = 75

    def __init__(
        self, message: str, *, retry_after: float, daily: bool = False, code: int | None = None
    ) -> None:
        super().__init__(message, status=429, code=code, remedy="Wait; the service tries again.")
        self.retry_after = retry_after
        self.daily = daily


class ZoomUnauthorized(ZoomError):
    """Zoom refuses the token, the client id or the client secret."""

    exit_code = 78


class ZoomScopeMissing(ZoomUnauthorized):
    """The app lacks `scopes`; a new token is needed after they are added."""

    def __init__(
        self, message: str, *, scopes: Sequence[str], status: int = 400, code: int | None = None
    ) -> None:
        super().__init__(
            message,
            status=status,
            code=code,
            remedy="Add to the app's scopes on marketplace.zoom.us: " + ", ".join(scopes),
        )
        self.scopes = tuple(scopes)


class ZoomNotFound(ZoomError):
    """The meeting, registrant or user does not exist, or no longer."""


class ZoomRefused(ZoomError):
    """Any other 4xx: the same request would be refused again."""


class MailError(ResonanceError):
    """What the mail server answered. `reply` holds its words, `code` its number (0: none)."""

    def __init__(self, message: str, *, code: int = 0, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class MailUnreachable(MailError):
    """No conversation with the relay was possible (network, TLS, login): every letter waits.

    `permanent` is True for what waiting will not mend, such as a refused login.
    """

    def __init__(
        self, message: str, *, code: int = 0, remedy: str = "", permanent: bool = False
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.permanent = permanent


class MailDeferred(MailError):
    """4xx, or a fault before the last byte was sent: this letter again later."""


class MailRefused(MailError):
    """5xx: this letter would be refused again."""


class MailInDoubt(MailError):
    """Everything was sent and the answer was lost: the letter may have been accepted."""


class MailboxUnreadable(MailError):
    """The mailbox of BOUNCES_URL cannot be read: no letter waits for it.

    `permanent` is True for what waiting will not mend, such as a refused login.
    """

    def __init__(self, message: str, *, remedy: str = "", permanent: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.permanent = permanent


def unforeseen(error: BaseException) -> str:
    """`KeyError in sweep.py, line 41`: what may be kept and shown of an error that nobody expected.

    Not its own words: they quote values, which may be a person's, and outlive their erasure.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if {"resonance_zoom", "jobs"} & {*Path(one.filename).parts}]
    if not (ours or frames):
        return type(error).__name__
    last = (ours or frames)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"
