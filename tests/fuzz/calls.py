"""What is posted to the webhook: a call as it travels, and the names that it may hold."""

import hashlib
import hmac
import re
from dataclasses import dataclass

SECRETS = ("a-webhook-secret-of-32-characters", "the-secret-that-will-come-after-it")
OURS = (97980243740, 91234567890)  # the meetings of the two groups
REGISTRATIONS = (
    "meeting.registration_created",
    "meeting.registration_approved",
    "meeting.registration_cancelled",
    "meeting.registration_denied",
)
OTHERS = (
    "meeting.updated",
    "meeting.deleted",
    "meeting.permanently_deleted",
    "meeting.recovered",
    "meeting.created",
    "meeting.started",
    "meeting.ended",
    "meeting.participant_joined",
    "app_deauthorized",
    "something.new",
)
CHALLENGE = "endpoint.url_validation"
MAX_BODY = 256 * 1024
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """One POST. `sound`: just as Zoom sends it; `moves`: seconds by which the clock moves first."""

    headers: tuple[Header, ...]
    chunks: tuple[bytes, ...]
    cut: bool = False  # the client hangs up before the last chunk
    moves: int = 0
    unwritable: bool = False  # the database takes nothing at this moment
    sound: bool = False

    @property
    def body(self) -> bytes:
        """The bytes that arrive."""
        return b"".join(self.chunks)

    def header(self, name: bytes) -> bytes | None:
        """The first of that name, as web servers read them."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def stamp(self) -> int | None:
        """The seconds of a genuine call; None when the signature is not one of ours."""
        stamp, signature = self.header(b"x-zm-request-timestamp"), self.header(b"x-zm-signature")
        if stamp is None or signature is None or not re.fullmatch(rb"(\d{10}|\d{13})", stamp):
            return None
        if signature not in {signed(secret, stamp, self.body) for secret in SECRETS}:
            return None
        return int(stamp[:10])


def signed(secret: str, stamp: bytes, body: bytes) -> bytes:
    """Zoom's signature, made without the code that is tested."""
    made = hmac.new(secret.encode(), b"v0:%b:%b" % (stamp, body), hashlib.sha256)
    return b"v0=" + made.hexdigest().encode()
