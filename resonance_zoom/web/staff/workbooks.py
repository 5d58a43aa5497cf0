"""Lists as French spreadsheets open them, in which nothing that was typed can run: XLSX."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

from resonance_zoom.cells import safe
from resonance_zoom.web.staff.spreadsheets import Column

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def as_xlsx(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], zone: ZoneInfo, *, title: str
) -> bytes:
    """One sheet with real times (local), a heading that stays in sight, and a filter on it."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for number, column in enumerate(columns, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = column.width
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(rows) + 1}"
    sheet.append([_heading(sheet, column) for column in columns])
    for row in rows:
        sheet.append([_xlsx_cell(sheet, value, zone) for value in row])
    whole = io.BytesIO()
    book.save(whole)
    return whole.getvalue()


def _heading(sheet: Any, column: Column) -> Any:
    cell = WriteOnlyCell(sheet, value=column.heading)
    cell.font = Font(bold=True)
    cell.alignment = Alignment(vertical="top", wrap_text=True)
    return cell


def _xlsx_cell(sheet: Any, value: Any, zone: ZoneInfo) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime):
        local = value.astimezone(zone).replace(tzinfo=None, microsecond=0)
        cell = WriteOnlyCell(sheet, value=local)
        cell.number_format = "dd/mm/yyyy hh:mm"
        return cell
    cell = WriteOnlyCell(sheet, value=safe(str(value)))
    cell.data_type = "s"  # otherwise `#N/A` would be an error and not a name
    return cell
