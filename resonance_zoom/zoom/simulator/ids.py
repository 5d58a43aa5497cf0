"""Every id, url and token of the simulator, derived from its seed.

A value depends on the seed and on what it names, never on what happened before it: the same person
at the same meeting has the same link whatever the order of the calls.
"""

import base64
import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ids:
    """Values that look like Zoom's and are the same for the same seed and parts."""

    seed: int

    def digest(self, *parts: object) -> bytes:
        """64 bytes."""
        text = "\x1f".join(str(part) for part in (self.seed, *parts))
        return hashlib.sha512(text.encode("utf-8", "replace")).digest()

    def text(self, length: int, *parts: object) -> str:
        """At most 86 characters, safe in a URL."""
        return base64.urlsafe_b64encode(self.digest(*parts)).decode().rstrip("=")[:length]

    def meeting_id(self, number: int) -> int:
        """Eleven digits: more than 32 bits hold, as on Zoom."""
        return 80_000_000_000 + self.number(*("meeting", number)) % 19_999_999_999

    def uuid(self, *parts: object) -> str:
        """Base64 of 16 bytes, with its `/`, `+` and `=`."""
        return base64.b64encode(self.digest("uuid", *parts)[:16]).decode()

    def number(self, *parts: object) -> int:
        """A number of 62 bits."""
        return int.from_bytes(self.digest(*parts)[:8]) >> 2
