"""Services that are wrong on purpose, each after a real incident; campaigns must catch every one.

A mutant is a patch of the real source, applied while it is imported in a process of its own: where
the source has changed so that a patch no longer fits, that is an error.

    python -m tests.campaigns.mutants              all of them, a table
    python -m tests.campaigns.mutants NAME …       some of them
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]
WITHIN = 500  # campaigns


@dataclass(frozen=True, slots=True)
class Patch:
    """`old` stands once in the file and becomes `new`."""

    file: str
    old: str
    new: str

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")

    def applied(self, source: str) -> str:
        if source.count(self.old) != 1:
            raise LookupError(f"{self.file}: {source.count(self.old)} places for {self.old!r}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong service, and the sentence that says what it gets wrong."""

    name: str
    says: str
    patches: tuple[Patch, ...]


def _one(name: str, says: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, says, (Patch(file, old, new),))


MUTANTS = (
    _one(
        "batch_mark",
        "the first letter of a wave that leaves marks the whole wave as sent",
        "resonance_zoom/store/claims.py",
        '''    """sending → sent, with the server's words: (letter, when, words)."""
''',
        '''    """sending → sent, with the server's words: (letter, when, words)."""
    for letter, at, _words in accepted:
        this = select(letters.c.kind).where(letters.c.id == letter).scalar_subquery()
        wave = (letters.c.state == QUEUED) & (letters.c.kind == this) & (letters.c.ready_at <= at)
        connection.execute(update(letters).where(wave).values(state=SENT, sent_at=at, reason="w"))
''',
    ),
    _one(
        "sent_before_sending",
        "a letter is marked as sent before it is",
        "resonance_zoom/store/claims.py",
        "        state=SENDING,\n        claimed_at=_NOW,",
        "        state=SENT,\n        claimed_at=_NOW,",
    ),
    _one(
        "no_cancel_recheck",
        "whoever was owed a letter gets it, cancelled or not",
        "resonance_zoom/reminders.py",
        '    if person.status != "approved":\n        return Drop(person.status)\n    if meeting',
        "    if meeting",
    ),
    _one(
        "no_reconcile",
        "Zoom's lists are never read",
        "jobs/sync_registrants.py",
        "    began = service.now()\n    try:\n        found = sweep_meeting(",
        "    began = service.now()\n    return Sweep(meeting.focus_group)\n"
        "    try:\n        found = sweep_meeting(",
    ),
    Mutant(
        "dedupe_in_memory",
        "which events are known is forgotten at a restart",
        (
            Patch(
                "resonance_zoom/store/people.py",
                '    return set(connection.scalars(_KEYS, {"keys": [*keys]}))',
                '    seen = connection.engine.__dict__.setdefault("seen", set())\n'
                "    found = seen & {*keys}\n"
                "    seen.update(keys)\n"
                "    return found",
            ),
            Patch(
                "resonance_zoom/store/people.py",
                "    insert_many(connection, events, rows)",
                "    tag = str(id(connection.engine))[:20]\n"
                '    rows = [{**row, "key": row["key"][:40] + tag} for row in rows]\n'
                "    insert_many(connection, events, rows)",
            ),
        ),
    ),
    _one(
        "utc_offset_math",
        "a reminder of N days falls due 24 × N hours before",
        "resonance_zoom/campaign.py",
        "            _utc(local_date - timedelta(days=n), self.reminder_send_at, self.timezone)"
        " for n in days\n",
        "            _utc(local_date, self.reminder_send_at, self.timezone) - timedelta(days=n)"
        " for n in days\n",
    ),
    _one(
        "misfire_drop",
        "a reminder that could not leave at its minute never does",
        "resonance_zoom/reminders.py",
        "        late = now >= due.until\n",
        "        late = now >= due.at + timedelta(minutes=2)\n",
    ),
    Mutant(
        "blind_resend",
        "whatever is in doubt goes again, every kind and every time",
        (
            Patch(
                "resonance_zoom/delivery.py",
                "    again = needed and outbox.once_more(",
                "    again = outbox.once_more(",
            ),
            Patch(
                "resonance_zoom/store/outbox.py",
                "        letters.c.recoveries == 0,\n",
                "",
            ),
        ),
    ),
    _one(
        "last_arrival_wins",
        "what comes last is believed, whatever its stamp",
        "resonance_zoom/registrations.py",
        "    for event in sorted(set(events), key=_order):",
        "    for event in dict.fromkeys(events):",
    ),
    _one(
        "partial_page_cancels",
        "a listing that breaks off passes for a whole one",
        "resonance_zoom/zoom/client.py",
        "            page = self._call(replace(listing, params=params))\n",
        "            try:\n                page = self._call(replace(listing, params=params))\n"
        "            except ZoomError:\n                return\n",
    ),
    _one(
        "due_never_recomputed",
        "reminders keep the date that the meeting had before it was moved",
        "resonance_zoom/reminders.py",
        "    for due in campaign.reminders(meeting.start_at):\n        if now < due.at:",
        "    for due in campaign.reminders(meeting.former_start or meeting.start_at):\n"
        "        if now < due.at:",
    ),
    _one(
        "create_blind",
        "a meeting is created without a look whether it is there",
        "resonance_zoom/comparison.py",
        "        if len(found) > 1:\n",
        "        found = []\n        if len(found) > 1:\n",
    ),
    _one(
        "two_daemons",
        "nothing keeps a second daemon away",
        "resonance_zoom/store/beside.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
    ),
    _one(
        "catchup_late_regs",
        "who registers after a reminder fell due gets it all the same",
        "resonance_zoom/store/outbox.py",
        "        registrants.c.registered_at <= due_at,\n"
        "        registrants.c.approved_at <= due_at,\n",
        "",
    ),
    _one(
        "ack_before_commit",
        "Zoom is answered 200 for what was not stored",
        "resonance_zoom/web/webhooks.py",
        '    return PlainTextResponse("not stored, come again\\n", status_code=503)',
        "    return Response(status_code=200)",
    ),
    Mutant(
        "restore_resends",
        "after a restore everything that was due since the backup goes again",
        (
            Patch(
                "resonance_zoom/holds.py",
                "    held = 0\n    for window in _windows(connection):\n"
                '        until = datetime.fromisoformat(window["until"])\n',
                "    held = 0\n    for window in []:\n"
                '        until = datetime.fromisoformat(window["until"])\n',
            ),
        ),
    ),
    # ---- beyond the list of the incidents ----
    _one(
        "no_clock_guard",
        "letters leave by whatever the clock says",
        "resonance_zoom/clock_guard.py",
        "            return doubt\n",
        "            return None\n",
    ),
    _one(
        "doubt_waits",
        "a confirmation whose answer was lost waits for staff",
        "resonance_zoom/delivery.py",
        "    again = needed and outbox.once_more(",
        "    again = not needed and outbox.once_more(",
    ),
    _one(
        "absent_is_gone",
        "one listing without somebody says that they are gone",
        "resonance_zoom/sweep.py",
        "    gone = [\n        row\n        for row in lacking\n"
        "        if row.absent_since is not None and began - row.absent_since >= BETWEEN_LISTINGS\n"
        "    ]\n",
        "    lacking = people.with_ids(connection, unseen)\n"
        "    gone = [row for row in lacking if row.absent_since is not None]\n",
    ),
    _one(
        "reminder_of_the_old_date",
        "a letter that speaks of the date before the move still goes",
        "resonance_zoom/reminders.py",
        '        return Drop("moved")\n',
        "        pass\n",
    ),
    _one(
        "never_too_late",
        "a reminder leaves however late",
        "resonance_zoom/reminders.py",
        "if letter.kind == CONFIRMATION else letter.worth_until):",
        "if True else letter.worth_until):",
    ),
    _one(
        "case_makes_people",
        "one address in two casings is two people",
        "resonance_zoom/store/people.py",
        "    return email.strip().lower()\n",
        "    return email.strip()\n",
    ),
    _one(
        "same_episode",
        "who comes back after a cancellation gets no new link",
        "resonance_zoom/registrations.py",
        "episode=state.episode + 1)",
        "episode=state.episode)",
    ),
    _one(
        "recovery_forgotten",
        "what a crash left half sent stays so",
        "resonance_zoom/daemon.py",
        "recovered = delivery.recover(connection, service.campaign, now)",
        "recovered = 0",
    ),
    _one(
        "token_kept",
        "a token that Zoom refuses is used on",
        "resonance_zoom/zoom/client.py",
        "        except ZoomUnauthorized:\n"
        "            # Another process may have used the token up; Zoom did nothing on a 401.\n"
        "            self._tokens.invalidate(token)\n",
        "        except ZoomUnauthorized:\n            pass\n",
    ),
)


class _Patching(MetaPathFinder):
    """Imports the patched modules of one mutant, everything else as it is."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patches = [patch for patch in self.mutant.patches if patch.module == name]
        if not patches:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            raise ImportError(name)
        found.loader = _Patched(name, found.origin, patches)
        return found


class _Patched(SourceFileLoader):
    """Compiles the patched text; no cache, in either direction."""

    def __init__(self, name: str, path: str, patches: Sequence[Patch]) -> None:
        super().__init__(name, path)
        self.patches = patches

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 — importlib's signature
        source = Path(self.path).read_text(encoding="utf-8")
        for patch in self.patches:
            source = patch.applied(source)
        return compile(source, self.path, "exec")


def mutant(name: str) -> Mutant:
    """The mutant of that name; KeyError when there is none."""
    found = {one.name: one for one in MUTANTS}
    return found[name]


def hunt(one: Mutant, within: int = WITHIN) -> tuple[int, str]:
    """In this process: (campaigns until it was caught, by what); (0, "") when it survived.

    Must come before anything of the service is imported.
    """
    sys.meta_path.insert(0, _Patching(one))
    from tests.campaigns.run import play

    for seed in range(within):
        try:
            result = play(seed)
        except Exception as error:  # noqa: BLE001 — a service that breaks down is caught as well
            return seed + 1, f"{type(error).__name__}: {error}"
        if result.violations:
            return seed + 1, result.violations[0]
    return 0, ""


def _in_a_process(one: Mutant) -> tuple[Mutant, int, str, float]:
    began = time.monotonic()
    ran = subprocess.run(  # noqa: S603 — ourselves
        [sys.executable, "-m", "tests.campaigns.mutants", "--hunt", one.name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if ran.returncode:
        return one, 0, ran.stderr.strip()[-300:], seconds
    count, _, words = ran.stdout.strip().partition(" ")
    return one, int(count), words, seconds


def main(names: Sequence[str]) -> int:
    """Hunt them all, two at a time; 1 when one survived."""
    chosen = [mutant(name) for name in names] or list(MUTANTS)
    survived = 0
    print(f"{'mutant':26} {'campaigns':>9} {'seconds':>8}  caught by")
    with ThreadPoolExecutor(2) as pool:
        for one, count, words, seconds in pool.map(_in_a_process, chosen):
            survived += not count
            print(f"{one.name:26} {count or 'SURVIVED':>9} {seconds:8.1f}  {words[:110]}",
                  flush=True)  # fmt: skip
    print(f"{len(chosen) - survived} of {len(chosen)} mutants caught within {WITHIN} campaigns")
    return 1 if survived else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hunt"]:
        caught, by = hunt(mutant(sys.argv[2]))
        print(caught, by)
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
