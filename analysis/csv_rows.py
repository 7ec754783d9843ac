"""Reads CSV files from programs and spreadsheets: UTF-8 or UTF-16, with commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.records import StudyError

__all__ = ["Row", "number", "read_rows", "whole"]

Row = Mapping[str, str]

_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_rows(path: Path, needed: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows of a CSV file, each with its place (file and line). Empty rows are skipped.

    Raises:
        StudyError: the file is not text, a column is missing or duplicated, or a row has more or fewer values
            than the header. The message names the file, and the line if there is one.
        OSError: the file cannot be read.
    """
    text = _text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        _check_columns(path, reader.fieldnames or (), needed)
        rows: list[tuple[str, Row]] = [
            (f"{path}, line {reader.line_num}", row) for row in reader if any(row.values())
        ]
    except csv.Error as error:
        raise StudyError(
            f"{path}, line {reader.line_num}: not a CSV file ({error}); export it again"
        ) from None
    for place, row in rows:
        if None in row or None in row.values():
            raise StudyError(f"{place}: has more or fewer values than the header has columns")
    return rows


def number(row: Row, name: str) -> float:
    """The number in a field; NaN if the field is empty or absent. Raises ValueError for other text."""
    text = (row.get(name) or "").strip()
    try:
        return float(text) if text else float("nan")
    except ValueError:
        raise ValueError(f"{name} is {text!r}, not a number") from None


def whole(row: Row, name: str) -> int:
    """The integer in a field, which spreadsheets may write as "1.0". Raises ValueError for anything else."""
    found = number(row, name)
    if not found.is_integer():
        raise ValueError(f"{name} is {row[name]!r}, not a whole number")
    return int(found)


def _text(path: Path) -> str:
    data = path.read_bytes()
    encoding = _MARKS.get(data[:2]) or ("utf-16-le" if data[1:2] == b"\0" else "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StudyError(
            f"{path}, line {line}: not text in UTF-8 or UTF-16 ({error.reason}); export it again in UTF-8"
        ) from None


def _delimiter(text: str) -> str:
    """The delimiter of the header line: comma, semicolon or tab."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _check_columns(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    counts = Counter(names)
    missing = [name for name in needed if name not in counts]
    if missing:
        raise StudyError(f"{path}: no column {', '.join(missing)}; needed are {', '.join(needed)}")
    twice = [name for name, count in counts.items() if count > 1 and name]
    if twice:
        raise StudyError(f"{path}: column {twice[0]!r} occurs twice in the header; keep one")
