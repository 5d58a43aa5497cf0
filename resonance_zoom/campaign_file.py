"""config/campaign.toml → Campaign, or every fault of the file at once.

Each problem reads `file:line: key: reason`, where `focus_group[2].title` is the second group's
title and the reason says what would be right. Checks of single keys: `campaign_schema`; of keys
together: `campaign_rules`.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from resonance_zoom import campaign_rules, campaign_schema
from resonance_zoom.campaign import Campaign, FocusGroup, Notices, Organiser
from resonance_zoom.campaign_schema import CampaignFile, KeyPath, Unreadable
from resonance_zoom.errors import CampaignFileError
from resonance_zoom.toml_lines import key_lines, line_of

# tomllib's words for "something else stands where a value should": 2021-02-30, 09h00, automatic.
_NO_VALUE = (
    "Invalid date or datetime",
    "Invalid value",
    "Expected newline or end of document",
    "Unclosed inline table",
    "Unclosed array",
)
_BARE_VALUE = re.compile(r"=[ \t]*([^\s\"'\[\]{}=,#][^\"'\[\]{}=,#\n]*?)[ \t]*(?=[,}#\n]|$)")
_IN_OTHER_WORDS = {
    "Cannot overwrite a value": "the same key stands twice in one table; remove one of the two",
    "Cannot declare": "the same table begins twice; use double brackets, or remove one of the two",
    "Illegal character '\\n'": "a text is not closed on its line; add the double quote",
    "Unescaped '\\'": "a backslash stands alone in a text; write it twice",
    "Unterminated string": "a text that begins here is never closed; add its closing quotes",
    "Expected '=' after a key": "a key must be followed by = and a value",
    "Invalid date or datetime": "no such day or hour",
    "Unclosed": "a bracket is not closed, or something stands there that is no value",
    "Invalid value": "what follows the = is no value; a text needs double quotes",
    "Expected newline or end of document": "the value ends before this line does; a text needs"
    " one pair of double quotes around the whole of it",
}
# Python neither reads nor writes a decimal number of over 4,300 digits; a hexadecimal one it reads.
_LONG_NUMBER, _LONG_IN_BITS = re.compile(r"[0-9_]{4301,}"), 14_000
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load_campaign(path: Path) -> Campaign:
    """The campaign that the file describes.

    Raises CampaignFileError with one line for each problem: a file that cannot be read, text that
    is no TOML, unknown, missing and wrong keys, and keys that do not go together.
    """
    text = _read(path)
    values, text = _Parser(path, text).parse()
    problems = campaign_schema.problems(values)
    sound = campaign_rules.Sound(values, frozenset(where for where, _ in problems))
    problems += campaign_rules.problems(sound)
    if problems:
        lines = key_lines(text)
        found = sorted((line_of(lines, where), _written(where), why) for where, why in problems)
        raise _unusable(f"{path}:{line}: {key}: {why}" for line, key, why in found)
    return _campaign(CampaignFile.model_validate(values))


def _unusable(problems: Iterable[str]) -> CampaignFileError:
    """Each problem on one line, whatever line breaks and terminal commands it quotes."""
    return CampaignFileError(["".join(map(_visible, problem)) for problem in problems])


def _visible(character: str) -> str:
    is_control = unicodedata.category(character) in {"Cc", "Zl", "Zp"}
    return f"\\u{ord(character):04x}" if is_control else character


def _read(path: Path) -> str:
    """The text, with line ends as TOML wants them and without an editor's byte order mark."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CampaignFileError(
            [f"{path}:1: no such file; write it, or name another one with CAMPAIGN_FILE"]
        ) from None
    except OSError as error:
        raise CampaignFileError(
            [f"{path}:1: cannot be read ({error.strerror}); it must be a file that we may read"]
        ) from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise CampaignFileError(
            [f"{path}:{line}: byte 0x{byte:02X} is not UTF-8; save the file as UTF-8"]
        ) from None


def _written(path: KeyPath) -> str:
    """("focus_group", 1, "title") → `focus_group[2].title`: people count from one."""
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


@dataclass
class _Parser:
    """tomllib, except that it goes on after a value that is none, so that the rest is checked too.

    Such a value becomes a text by which it is found again and then an Unreadable, of which the
    schema says what should stand there.
    """

    path: Path
    text: str

    def __post_init__(self) -> None:
        self.literals: dict[str, Unreadable] = {}
        self.told: list[str] = []

    def parse(self) -> tuple[dict[str, Any], str]:
        """The values, and the text with the same lines from which tomllib made them."""
        while True:
            try:
                return self.restored(tomllib.loads(self.text)), self.text
            except tomllib.TOMLDecodeError as error:
                if not self.mend(str(error)):
                    raise _unusable(self.told) from None
            except ValueError:
                found = _LONG_NUMBER.search(self.text)
                line = self.text.count("\n", 0, found.start() if found else 0) + 1
                why = "a number has thousands of digits; write a shorter one"
                raise _unusable([f"{self.path}:{line}: {why}"]) from None
            except RecursionError:
                why = "lists or tables stand in one another by the hundred; write them apart"
                raise _unusable([f"{self.path}:1: {why}"]) from None

    def mend(self, message: str) -> bool:
        """Puts a text in the place of the bad value; False when the fault is of another kind."""
        reason, line, column = self.placed(message)
        rows = self.text.split("\n")
        for found in _BARE_VALUE.finditer(rows[line - 1]):
            first, after = found.span(1)
            if reason.startswith(_NO_VALUE) and first <= column - 1 <= after:
                number = len(self.literals)
                self.literals[f"\0{number}"] = Unreadable(found[1])
                rows[line - 1] = f'{found.string[:first]}"\\u0000{number}"{found.string[after:]}'
                self.text = "\n".join(rows)
                self.told.append(f"{self.path}:{line}: {found[1]} is not a value that TOML knows")
                return True
        words = (ours for theirs, ours in _IN_OTHER_WORDS.items() if reason.startswith(theirs))
        self.told.append(f"{self.path}:{line}: {next(words, reason)}")
        return False

    def placed(self, message: str) -> tuple[str, int, int]:
        """tomllib's message → the reason, the line and the column, both from 1."""
        place = _PLACE.search(message)
        reason = message[: place.start()] if place else message
        if place and place[1]:
            return reason, int(place[1]), int(place[2])
        # Noticed only at the end of the file: of a text the beginning helps more.
        opening = self.text.rfind('"""') if reason == "Unterminated string" else -1
        return reason, self.text.count("\n", 0, opening if opening >= 0 else None) + 1, 1

    def restored(self, value: Any) -> Any:
        """The same values with each mark replaced by what it stands for."""
        if isinstance(value, dict):
            return {key: self.restored(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.restored(each) for each in value]
        if isinstance(value, int) and value.bit_length() > _LONG_IN_BITS:
            return Unreadable(f"{value:#x}"[:20] + "…")
        return self.literals.get(value, value) if isinstance(value, str) else value


def _campaign(file: CampaignFile) -> Campaign:
    zone = ZoneInfo(file.campaign.timezone)
    return Campaign(
        name=file.campaign.name,
        slug=file.campaign.slug,
        timezone=zone,
        language=file.campaign.language,
        zoom_host=file.campaign.zoom_host,
        organiser=Organiser(**file.organiser.model_dump()),
        focus_groups=tuple(
            FocusGroup(timezone=zone, **group.model_dump()) for group in file.focus_group
        ),
        approval=file.campaign.approval,
        confirmation=file.campaign.confirmation,
        confirmations_per_day=file.campaign.confirmations_per_day,
        letters_per_minute=file.campaign.letters_per_minute,
        reminder_days_before=tuple(file.reminders.days_before),
        reminder_send_at=file.reminders.send_at,
        keep_days_after_last=file.privacy.keep_days_after_last,
        about=file.campaign.about,
        invited=file.campaign.invited,
        notices=Notices(
            **file.privacy.model_dump(exclude={"keep_days_after_last"}), **file.legal.model_dump()
        ),
    )
