"""What a body says, read a second time and by other means than the service's own."""

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tests.fuzz.calls import CHALLENGE, OURS, REGISTRATIONS


@dataclass(frozen=True, slots=True)
class Reading:
    """`unfit`: it must be refused; else what it says."""

    unfit: bool = False
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def event(self) -> Any:
        """Zoom's name of what happened."""
        return self.said.get("event")

    @property
    def challenge(self) -> bool:
        """Whether Zoom asks for our answer."""
        return bool(self.event == CHALLENGE)

    @property
    def object(self) -> dict[str, Any]:
        """What it happened to."""
        payload = self.said.get("payload")
        thing = payload.get("object") if isinstance(payload, dict) else None
        return thing if isinstance(thing, dict) else {}

    def is_to_be_applied(self, stamp: int, now: int) -> bool:
        """Whether it changes a registrant of ours: of one of our meetings, and of this moment."""
        return (
            self.event in REGISTRATIONS
            and str(self.object.get("id")).lstrip("0") in {str(meeting) for meeting in OURS}
            and abs(now - stamp) <= 300
            and (self.said.get("event_ts") or 0) <= (now + 300) * 1000
        )


def read(body: bytes) -> Reading:
    """The document of a body; unfit for what JSON does not know, or what does harm to readers."""
    try:
        said = json.loads(
            body.decode("utf-8", "strict"),
            parse_constant=_unfit,
            parse_int=_number,
            parse_float=_number,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        return Reading(unfit=True)
    if not isinstance(said, dict) or not said.get("event") or _depth(said) > 32:
        return Reading(unfit=True)
    return Reading(said=said)


def _unfit(what: str) -> NoReturn:
    raise ValueError(what)


def _number(written: str) -> int | float:
    if len([sign for sign in written if sign in "0123456789"]) > 20:
        _unfit(written)
    return int(written) if written.lstrip("-").isdigit() else float(written)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        _unfit("twice")
    return dict(pairs)


def _depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)
