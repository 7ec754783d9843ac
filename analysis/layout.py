"""Renders one table as plain text for a terminal, as Markdown, or as LaTeX (booktabs, siunitx)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["WIDTH", "Table", "to_html", "to_latex", "to_markdown", "to_text"]

WIDTH = 120
_LABEL_WIDTH = 36
_LONGEST_LABEL, _LABEL_CM = 72, 9
"""A LaTeX table with a label of more characters wraps its labels to this width."""
_GAP = "  "
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {"\\": r"\textbackslash{}", "[": "{[}", "]": "{]}", "<": r"\textless{}", ">": r"\textgreater{}"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table. The first column names the row; the other columns hold numbers."""

    name: str
    """File name without extension; begins with the table's number, e.g. "T1_main"."""
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def to_markdown(table: Table, caption: str = "") -> str:
    """The table as Markdown: title, rows, notes, and the caption at the end."""
    lines = [f"## {table.title}", "", _row(table.header), _row(["---"] + ["---:"] * (len(table.header) - 1))]
    lines += [_row(row) for row in table.rows]
    lines += ["", *(line for note in (*table.notes, caption) if note for line in (_plain(note), ""))]
    return "\n".join(lines)


def to_html(table: Table, caption: str = "") -> str:
    """The table under its title, its notes below, and the caption last; for a notebook."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "".join(f"<tr>{_html_row(row)}</tr>" for row in table.rows)
    notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in (*table.notes, caption) if note)
    title = f"<p><strong>{escape(table.title)}</strong></p>" if table.title else ""
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def _html_row(row: Sequence[str]) -> str:
    first, *others = map(escape, row)
    return f'<th style="text-align:left">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others)


def to_text(table: Table) -> str:
    """The table as text of at most 120 columns; columns that do not fit continue below."""
    lines = [table.title, *_text_table(table)]
    lines += [line for note in table.notes for line in textwrap.wrap(note, WIDTH)]
    return "\n".join(lines)


def to_latex(table: Table, caption: str) -> str:
    """The table as a LaTeX float for \\input; the document must load booktabs, siunitx and graphicx."""
    columns = [_Column.of(table, index) for index in range(len(table.header))]
    header = " & ".join(column.head for column in columns)
    rows = [" & ".join(c.cell(row[i]) for i, c in enumerate(columns)) + r" \\" for row in table.rows]
    words = " ".join([f"{table.title}.", *table.notes, caption])
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,siunitx,graphicx}",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{_escaped(words)}}}",
            rf"\label{{tab:{table.name.replace('_', '-')}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{''.join(column.kind for column in columns)}}}",
            r"\toprule",
            header + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


@dataclass(frozen=True)
class _Column:
    """The LaTeX format of one column: text, numbers, or numbers with a text suffix."""

    head: str
    kind: str
    is_number: bool
    has_tail: bool

    @classmethod
    def of(cls, table: Table, index: int) -> _Column:
        name = _escaped(table.header[index])
        cells = [row[index] for row in table.rows if not _is_absent(row[index])]
        splits = [_split(cell) for cell in cells]
        if index == 0:
            is_long = any(len(cell) > _LONGEST_LABEL for cell in cells)
            return cls(name, rf"p{{{_LABEL_CM}cm}}" if is_long else "l", False, False)
        if not cells or None in splits:
            return cls(name, "r", False, False)
        known = [split for split in splits if split]
        has_tail = any(tail for _, tail in known)
        kind = f"S[table-format={_format([number for number, _ in known])}]"
        head = rf"\multicolumn{{2}}{{c}}{{{name}}}" if has_tail else f"{{{name}}}"
        return cls(head, kind + ("@{\\,}l" if has_tail else ""), True, has_tail)

    def cell(self, text: str) -> str:
        if not self.is_number:
            return _escaped(_breakable(text) if self.kind.startswith("p") else text)
        number, tail = _split(text) or (f"{{{'--' if text in ('', '-') else _escaped(text)}}}", "")
        return f"{number} & {_escaped(tail)}" if self.has_tail else number


def _is_absent(cell: str) -> bool:
    """Whether the cell holds no number. After "n/a" a reason may follow."""
    return cell in ("-", "") or cell.startswith("n/a")


def _split(cell: str) -> tuple[str, str] | None:
    """The leading number of a cell and the rest (an interval, stars, or nothing); None if it has no such
    form.
    """
    match = re.fullmatch(rf"({_NUMBER})((?: ?\[[^\]]*\])?\**)", cell)
    return (match[1], match[2].strip()) if match else None


def _format(numbers: Sequence[str]) -> str:
    """The table-format of siunitx that fits all of the numbers."""
    wholes, _, decimals = zip(*(number.lstrip("+-").partition(".") for number in numbers), strict=True)
    sign = next((sign for sign in "+-" if any(number.startswith(sign) for number in numbers)), "")
    places = max(map(len, decimals))
    return f"{sign}{max(map(len, wholes))}" + (f".{places}" if places else "")


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text).replace("+-", r"$\pm$")


def _plain(note: str) -> str:
    """The note with Markdown's special characters escaped, because strategy names may contain them."""
    return re.sub(r"([*_<])", r"\\\1", note)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"


def _text_table(table: Table) -> Iterator[str]:
    labels = [textwrap.wrap(_breakable(row[0]), _LABEL_WIDTH) for row in table.rows]
    label_width = max(len(line) for label in (*labels, [table.header[0]]) for line in label)
    for columns in _pieces(table, WIDTH - label_width):
        widths = [max(len(row[c]) for row in (table.header, *table.rows)) for c in columns]
        yield from _line([table.header[0]], table.header, columns, widths, label_width)
        yield "-" * (label_width + sum(widths) + len(_GAP) * len(widths))
        for label, row in zip(labels, table.rows, strict=True):
            yield from _line(label, row, columns, widths, label_width)


def _line(
    label: Sequence[str], row: Sequence[str], columns: Sequence[int], widths: Sequence[int], label_width: int
) -> Iterator[str]:
    cells = (row[c].rjust(width) for c, width in zip(columns, widths, strict=True))
    *above, last = (line.replace("+ ", "+").replace(", ", ",") for line in label)
    yield from above
    yield _GAP.join([last.ljust(label_width), *cells])


def _breakable(label: str) -> str:
    """The label with spaces between its layers and knobs, where it may be wrapped."""
    return label if len(label) <= _LABEL_WIDTH else label.replace("+", "+ ").replace(",", ", ")


def _pieces(table: Table, width: int) -> Iterator[list[int]]:
    """The column indices that fit beside the row labels, block by block."""
    piece: list[int] = []
    used = 0
    for column in range(1, len(table.header)):
        size = len(_GAP) + max(len(row[column]) for row in (table.header, *table.rows))
        if piece and used + size > width:
            yield piece
            piece, used = [], 0
        piece.append(column)
        used += size
    yield piece
