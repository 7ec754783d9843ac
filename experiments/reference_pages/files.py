"""The page of files: every field of a run's and an analysis's files, with its type and meaning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from analysis.fields import ANALYSIS_FIELDS, ESTIMATE, ESTIMATE_FIELDS
from imug_tts.records.fields import FILES, Field

__all__ = ["files_page"]

_HEAD: Final = """# Files of a study

| path | what it holds |
|---|---|
| `runs/STUDY/RUN/manifest.json` | what the run is, and every turn that it plans |
| `runs/STUDY/RUN/config.yaml` | the whole configuration of the run, as it was composed |
| `runs/STUDY/RUN/turns.jsonl` | one record for each turn, a line of JSON each |
| `runs/STUDY/RUN/turns/` | while processes work: claims, and the segments that become `turns.jsonl` |
| `runs/STUDY/RUN/images/` | the images that records name, `<sha256>.png` |
| `runs/STUDY/RUN/summary.json` | how the run stands: outcomes, mean scores, costs |
| `runs/STUDY/RUN/log.txt` | a traceback for each call that failed |
| `runs/STUDY/journal/` | every finished call of all runs of the study |
| `runs/STUDY/judges.jsonl` | how far judges agree with people (`experiments/qualify.py into=`) |
| `runs/STUDY/analysis/` | what `python -m analysis` writes: `analysis.json`, tables, figures, `report.html` |

A place in the tables below names keys from the outside in, joined by dots. `[]` stands for each item of a
list, a word in capitals for any key. A line of `turns.jsonl` is written in a shorter form, in which a value
stands once, and ends with `crc`, the CRC-32 of the line without it: a line that was changed by hand is named
and not used. `imug_tts.records.read_turns(folder)` and `python -m imug_tts.records runs/STUDY/RUN` give the
records as described here."""


def files_page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for name, fields in FILES.items():
        yield from ["", f"## {name}", "", *_table(fields)]
    yield from ["", "## analysis.json", ""]
    yield "Scores and differences are shares of 1, not points; undefined numbers are null. The estimands are"
    yield from ["defined in [statistics](../concepts/statistics.md).", "", *_table(ANALYSIS_FIELDS)]
    yield from ["", f"Each {ESTIMATE} is a mapping with these keys:", "", *_table(ESTIMATE_FIELDS)]


def _table(fields: Sequence[Field]) -> Iterator[str]:
    yield from ["| place | type | meaning |", "|---|---|---|"]
    yield from (f"| `{field.place}` | {_either(field.type)} | {field.meaning} |" for field in fields)


def _either(types: str) -> str:
    """ "text, null" as "text or null"."""
    return " or ".join(types.split(", "))
