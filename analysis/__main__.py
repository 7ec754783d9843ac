"""`python -m analysis runs/demo`: the ablation table, the figure and every number of a study."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.ablation import Ablation, ablation, to_json
from analysis.figures import draw_scores_over_turns
from analysis.records import StudyError, load_study
from analysis.tables import to_markdown, to_terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse a study; returns 0, or 2 when its records cannot be used."""
    options = _parser().parse_args(arguments)
    out = options.out or options.study / "analysis"
    try:
        study = load_study(options.study)
        result = ablation(study, baseline=options.baseline, resamples=options.resamples, seed=options.seed)
        print(to_terminal(result))
        paths = _write(result, out)
    except (StudyError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    print("\nWritten:", *(f"  {path}" for path in paths), sep="\n")
    return 0


def _write(result: Ablation, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    table, numbers = out / "table.md", out / "analysis.json"
    table.write_text(to_markdown(result), encoding="utf-8")
    numbers.write_text(json.dumps(to_json(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return [table, numbers, *draw_scores_over_turns(result, out)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("study", type=Path, help="folder with the runs of one study, e.g. runs/demo")
    parser.add_argument("--out", type=Path, help="where to write (default: STUDY/analysis)")
    parser.add_argument("--baseline", help='strategy that gains are measured against (default: "direct")')
    parser.add_argument(
        "--resamples", type=_positive, default=10_000, help="bootstrap resamples (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError(f"{number} is too few; give at least 100")
    return number


if __name__ == "__main__":
    sys.exit(main())
