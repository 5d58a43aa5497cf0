"""How lists reach a person: a table on the terminal, JSON, CSV or XLSX."""

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from resonance_zoom.cells import safe
from resonance_zoom.errors import ResonanceError


class _Terminal(Console):
    """A console that leaves it to the door to say how a reader who left early ends a command."""

    def on_broken_pipe(self) -> None:
        """Instead of rich's own exit code 1."""
        raise BrokenPipeError


def messages() -> Console:
    """Where messages go: stderr."""
    return _Terminal(stderr=True, highlight=False, soft_wrap=True)


def say(words: str) -> None:
    """One message, on stderr."""
    messages().print(Text(words))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """One JSON object on one line of stdout, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """A table of some columns on stdout; `empty` on stderr when there is nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(readable(row.get(column))) for column in columns))
    if not table.row_count:
        say(empty)
        return
    console = _Terminal(highlight=False)
    if not console.is_terminal:
        console = _Terminal(highlight=False, width=400)  # a pipe has no width to fit
    whole = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if whole > console.width:  # a narrow window would tear every word: one line a value instead
        console.print(_lines(table), soft_wrap=True)
        return
    console.print(table)


def _lines(table: Table) -> Text:
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    names = [str(column.header) for column in table.columns]
    width = max(len(name) for name in names)
    return Text("\n\n").join(
        Text("\n".join(f"{name:{width}}  {cell}" for name, cell in zip(names, row, strict=True)))
        for row in zip(*cells, strict=True)
    )


def colour() -> bool | None:
    """What click.echo takes: None (on a terminal alone), or False where NO_COLOR asks for none."""
    return False if Console().no_color else None


def readable(value: Any) -> str:
    """A value for a person: control characters made visible, an ISO time made short."""
    if value is None:
        return ""
    text = str(value)
    if len(text) == 20 and text[10] == "T" and text.endswith("Z"):
        return f"{text[:10]} {text[11:16]}"
    return "".join(c if c.isprintable() else "�" for c in text)


def write_file(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV or XLSX, by the name's ending; cells that a spreadsheet would run quoted.

    CSV is UTF-8 with BOM and `;`, as French spreadsheets open it. Raises ResonanceError for another
    ending or a place that cannot be written.
    """
    writers = {".csv": _csv, ".xlsx": _xlsx}
    write = writers.get(path.suffix.lower())
    if write is None:
        raise ResonanceError(
            f"{path}: only .csv and .xlsx can be written", remedy="Name a file such as list.csv"
        )
    try:
        write(path, [[_cell(row.get(column)) for column in columns] for row in rows], columns)
    except OSError as error:
        raise ResonanceError(
            f"{path}: {error.strerror}", remedy="Name a file in a folder that you may write."
        ) from error
    say(f"{len(rows)} rows written to {path}")


def write_private(path: Path, data: bytes) -> None:
    """Write a file that this user alone can read, from its first byte on, whatever the umask."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # a terminal or /dev/null stays as it is
            os.fchmod(descriptor, 0o600)
        file.write(data)


def _csv(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerow(columns)
    writer.writerows(
        ["" if cell is None else f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else cell
         for cell in row]
        for row in rows
    )  # fmt: skip
    write_private(path, b"\xef\xbb\xbf" + text.getvalue().encode())


def _xlsx(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    from openpyxl import Workbook  # a quarter of a command's start, and few write a workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(columns))
    for row in rows:
        sheet.append([_in_workbook(sheet, cell) for cell in row])
    # In memory first: openpyxl leaves a traceback behind when a file cannot be opened.
    whole = io.BytesIO()
    book.save(whole)
    write_private(path, whole.getvalue())


def _in_workbook(sheet: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if not isinstance(value, str):
        return value
    from openpyxl.cell import WriteOnlyCell  # as above

    cell = WriteOnlyCell(sheet, value=value)
    cell.data_type = "s"  # otherwise `#N/A` would be an error and not a name
    return cell


def _cell(value: Any) -> Any:
    """A cell's value: an ISO time as a time (UTC), what a spreadsheet would run quoted."""
    if not isinstance(value, str):
        return value
    if len(value) == 20 and value[10] == "T" and value.endswith("Z"):
        return datetime.fromisoformat(value)
    return safe(value)
