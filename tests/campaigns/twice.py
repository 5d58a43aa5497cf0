"""I21 and I30: two plays of one campaign, with one difference or none, are compared."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.campaigns.timely import starts_told

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

PACING = timedelta(minutes=12)  # one mark of the jobs that ask Zoom, which may be played or not
Got = dict[tuple[str, str, str], list[datetime]]


def others_got_the_same(play: "Play", without: "Play") -> Iterator[str]:
    """I21: of whom everything goes wrong, nobody else notices anything."""
    poison = play.plan.poison
    assert poison is not None
    ours, theirs = _letters(play, poison.email), _letters(without, poison.email)
    for key in sorted(ours.keys() | theirs.keys()):
        with_, sans = ours.get(key, []), theirs.get(key, [])
        apart = [abs(one - other) for one, other in zip(with_, sans, strict=False)]
        if len(with_) != len(sans) or any(one > PACING for one in apart):
            yield (
                f"I21 {poison.email} is {poison.how}: {key} left at {_said(with_)},"
                f" without them at {_said(sans)}"
            )


def _letters(play: "Play", but: str) -> Got:
    """When what was said to whom: kinds and starts, for links differ with who came before."""
    found: Got = {}
    for letter in play.memory.relay.accepted:
        whom = letter.recipients[0].lower()
        if whom != but:
            told = starts_told(play, letter.meeting_id or 0, letter.text)
            about = f"{letter.meeting_id} {[str(start) for _, start in told]}"
            found.setdefault((whom, letter.kind, about), []).append(letter.at)
    return found


def _said(moments: list[datetime]) -> str:
    return ", ".join(map(str, moments)) or "no time"


def it_is_the_same(first: str, second: str) -> Iterator[str]:
    """I30: one seed is one campaign."""
    if first != second:
        yield f"I30 the same seed was played twice: {first} and {second}"
