"""What a disk holds after the power was cut: what was synced, and anything of what was not.

A disk keeps a log of all that was done to its files. A cut is a place in that log: what was synced
before it is there for certain; of each later write any sector may be there, or not, or torn. A file
that is new, gone or renamed is so for certain once its folder was synced; before, such changes
survive in their order, up to some point. After a failed sync nobody will ever write what it was
for, though the running system still shows it.
"""

import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

SECTOR = 512


Files = dict[str, tuple[int, bytes]]  # what is there for certain: node and content, by name


class Step(NamedTuple):
    """One line of the log: what was done, to which node (or folder), with what."""

    what: str
    where: Any = None
    at: Any = None
    data: Any = None


class Disk:
    """The folder of a running service, seen by SQLite's plug. `log` is all that happened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[Step] = []
        self.syncs = self.writes = 0
        self.fails_at = 0  # the so-many-th sync
        self.full_at = 0  # from the so-many-th write on
        self.over = False  # the process was killed, or the power cut: nothing more is written
        self._numbers = itertools.count()
        self._names: dict[str, int] = {}  # as they are now
        self._nodes: dict[int, int] = {}  # of inodes, which the system uses again
        self.begin: Files = {}
        self._look_around()
        for name, node in self._names.items():
            path = folder / name
            self.begin[name] = node, path.read_bytes() if path.is_file() else b""

    # ---- what is told ----------------------------------------------------------------------------

    def mark(self, what: str, where: Any = None) -> None:
        """Something that others may rely on from now on."""
        self.look()
        self.log.append(Step(what, where))

    def node_of(self, path: Path) -> int | None:
        """The node of a file in our folder."""
        self.look()
        try:
            return self._names.get(str(path.relative_to(self.folder)))
        except ValueError:
            return None

    def wrote(self, node: int, offset: int, data: bytes) -> None:
        self.log.append(Step("write", node, offset, data))

    def truncated(self, node: int, size: int) -> None:
        self.log.append(Step("truncate", node, size))

    def read_anew(self, node: int, path: Path) -> None:
        """What Python has written itself."""
        self.log += (Step("truncate", node, 0), Step("write", node, 0, path.read_bytes()))

    def is_full(self) -> bool:
        self.writes += 1
        return 0 < self.full_at <= self.writes

    def sync_fails(self) -> bool:
        self.syncs += 1
        return self.syncs == self.fails_at

    def synced(self, node: int) -> None:
        self.look()
        self.log.append(Step("sync", node))

    def failed(self, node: int) -> None:
        self.look()
        self.log.append(Step("failed", node))

    def folder_synced(self, path: Path) -> None:
        if path.is_relative_to(self.folder):
            self.look()
            name = str(path.relative_to(self.folder))
            self.log.append(Step("sync folder", "" if name == "." else name))

    def look(self) -> None:
        """Note what came, went and was renamed since the last look."""
        before = self._names.copy()
        self._look_around()
        gone = {node: name for name, node in before.items() if self._names.get(name) != node}
        for name, node in self._names.items():
            if before.get(name) != node:
                self.log.append(Step("link", node, name, gone.pop(node, None)))
        for node, name in gone.items():
            if name not in self._names:
                self.log.append(Step("unlink", node, name))

    def _look_around(self) -> None:
        found = dict(_files(str(self.folder), ""))
        self._nodes = {
            inode: self._nodes[inode] if inode in self._nodes else next(self._numbers)
            for inode in found.values()
        }
        self._names = {name: self._nodes[inode] for name, inode in found.items()}


def _files(folder: str, under: str) -> Iterator[tuple[str, int]]:
    """Files and folders, but those that live in memory alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = under + entry.name
            if not name.endswith(("-shm", ".lock")):
                yield name, entry.inode()
                if entry.is_dir():
                    yield from _files(entry.path, name + "/")


@dataclass
class _Node:
    """The content of a file: what is certain, and what was done to it since."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[Step] = field(default_factory=list)


class Platter:
    """Plays a log up to a cut, and says what may be there then."""

    def __init__(
        self,
        begin: Files,
        log: Sequence[Step],
        chance: random.Random,
        *,
        failed_survives: float = 0.5,  # how much of what a failed sync was for
    ) -> None:
        self._log = log
        self._chance, self._failed_survives = chance, failed_survives
        self._played = 0
        self._nodes = defaultdict(
            _Node, {node: _Node(bytearray(content)) for node, content in begin.values()}
        )
        self._certain = {name: node for name, (node, _) in begin.items()}
        self._changes: list[Step] = []  # of names, since their folder was synced

    def play(self, until: int) -> Iterator[Step]:
        """Every step before the place `until`, once it was played."""
        for step in self._log[self._played : until]:
            self._play(step)
            yield step
        self._played = until

    def _play(self, step: Step) -> None:
        what, node = step.what, step.where
        if what in {"write", "truncate"}:
            self._nodes[node].since.append(step)
        elif what == "sync":
            self._settle(self._nodes[node], lambda _piece: True)
        elif what == "failed":
            self._settle(
                self._nodes[node], lambda _piece: self._chance.random() < self._failed_survives
            )
        elif what in {"link", "unlink"}:
            self._changes.append(step)
        elif what == "sync folder":
            settled = [one for one in self._changes if _folder(one.at) == node]
            self._changes = [one for one in self._changes if _folder(one.at) != node]
            for one in settled:
                _rename(self._certain, one)

    def _settle(self, node: _Node, survives: Any) -> None:
        for step in node.since:
            _do(node.certain, step, _pieces(step, survives))
        node.since.clear()

    @property
    def uncertain(self) -> Counter[str]:
        """How many steps may be undone, by the kind of file; renames and new files too."""
        names = {node: name for name, node in self._names_if_all().items()}
        found = Counter(
            {PurePath(names[node]).suffix: len(one.since)
             for node, one in self._nodes.items() if one.since and node in names}
        )  # fmt: skip
        return found + Counter({"names": len(self._changes)})

    def is_database(self, node: int) -> bool:
        """Whether a node is a database itself and not its log."""
        return any(
            name.endswith(".db") for name, one in self._names_if_all().items() if one == node
        )

    def _names_if_all(self) -> dict[str, int]:
        names = self._certain.copy()
        for change in self._changes:
            _rename(names, change)
        return names

    def survivors(self, chance: random.Random, way: str) -> dict[str, bytes | None]:
        """The files after a cut, by name; None for a folder."""
        names = self._certain.copy()
        left = {"nothing": 0, "all": len(self._changes)}.get(way)
        for change in self._changes[
            : chance.randint(0, len(self._changes)) if left is None else left
        ]:
            _rename(names, change)
        whole = {name for name in names if all(str(up) in names for up in _parents(name))}
        folders = {str(up) for name in self._names_if_all() for up in _parents(name)}
        return {
            name: None if name in folders else self._content(self._nodes[node], chance, way)
            for name, node in names.items()
            if name in whole
        }

    def _content(self, node: _Node, chance: random.Random, way: str) -> bytes:
        if way == "nothing" or not node.since:
            return bytes(node.certain)
        content, steps = node.certain.copy(), node.since
        if way == "all":
            pieces: Any = lambda _piece: True  # noqa: E731
        elif way == "in order":
            steps = steps[: chance.randint(0, len(steps))]
            pieces = lambda _piece: True  # noqa: E731
        else:
            share = chance.random()
            pieces = lambda _piece: chance.random() < share  # noqa: E731
        for step in steps:
            if step.what == "truncate" and not pieces(step):
                continue
            found = _pieces(step, pieces)
            _do(content, step, _torn(found, chance) if way == "torn" else found)
        return bytes(content)


def _parents(name: str) -> Iterable[PurePath]:
    return list(PurePath(name).parents)[:-1]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _rename(names: dict[str, int], change: Step) -> None:
    if change.what == "unlink":
        if names.get(change.at) == change.where:
            del names[change.at]
        return
    if change.data is not None:
        names.pop(change.data, None)
    names[change.at] = change.where


def _pieces(step: Step, survives: Any) -> Iterator[tuple[int, bytes]]:
    """The sectors of a write that survive."""
    if step.what != "write":
        return
    at, end = step.at, step.at + len(step.data)
    while at < end:
        until = min((at // SECTOR + 1) * SECTOR, end)
        if survives(at):
            yield at, step.data[at - step.at : until - step.at]
        at = until


def _torn(
    pieces: Iterable[tuple[int, bytes]], chance: random.Random
) -> Iterator[tuple[int, bytes]]:
    """One in four ends early, is empty or is noise: SQLite counts on nothing within what it wrote."""
    for at, data in pieces:
        if chance.random() < 0.75:
            yield at, data
        else:
            kept = chance.choice((0, chance.randrange(len(data) + 1)))
            rest = len(data) - kept
            yield at, data[:kept] + chance.choice((bytes(rest), chance.randbytes(rest)))


def _do(content: bytearray, step: Step, pieces: Iterable[tuple[int, bytes]]) -> None:
    if step.what == "truncate":
        if step.at < len(content):
            del content[step.at :]
        else:
            content.extend(bytes(step.at - len(content)))
    for at, data in pieces:
        if len(content) < at:
            content.extend(bytes(at - len(content)))
        content[at : at + len(data)] = data
