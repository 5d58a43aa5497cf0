"""Cuts the power of campaign after campaign, at drawn places, and looks at what is left each time.

A campaign is a few lives of a service; in each the power is cut at many places, and what is left
after the last of them is where the next life begins.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from resonance_zoom.errors import ResonanceError
from tests.fuzz.play import fast_folder
from tests.power.disk import Platter, Step
from tests.power.life import DATABASE, Life, prepared, write_down
from tests.power.verdict import Relied, losses

LIVES, CUTS = 5, 20  # of a campaign, of a life
EACH = LIVES * CUTS
FROM_NOTHING = 5  # every so-many-th campaign begins without a database
HOW = {
    "nothing": "nothing of what was not synced survives",
    "all": "all of what was not synced survives",
    "in order": "what was not synced survives up to some write",
    "any": "any sectors of what was not synced survive",
    "torn": "any sectors of what was not synced survive, some torn",
}
KINDS = {
    "acknowledged": "acknowledged webhooks",
    "sent": "notes that a letter was sent",
    "accepted": "letters that had just left, as begun",
    "backups": "backups",
    "damaged": "whole databases",
    "starts": "starts",
}
# A cut that never comes at these moments shows nothing.
MUST_HAPPEN = (
    "in a write to the log",
    "in a write to the database",
    "while a file was new, renamed or gone",
    "between a letter's acceptance and the note",
    "before there was a database",
    "after a checkpoint",
)


@dataclass
class Figures:
    """What was looked for after each cut, by KINDS, and what was not there."""

    looked_for: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    @property
    def cuts(self) -> int:
        return self.looked_for["damaged"]

    def add(self, other: "Figures") -> None:
        self.looked_for += other.looked_for
        self.lost += other.lost
        self.happened += other.happened
        self.found += other.found

    def never(self) -> list[str]:
        """The moments that did not come, and what was not there to be lost."""
        moments = [f"cut {moment}" for moment in MUST_HAPPEN if not self.happened[moment]]
        return moments + [
            f"looked for {KINDS[kind]}" for kind in KINDS if not self.looked_for[kind]
        ]

    def table(self) -> str:
        lines = [f"{'':46} {'looked for':>12} {'lost':>6}"]
        lines += [
            f"{words:46} {self.looked_for[kind]:12,} {self.lost[kind]:6,}"
            for kind, words in KINDS.items()
        ]
        lines += [f"cut {moment:42} {self.happened[moment]:12,}" for moment in MUST_HAPPEN]
        return "\n".join(lines)


class Cut(NamedTuple):
    """A cut that was looked at: where and how, and what was lost, mostly nothing."""

    number: int
    words: str
    lost: list[str]


class Campaign:
    """The campaign of a number."""

    def __init__(self, seed: int, number: int, folder: Path) -> None:
        self.seed, self.number, self.folder = seed, number, folder
        self.figures = Figures()
        self.relied = Relied()
        self.left = prepared() if number % FROM_NOTHING else {}

    def play(self, cuts: int = EACH) -> Iterator[Cut]:
        """Up to so many cuts."""
        for number in range(-(-cuts // CUTS)):
            life = self._live(number)
            if life is None:
                return
            yield from self._cut(life, number, min(CUTS, cuts - number * CUTS))

    def _live(self, number: int) -> Life | None:
        """A life that begins with what was left by the last cut; None if it could not begin."""
        write_down(self.left, self.folder / "alive")
        chance = _chance(f"{self.seed} {self.number} {number}")
        life = Life(self.folder / "alive", chance, number)
        self.figures.looked_for["starts"] += 1
        with life.lived():
            try:
                life.start()
            except ResonanceError as error:
                self.figures.lost["starts"] += 1
                self.figures.found.append(f"start {number} of campaign {self.number}: {error}")
                return None
            for _ in range(chance.randint(4, 12)):
                life.act()
        return life

    def _cut(self, life: Life, number: int, cuts: int) -> Iterator[Cut]:
        first = self.number * EACH + number * CUTS
        log, at_birth = life.disk.log, not life.disk.begin
        chances = [_chance(f"{self.seed} cut {first + cut}") for cut in range(CUTS)]
        places = [_place(chance, log, at_birth=at_birth) for chance in chances]
        platter = Platter(life.disk.begin, log, _chance("no sync fails"))
        relied, checkpointed = self.relied, False
        relied.accepted.clear()
        for cut in sorted(range(CUTS), key=places.__getitem__):
            for step in platter.play(places[cut]):
                relied.learn(step)
                checkpointed |= step.what == "sync" and platter.is_database(step.where)
            chance = chances[cut]
            how = chance.choice([*HOW])
            left = platter.survivors(chance, how)
            if cut == CUTS - 1:
                self.left, self.relied = left, relied.copy()
            if cut < cuts:
                self._count(platter, relied, left, checkpointed=checkpointed)
                noise = chance.choice((b"", chance.randbytes(32768)))
                lost = losses(left, relied, self.folder, noise=noise)
                words = f"cut {first + cut} at step {places[cut]} of {len(log)}, {HOW[how]}"
                yield self._told(Cut(first + cut, words, _in_words(lost)), lost)

    def _told(self, cut: Cut, lost: dict[str, list[object]]) -> Cut:
        self.figures.lost += Counter({kind: len(what) for kind, what in lost.items()})
        self.figures.found += [f"{cut.words}: {words}" for words in cut.lost]
        return cut

    def _count(
        self, platter: Platter, relied: Relied, left: dict[str, bytes | None], *, checkpointed: bool
    ) -> None:
        uncertain = platter.uncertain
        came = (
            uncertain[".db-wal"],
            uncertain[".db"],
            uncertain["names"],
            relied.accepted,
            DATABASE not in left,
            checkpointed,
        )
        self.figures.looked_for += Counter(relied.count() | {"damaged": 1})
        self.figures.happened += Counter(dict(zip(MUST_HAPPEN, map(bool, came), strict=True)))


def _chance(of: str) -> random.Random:
    return random.Random(of)  # noqa: S311 — it must repeat, not surprise


def _place(chance: random.Random, log: Sequence[Step], *, at_birth: bool) -> int:
    """Half of all cuts come just after somebody began to rely on something.

    Of those at the birth of a database, one in four comes before its file is there for certain.
    """
    marks = [place for place, step in enumerate(log, 1) if step.what in KINDS]
    if at_birth and chance.random() < 0.25:
        return chance.randint(0, 16)
    if marks and chance.random() < 0.5:
        return chance.choice(marks)
    return chance.randint(0, len(log))


def _in_words(lost: dict[str, list[object]]) -> list[str]:
    return [f"lost of {KINDS[kind]}: {what}" for kind, what in lost.items()]


def play(seed: int, number: int, cuts: int = EACH) -> Figures:
    """A campaign with up to so many cuts; what was counted."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        campaign = Campaign(seed, number, Path(folder))
        for _ in campaign.play(cuts):
            pass
        return campaign.figures
