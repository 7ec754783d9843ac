"""Writes the report page: findings from the folder of the analysis, dialogues from the runs."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.caveats import caveat_notes
from analysis.records import Study
from analysis.report.browser import scripts
from analysis.report.findings import figure, legend, sentences, table
from analysis.webpage import write_page

__all__ = ["write"]

OPEN_TABLES = 2
"""Number of tables that are open at first; the others open with a click."""


def write(study: Study, out: Path, *, tables: Sequence[str], figures: Sequence[Path]) -> Path:
    """Write `out/report.html` from `out/analysis.json`, Markdown tables, and the PNG files among `figures`.

    The page shows the dialogues of the study's runs; a CSV has none. Images are embedded up to `EMBED_LIMIT`,
    else the page refers to the images of the runs by paths relative to `out`, so that study and page can be
    moved together.

    Raises:
        OSError: `out/analysis.json` is missing, or the page cannot be written.
    """
    numbers = json.loads((out / "analysis.json").read_bytes())
    data = scripts(study, out, baseline=numbers.get("baseline")) if study.arms else ()
    return write_page(
        out / "report.html",
        __package__,
        title=_title(numbers),
        slots={
            "about": _about(numbers, study),
            "legend": legend(numbers),
            "sentences": sentences(numbers),
            "tables": "".join(table(text, is_open=i < OPEN_TABLES) for i, text in enumerate(tables)),
            "figures": "".join(figure(path) for path in figures if path.suffix == ".png"),
            "kind": "study" if study.arms else "table",
        },
        data=data,
        scripts=("state.js", "list.js", "dialogue.js", "page.js"),
    )


def _title(numbers: Mapping[str, Any]) -> str:
    names = [str(numbers[key]).split(":")[0] for key in ("backbone", "benchmark") if numbers.get(key)]
    return " on ".join(names) or "Test-time scaling"


def _about(numbers: Mapping[str, Any], study: Study) -> str:
    """The setup of the study (benchmark, backbone, judges, numbers) as an HTML definition list, and the
    warnings.
    """
    facts = {key: numbers.get(key) for key in ("benchmark", "backbone", "baseline")}
    facts["evidence tier"] = numbers.get("tier")
    facts["samples"] = numbers.get("num_samples")
    facts["runs"] = study.num_runs
    facts |= _judges(numbers)
    facts["bootstrap resamples"] = numbers.get("resamples")
    terms = (f"<div><dt>{k}</dt><dd>{html.escape(_said(v))}</dd></div>" for k, v in facts.items() if v)
    said_first = (*study.warnings, *caveat_notes(study.caveats))
    notes = "".join(f'<p class="warning">{html.escape(each)}</p>' for each in said_first)
    return f'<dl class="facts">{"".join(terms)}</dl>{notes}'


def _judges(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The judges by use ("selected by", "verified by"), each with the strategies that use it."""
    found: dict[str, dict[str, list[str]]] = {}
    for arm in numbers.get("arms", ()):
        for verb, judge in (use for layer in arm["basis"]["layers"] for use in layer["judges"]):
            found.setdefault(verb, {}).setdefault(judge, []).append(arm["strategy"])
    return {
        verb: "; ".join(f"{judge} in {', '.join(dict.fromkeys(arms))}" for judge, arms in judges.items())
        for verb, judges in found.items()
    }


def _said(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
