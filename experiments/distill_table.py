"""Print the table of an ablation: held-out losses by method, with intervals over seeds.

    python experiments/distill_table.py runs/drive_kd_ablation

The command reads the metrics.json of every training in the folder. A loss is in nats per token of the
answers; lower is better. An interval is a 95 % Student's t interval for the mean over seeds. It does not
cover the choice of records.

Exit status: 0, or 2 when there is nothing to read.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from experiments.command import guarded, leave, wants_help
from imug_tts.contracts import ConfigurationError

__all__ = ["read_metrics", "table"]

_CAPABILITIES: Final = ("perception", "reasoning", "planning")
_LEVEL: Final = 0.95


def main() -> int:
    return guarded(lambda: _main(sys.argv[1:]))


def _main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print((__doc__ or "").strip())
        return 0
    if len(arguments) != 1:
        raise ConfigurationError("give one folder, the folder of the study: runs/STUDY")
    print(table(read_metrics(Path(arguments[0]))))
    return 0


def read_metrics(study: Path) -> list[dict[str, Any]]:
    """Return the metrics of every finished training in a study.

    Raises:
        ConfigurationError: no training has finished, or a file cannot be read.
    """
    files = sorted(study.glob("*/metrics.json"))
    if not files:
        raise ConfigurationError(f"{study} has no */metrics.json; no training in this folder has finished")
    found = []
    for file in files:
        try:
            found.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{file} cannot be read: {error}") from error
    return found


def table(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with a row for each method, followed by remarks on how to read it."""
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for one in metrics:
        arms.setdefault(one["arm"], []).append(one)
    titles = [rows[0]["method"] for rows in arms.values()]
    rows = [
        [rows[0]["method"] if titles.count(rows[0]["method"]) == 1 else f"{rows[0]['method']} ({arm[:4]})"]
        + [_cell([one["held_out"] for one in rows], name) for name in _CAPABILITIES]
        + [str(len(rows))]
        for arm, rows in arms.items()
    ]
    first = [["before training", *(_befores(metrics, name) for name in _CAPABILITIES), ""]]
    head = ["held-out loss, nats a token", *_CAPABILITIES, "seeds"]
    lines = [head, ["---", "---:", "---:", "---:", "---:"], *first, *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *_remarks(metrics, arms)])


def _cell(held_out: Sequence[Mapping[str, Any]], capability: str) -> str:
    """Return the mean loss over seeds, with its interval if there are several seeds."""
    losses = [one[capability]["loss"] for one in held_out if capability in one]
    if not losses:
        return "no records"
    mean = statistics.fmean(losses)
    if len(losses) == 1:
        return f"{mean:.4f}"
    from scipy.stats import t

    half = t.ppf((1 + _LEVEL) / 2, len(losses) - 1) * statistics.stdev(losses) / math.sqrt(len(losses))
    return f"{mean:.4f} [{mean - half:.4f}, {mean + half:.4f}]"


def _befores(metrics: Sequence[Mapping[str, Any]], capability: str) -> str:
    """Return the student's loss before training; "differs" if students or records differ between rows."""
    found = {one["held_out_before"].get(capability, {}).get("loss") for one in metrics}
    if len(found) != 1:
        return "differs"
    (loss,) = found
    return "no records" if loss is None else f"{loss:.4f}"


def _remarks(
    metrics: Sequence[Mapping[str, Any]], arms: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[str]:
    yield ""
    if any(len(rows) == 1 for rows in arms.values()):
        yield "An interval is not available with one seed; train more: -m seed=0,1,2."
    if any(len(rows) > 1 for rows in arms.values()):
        yield "Intervals are 95 % Student's t intervals over seeds; they do not cover the choice of records."
    inputs = {json.dumps(one["inputs"]["held_out"]) for one in metrics}
    if len(inputs) > 1:
        yield "Held-out records differ between rows, so their losses cannot be compared."
    skipped = sum(one["records_skipped_out_of_memory"] for one in metrics)
    if skipped:
        yield f"{skipped} records were left out because memory did not suffice; see each metrics.json."


if __name__ == "__main__":
    leave(main())
