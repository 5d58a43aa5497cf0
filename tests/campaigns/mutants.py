"""Hunts the services that are wrong on purpose: campaigns must catch every one of `wrong`.

A mutant is a patch of the real source, applied while it is imported in a process of its own: where
the source has changed so that a patch no longer fits, that is an error. It is caught by the very
invariant that it breaks, so that each of them is known to be able to fail.

    python -m tests.campaigns.mutants              all of them, a table
    python -m tests.campaigns.mutants NAME …       some of them
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.campaigns.patches import Mutant, Patch
from tests.campaigns.wrong import MUTANTS

ROOT = Path(__file__).parents[2]
WITHIN = 500  # campaigns
BROKE_DOWN = "I27"  # a service that cannot go on at all


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
            violations = play(seed).violations
        except Exception as error:  # noqa: BLE001 — a service that breaks down is caught as well
            violations = (f"{BROKE_DOWN} {type(error).__name__}: {error}",)
        for words in violations:
            if one.breaks in words.split()[:2]:
                return seed + 1, words
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
    print(f"{'mutant':26} {'breaks':7} {'campaigns':>9} {'seconds':>8}  caught by")
    with ThreadPoolExecutor(2) as pool:
        for one, count, words, seconds in pool.map(_in_a_process, chosen):
            survived += not count
            print(f"{one.name:26} {one.breaks:7} {count or 'SURVIVED':>9} {seconds:8.1f}  {words[:110]}",
                  flush=True)  # fmt: skip
    print(f"{len(chosen) - survived} of {len(chosen)} mutants caught within {WITHIN} campaigns")
    return 1 if survived else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hunt"]:
        caught, by = hunt(mutant(sys.argv[2]))
        print(caught, by)
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
