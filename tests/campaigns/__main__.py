"""Plays many campaigns and says what was broken.

python -m tests.campaigns --campaigns 2000     seeds 0 to 1999
python -m tests.campaigns --seed 47            one seed, with everything that was found
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.campaigns.run import MUST_HAPPEN, Result, play
from tests.campaigns.trouble import draw


def _results(first: int, count: int, processes: int) -> Iterator[Result]:
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap(play, range(first, first + count), chunksize=4)


def main() -> int:
    """Play; 1 when an invariant was broken, or a fault that must happen sometimes never did."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns")
    parser.add_argument("--campaigns", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one, in full")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    wanted = parser.parse_args()
    if wanted.seed is not None:
        return _one(wanted.seed)
    began, happened = time.monotonic(), Counter[str]()
    letters, broken, slowest = 0, 0, (0.0, 0)
    for number, result in enumerate(
        _results(wanted.first, wanted.campaigns, wanted.processes), start=1
    ):
        happened += result.happened
        letters += result.letters
        slowest = max(slowest, (result.seconds, result.seed))
        if result.violations:
            broken += 1
            print(f"seed {result.seed}: {result.violations[0]}", flush=True)
        if number % 100 == 0:
            print(f"{number} campaigns, {broken} broken, {time.monotonic() - began:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    seconds = time.monotonic() - began
    print(f"{wanted.campaigns} campaigns in {seconds:.0f} s, {letters} letters,"
          f" {broken} campaigns broke an invariant; the slowest, seed {slowest[1]}, took {slowest[0]:.1f} s")  # fmt: skip
    for what, times in sorted(happened.items()):
        print(f"{times:8}  {what}")
    never = [what for what in MUST_HAPPEN if not happened[what]]
    for what in never:
        print(f"NEVER  {what}")
    return 1 if broken or (never and wanted.campaigns >= 500) else 0


def _one(seed: int) -> int:
    plan, result = draw(seed), play(seed)
    print(f"seed {seed}: {', '.join(sorted(plan.on)) or 'nothing goes wrong'}")
    print(f"{result.letters} letters, trace {result.digest}, {result.seconds:.1f} s")
    for line in result.violations:
        print(line)
    for what, times in sorted(result.happened.items()):
        print(f"{times:8}  {what}")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
