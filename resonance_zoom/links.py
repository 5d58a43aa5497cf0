"""Our own signed links: a registrant's page and the staff's way in. HS256 pinned, our key only.

A link holds no name and no address of a registrant, only our number for them. What a link may not
be is told in one word for all cases, so that nobody learns from the answer how close they were.
https://www.rfc-editor.org/rfc/rfc8725 says what goes wrong with such tokens elsewhere.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_encode

from resonance_zoom.errors import ResonanceError

READER, ADMIN = "reader", "admin"
ROLES = (READER, ADMIN)
_PERSONAL, _STAFF = "registrant", "staff"
# What `jwt.encode` makes, at a quarter of its cost: a personal link is in every letter of a wave.
_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_HEADER = base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
_KINDS: dict[str, Any] = {"exp": int, "iat": (int, float)}  # all other claims are text


class LinkRefused(ResonanceError):
    """A link that is wrong, old, tampered with, or not for this."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A staff link: whom it was made for, what they may do, from when until when.

    `id` is spent once.
    """

    id: str
    name: str
    role: str
    made_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and reads the links of one campaign. `public_url` without a trailing slash."""

    secret_key: str
    public_url: str
    campaign: str

    def personal(self, registrant: int) -> str | None:
        """The address of a registrant's own page, the same each time; None without a key."""
        if not self.secret_key:
            return None
        claims = f'{{"iss":"{self.campaign}","aud":"{_PERSONAL}","sub":"{registrant:d}"}}'
        signed = b".".join((_HEADER, base64url_encode(claims.encode("ascii"))))
        seal = base64url_encode(_HS256.sign(signed, self.secret_key.encode()))
        return f"{self.public_url}/me/{signed.decode()}.{seal.decode()}"

    def registrant(self, token: str) -> int:
        """Our number of the person whose page this is. Raises LinkRefused.

        Until when is not in it: a personal link ends with the campaign, and moves with its dates.
        """
        claims = self._read(token, _PERSONAL, ["sub"])
        if not claims["sub"].isdecimal():
            raise LinkRefused("this link is no longer valid")
        return int(claims["sub"])

    def invitation(self, name: str, role: str, *, now: datetime, ends_at: datetime) -> str:
        """The address that lets somebody of the staff in, once, before `ends_at`."""
        if role not in ROLES:
            raise ValueError(f"no role {role!r}")
        token = self._sign(
            {
                "aud": _STAFF,
                "sub": name,
                "role": role,
                "jti": secrets.token_urlsafe(16),
                "iat": now.timestamp(),  # to the microsecond: `sign-out` draws a line in time
                "exp": int(ends_at.timestamp()),
            }
        )
        return f"{self.public_url}/staff/sign-in/{token}"

    def read_invitation(self, token: str, now: datetime) -> Invitation:
        """Whom this token lets in; whether it was spent is not looked up. Raises LinkRefused."""
        claims = self._read(token, _STAFF, ["sub", "role", "jti", "iat", "exp"])
        made_at, ends_at = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
        if now >= ends_at or claims["role"] not in ROLES:
            raise LinkRefused("this link is no longer valid")
        return Invitation(claims["jti"], claims["sub"], claims["role"], made_at, ends_at)

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(
            {"iss": self.campaign, **claims}, self.secret_key.encode(), algorithm="HS256"
        )

    def _read(self, token: str, audience: str, needs: list[str]) -> dict[str, Any]:
        if not self.secret_key or len(token) > 2000:
            raise LinkRefused("this link is no longer valid")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.secret_key.encode(),
                algorithms=["HS256"],
                audience=audience,
                issuer=self.campaign,
                # Time is the service's clock, not the library's: `exp` is compared by the caller.
                options={
                    "require": ["aud", "iss", *needs],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError:
            raise LinkRefused("this link is no longer valid") from None
        if not all(isinstance(claims.get(name), _KINDS.get(name, str)) for name in needs):
            raise LinkRefused("this link is no longer valid")
        return claims
