"""One API call, after its path has been understood."""

from dataclasses import dataclass

from resonance_zoom.zoom.simulator.records import Refusal


@dataclass(frozen=True, slots=True)
class Call:
    """`args` holds the parts of the path under Zoom's names: userId, meetingId, registrantId."""

    args: dict[str, str]
    query: dict[str, str]
    body: bytes

    @property
    def meeting_id(self) -> int:
        """The meeting's number; Refusal 300 if it is none."""
        text = self.args["meetingId"]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Refusal(400, 300, f"Invalid meeting id: {text}.")
        return int(text)
