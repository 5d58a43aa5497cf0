"""Campaign files drawn from a seed, as people and editors spoil them, and who judges the loading."""

import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import CampaignFileError
from tests.fuzz.values import INTEGERS, spoilt, text

SHIPPED = Path(__file__).parents[2] / "config" / "campaign.toml"
SHORT = """\
[campaign]
name = "Mission Résonance"
slug = "resonance-2021"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"
approval = "automatic"
confirmation = "ours"
about = "Pour agir ensemble."
invited = "Tout le monde."

[organiser]
name = "Mission Résonance"
email = "contact@example.org"
phone = "+33 2 00 00 00 00"

[reminders]
days_before = [7, 1]
send_at = 09:00:00

[privacy]
keep_days_after_last = 30
contact = "donnees@example.org"

[legal]
publisher = "Association Résonance, Tours"

[[focus_group]]
slug = "teletravail"
title = "Le télétravail"
date = 2021-02-09
starts = 09:00:00
ends = 11:00:00
capacity = 40
agenda = \"\"\"
Où, comment, avec qui ?
Pour qui ?
\"\"\"

[[focus_group]]
slug = "espaces-exterieurs"
title = "Les espaces extérieurs"
date = 2021-03-16
starts = 14:00:00
ends = 16:30:00
cancelled = true
"""
_DATES = ("2021-03-28", "2021-10-31", "2011-12-30", "2024-02-29", "2000-01-01", "2100-12-31",
          "2021-02-29", "2021-02-30", "0001-01-01", "9999-12-31", "21-02-09", "2021/02/09",
          "09.02.2021", "2021-02-09T09:00:00Z", "2021-02-09 09:00:00", "1999-12-31",
          "2021-02-09T09:00:00+23:59", "2021-13-01", '"2021-02-09"')  # fmt: skip
_HOURS = ("00:00:00", "00:30:00", "01:30:00", "02:00:00", "02:30:00", "03:00:00", "23:59:00",
          "23:59:59.999999", "24:00:00", "09:00", "9:00:00", "09h00", "09:00:60", "09:00:00.5",
          '"09:00:00"', "10:61:00", "09:00:00Z")  # fmt: skip
_ZONES = ("UTC", "America/New_York", "Pacific/Apia", "Africa/Casablanca", "Australia/Lord_Howe",
          "America/Sao_Paulo", "Asia/Kathmandu", "Europe/Pariss", "europe/paris", "Europe", "CET",
          "../etc/passwd", "/etc/localtime", "Paris", "GMT+1", "Asia/Tehran", "")  # fmt: skip
_BARE = ("true", "false", "inf", "-nan", "1e400", "0x" + "f" * 5000, "9" * 5000, "-" + "9" * 4300,
         "0b1", "1_000", "1__0", "automatic", "'literal'", '"""long"""', "''''''", '"unclosed',
         '"\\q"', '"\\uD800"', '"\\u0000"', '"\\u2028"', "[]", "{}", "[[]]", "[1, 1]", "[7, 6]",
         "[60, 1]", "[1.5]", '["1"]', "[1, [2]]", "{ a = 1 }", "{ a = { b = [{}] } }", "[7, 1,]",
         "“Résonance”", "«\u00a0oui\u00a0»", "…", "", "= 1", "1 2", "[" * 40 + "]" * 40,
         "[0xfff, 99999999999999999999999]", "{ slug = \"a\", slug = \"b\" }")  # fmt: skip
_LONG = ("[" * 3000 + "]" * 3000, "{a=" * 900 + "1" + "}" * 900, "[" * 400 + "]" * 400,
         "[" * 160 + "]" * 160, "{a=" * 200 + "1" + "}" * 200, "[" + "x," * 300 + "]")  # fmt: skip
_KEYS = ("slug", "title", "date", "timezone", "days_before", "keep_days_after_last", "phone",
         "slgu", "Title", "a.b", "slug.x", '"a b"', "'é'", '"\\n"', '"a\\u001b[31mb"', '""', "1",
         "é", "-", "focus_group", ".".join("a" * 400))  # fmt: skip
_TABLES = ("[campaign]", "[organiser]", "[reminders]", "[privacy]", "[legal]", "[focus_group]",
           "[[focus_group]]", "[[campaign]]", "[other]", "[campaign.slug]", "[[focus_group.date]]",
           "[focus_group.x]", '["é".x]', "[", "[[focus_group]", "[a]]", "[]")  # fmt: skip
_LINE = re.compile(r"(?m)^(?:[a-z_]+ = (?:\"\"\"[\s\S]*?\"\"\"|.*)|\[.*)$")


def draw(rng: random.Random) -> bytes:
    """One file; about one in ten can still be used."""
    if rng.random() < 0.02:
        lines = _LINE.findall(SHIPPED.read_text(encoding="utf-8"))
    else:
        lines = _LINE.findall(SHORT)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        at = rng.randrange(len(lines)) if lines else 0
        _CHANGES[rng.randrange(len(_CHANGES))](rng, lines, at)
    written = "\n".join([*lines, ""])
    data = written.encode("utf-8", "surrogatepass")
    return spoilt(rng, data) if rng.random() < 0.15 else data


def _drop(_rng: random.Random, lines: list[str], at: int) -> None:
    del lines[at : at + 1]


def _double(_rng: random.Random, lines: list[str], at: int) -> None:
    lines[at:at] = lines[at : at + 1]


def _move(rng: random.Random, lines: list[str], at: int) -> None:
    lines.insert(rng.randrange(len(lines) + 1), *lines[at : at + 1] or [""])


def _rename(rng: random.Random, lines: list[str], at: int) -> None:
    if lines and " = " in lines[at]:
        lines[at] = f"{rng.choice(_KEYS)} = {lines[at].partition(' = ')[2]}"


def _add(rng: random.Random, lines: list[str], at: int) -> None:
    lines.insert(at, f"{rng.choice(_KEYS)} = {_value(rng)}")


def _open(rng: random.Random, lines: list[str], at: int) -> None:
    lines.insert(at, rng.choice(_TABLES))


def _replace(rng: random.Random, lines: list[str], at: int) -> None:
    if lines and " = " in lines[at]:
        key, _, value = lines[at].partition(" = ")
        lines[at] = f"{key} = {_value(rng, key, value)}"


_CHANGES: tuple[Callable[[random.Random, list[str], int], None], ...] = (
    _drop, _double, _move, _rename, _add, _open, *[_replace] * 8,
)  # fmt: skip


def _value(rng: random.Random, key: str = "", value: str = "") -> str:
    """What stands after an equals sign; of the kind that belongs there half of the time."""
    if rng.random() < 0.5:
        match key:
            case "date":
                return rng.choice(_DATES)
            case "starts" | "ends" | "send_at":
                return rng.choice(_HOURS)
            case "timezone":
                return f'"{rng.choice(_ZONES)}"'
            case "slug":
                return rng.choice(('"teletravail"', '"espaces-exterieurs"', '"a b"', '"É"'))
            case "days_before":
                return str(rng.choices(range(-1, 63), k=rng.randrange(4)))
            case "capacity" | "keep_days_after_last":
                return str(rng.choice(INTEGERS))
    match rng.randrange(6):
        case 0:
            return rng.choice(_LONG) if rng.random() < 0.03 else rng.choice(_BARE)
        case 1:
            return rng.choice((*_DATES, *_HOURS))
        case 2:
            return value.replace('"', rng.choice(("", "'", "“", '""', '\\"')), rng.choice((1, 9)))
        case 3:
            return rng.choice(
                (f"[{value}]", f"{{ x = {value} }}", value[: len(value) // 2], value * 2)
            )
        case 4:
            return f'"{text(rng)}"'
        case _:
            return "".join(_escaped(letter) for letter in ('"', *text(rng), '"'))


def _escaped(letter: str) -> str:
    """TOML has an escape for what may not stand in a text as it is."""
    return f"\\U{ord(letter):08x}" if letter != '"' and not letter.isprintable() else letter


# ---- the judge -----------------------------------------------------------------------------------

Load = Callable[[Path], Campaign]


@dataclass(frozen=True, slots=True)
class Loaded:
    """`outcome`: usable or refused; `said`: the campaign or the problems; `wrong`: a defect."""

    outcome: str
    said: str
    wrong: str = ""


def load(data: bytes, path: Path) -> Loaded:
    """Loads the file as the service does, and judges what comes of it."""
    path.write_bytes(data)
    try:
        campaign = load_campaign(path)
    except CampaignFileError as error:
        said = [problem.replace(str(path), "FILE") for problem in error.problems]
        return Loaded("refused", "\n".join(said), _of_problems(said, data))
    except Exception as error:  # noqa: BLE001 — that any comes out is what is looked for
        return Loaded("crashed", "", f"{type(error).__name__}: {error}"[:300])
    return Loaded("usable", repr(campaign), _of_campaign(campaign) or _again(campaign, path))


def _of_problems(problems: list[str], data: bytes) -> str:
    """Each `file:line: reason`, on one line that a terminal can show, at a line of the file."""
    if not problems:
        return "refused without a reason"
    last = data.count(b"\n") + 1
    for problem in problems:
        found = re.fullmatch(r"FILE:(\d+): .+", problem)
        if not found or any(unicodedata.category(sign) in {"Cc", "Zl", "Zp"} for sign in problem):
            return f"no plain line: {problem!r}"[:300]
        if not 1 <= int(found[1]) <= last:
            return f"line {found[1]} of {last}"
    return ""


def _again(campaign: Campaign, path: Path) -> str:
    return "" if load_campaign(path) == campaign else "the same bytes gave another campaign"


def _of_campaign(campaign: Campaign) -> str:
    """The first thing that a campaign must be and this one is not."""
    slugs = [group.slug for group in campaign.focus_groups]
    if not slugs or len(set(slugs)) < len(slugs):
        return "slugs are not each their own"
    for group in campaign.focus_groups:
        if not timedelta() < group.end - group.start <= timedelta(days=1):
            return f"{group.slug} lasts {group.end - group.start}"
        back = group.start.astimezone(campaign.timezone)
        if (back.date(), back.time()) != (group.date, group.starts):
            return f"{group.slug} begins at an hour that does not exist"
        if len(campaign.zoom_agenda(group)) > 2000 or not 1 <= len(group.title) <= 200:
            return f"{group.slug} is too long for Zoom"
        windows = campaign.reminders(group.start)
        if any(due.until <= due.at for due in windows):
            return f"{group.slug}: a reminder would never leave"
        if any(one.at >= following.at for one, following in pairwise(windows)):
            return f"{group.slug}: reminders out of order"
    if campaign.midnight(campaign.keep_until) <= max(one.end for one in campaign.focus_groups):
        return "it is over before its last meeting"
    lines = (
        campaign.name,
        campaign.organiser.name,
        *(group.title for group in campaign.focus_groups),
    )
    if any(unicodedata.category(sign) in {"Cc", "Zl", "Zp"} for line in lines for sign in line):
        return "a control character in a line"
    return ""
