"""The table of what can go wrong names every row once, and only tests and mutants that exist."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

from tests.campaigns.wrong import MUTANTS

TESTS = Path(__file__).parents[1]
TABLE = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
ROWS = {
    found[1]: found[2] for found in re.finditer(r"(?m)^\| ([FSP]-?\d+) \|[^|]*\| (.+) \|$", TABLE)
}
EVERY_ROW = [
    *(f"F{number}" for number in range(1, 63)),
    *(f"S-{number}" for number in range(1, 45) if number not in {24, 25}),
    *(f"P-{number}" for number in range(1, 11)),
]


def test_every_row_stands_there_once() -> None:
    assert re.findall(r"(?m)^\| ([FSP]-?\d+) \|", TABLE) == EVERY_ROW


@pytest.mark.parametrize("row", EVERY_ROW)
def test_a_row_is_shown_by_tests_that_exist_or_says_why_it_is_open(row: str) -> None:
    cell = ROWS[row]
    if cell.startswith("open: "):
        assert len(cell) > len("open: ") + 20
        return
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
    mutants = re.findall(r"mutant `(\w+)`", cell)
    assert named or mutants
    assert set(mutants) <= {mutant.name for mutant in MUTANTS}
    for file, test in named:
        source = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"(?m)^def {test}\(", source), f"{file}::{test}"


INVARIANTS = {
    found[1]: (found[2], found[3])
    for found in re.finditer(r"(?m)^\| (I\d+) \|[^|]*\| `([\w.]+)` \| mutant `(\w+)` \|$", TABLE)
}


def test_every_invariant_stands_there_once() -> None:
    assert list(INVARIANTS) == [f"I{number}" for number in range(1, 31)]


@pytest.mark.parametrize("number", INVARIANTS)
def test_an_invariant_is_checked_by_code_that_names_it_and_fails_for_a_mutant(number: str) -> None:
    checked_by, mutant = INVARIANTS[number]
    module, *names = checked_by.split(".")
    place = import_module(f"tests.campaigns.{module}")
    assert callable(reduce(getattr, names, place))
    source = Path(place.__file__ or "").read_text(encoding="utf-8")
    assert re.search(rf"\b{number}\b", source)
    assert {one.name: one.breaks for one in MUTANTS}[mutant] == number
