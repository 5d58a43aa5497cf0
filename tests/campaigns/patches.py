"""What a mutant is made of: places in the source, and what stands there instead."""

from dataclasses import dataclass


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
    """A wrong service, the sentence that says what it gets wrong, and the invariant it breaks."""

    name: str
    breaks: str
    says: str
    patches: tuple[Patch, ...]


def one(name: str, breaks: str, says: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, breaks, says, (Patch(file, old, new),))
