"""What the letters of a wave share, rendered and encoded once; each is then filled with its own.

To render and encode a letter costs ten times what filling it costs. Templates may do with a
person's words whatever they like, so a frame is only used once it was seen to give, for people as
different as can be, what rendering gives; else each letter is rendered by itself.
"""

import quopri
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from markupsafe import escape

from resonance_zoom.mail.quoting import head_of_text, is_legible, quoted_piece, text_part


class Letter(Protocol):
    """A letter's words, and the parts of a message that say them."""

    @property
    def subject(self) -> str:
        """One line."""

    @property
    def text(self) -> str:
        """Plain text."""

    @property
    def html(self) -> str:
        """A whole HTML document."""

    def parts(self) -> tuple[bytes, bytes]:
        """Text and HTML as parts of a message, each with its headers."""


@dataclass(frozen=True, slots=True)
class RenderedLetter:
    """A letter that was rendered by itself."""

    subject: str
    text: str
    html: str

    def parts(self) -> tuple[bytes, bytes]:
        """As `Letter.parts`."""
        return text_part("plain", self.text), text_part("html", self.html)


@dataclass(frozen=True, slots=True)
class FilledLetter:
    """A frame, and the words of one person that go into it."""

    frame: "Frame"
    own: Mapping[str, str]

    @property
    def subject(self) -> str:
        """As `Letter.subject`."""
        return self.frame.subject

    @property
    def text(self) -> str:
        """As `Letter.text`."""
        return self.frame.text.words(self.own)

    @property
    def html(self) -> str:
        """As `Letter.html`."""
        return self.frame.html.words(self._escaped())

    def parts(self) -> tuple[bytes, bytes]:
        """As `Letter.parts`."""
        encoded: dict[str, bytes] = {}
        text = self.frame.text.part(self.own, encoded)
        return text, self.frame.html.part(self._escaped(), encoded)

    def _escaped(self) -> dict[str, str]:
        return {name: str(escape(words)) for name, words in self.own.items()}


class Pieces:
    """One part of a frame: every second piece is the name of what a person has there."""

    def __init__(self, subtype: str, marked: str) -> None:
        self._pieces = _MARK.split(marked)
        self._names = self._pieces[1::2]
        self._encoded = [quoted_piece(piece) for piece in self._pieces]
        self._encoded[0] = head_of_text(subtype, "quoted-printable") + self._encoded[0]
        self.legible = is_legible("".join(self._pieces[::2]), b"".join(self._encoded[::2]))

    def words(self, own: Mapping[str, str]) -> str:
        """The whole part with somebody's words in it."""
        pieces = self._pieces.copy()
        pieces[1::2] = [own[name] for name in self._names]
        return "".join(pieces)

    def part(self, own: Mapping[str, str], encoded: dict[str, bytes]) -> bytes:
        """The same as a part of a message, with its headers. `encoded` keeps what was encoded."""
        pieces = self._encoded.copy()
        for place, name in enumerate(self._names):
            words = own[name]
            if words not in encoded:
                encoded[words] = quoted_piece(words)
            pieces[2 * place + 1] = encoded[words]
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Frame:
    """What the letters of people share who differ in their own words alone."""

    subject: str
    text: Pieces
    html: Pieces


# Private characters: `clean_name` leaves none in a name, no address and no link can hold one.
_MARK = re.compile("\ue000([a-z_]+)\ue001")
# People whose words are changed by whatever a template may do but write them down.
_CONTRASTING = (
    "Œuvre d’<b>'\"&amp; {{ 7*7 }} ß ÉÉ é\u0301 " * 3,
    "x",
    "https://ZOOM.us/w/1?tk=É&b=%41" + "0123456789" * 20,
)


class _NotSimple(Exception):
    """A template looks into a person's words."""


def _looks_into(*_: Any, **__: Any) -> Any:
    raise _NotSimple


class _Mark(str):
    """Stands where a person's words will: can be written, and asked whether there is anything."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


for _name in (*(name for name in dir(str) if not name.startswith("_")),
              "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__len__", "__contains__",
              "__getitem__", "__iter__", "__mul__", "__rmul__", "__mod__", "__rmod__"):  # fmt: skip
    setattr(_Mark, _name, _looks_into)
_Mark.__hash__ = str.__hash__  # type: ignore[method-assign]


def frame_of(
    render: Callable[[Mapping[str, str]], RenderedLetter], own: Mapping[str, str]
) -> Frame | None:
    """The frame of all letters whose people have what this one has; None where there is none."""
    try:
        marked = render({name: _mark(name) if words else "" for name, words in own.items()})
    except _NotSimple:
        return None
    frame = Frame(marked.subject, Pieces("plain", marked.text), Pieces("html", marked.html))
    same = frame.text.legible and frame.html.legible and all(
        _agree(FilledLetter(frame, somebody), render(somebody))
        for somebody in ({name: words if here else "" for name, here in own.items()}
                         for words in _CONTRASTING)
    )  # fmt: skip
    return frame if same else None


def _agree(filled: FilledLetter, rendered: RenderedLetter) -> bool:
    ours, theirs = ((one.subject, one.text, one.html) for one in (filled, rendered))
    return ours == theirs and [*map(_read, filled.parts())] == [*map(_read, rendered.parts())]


def _read(part: bytes) -> bytes:
    """A part as a mail program reads it; `render` makes no line that would need base64."""
    return quopri.decodestring(part.partition(b"\r\n\r\n")[2])


def _mark(name: str) -> _Mark:
    return _Mark(f"\ue000{name}\ue001")
