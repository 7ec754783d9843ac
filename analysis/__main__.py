"""`python -m analysis STUDY`: tables, figures, every number and a report of a study or a long CSV."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.ablation import Ablation, ablation
from analysis.earlier import Made, clear, fingerprint, recall, remember
from analysis.figures import draw_figures
from analysis.layout import to_latex, to_markdown
from analysis.long_csv import load_csv
from analysis.numbers import to_json
from analysis.records import Study, StudyError, load_study
from analysis.report import write as write_report
from analysis.tables import caption, tables
from analysis.terminal import to_terminal
from analysis.wandb_push import PushError, push


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse a study; returns 0, or 2 when its records cannot be used."""
    options = parser().parse_args(arguments)
    pushes = vars(options).pop("wandb")  # no number depends on it
    out = options.out or _default_out(options.study)
    try:
        wanted = fingerprint(options)
        earlier = recall(out, wanted)
        made = earlier or _make(options, out)
        if earlier is None:
            remember(out, wanted, made)
        pushed = push(options.study, out) if pushes else ""
    except (StudyError, PushError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    _print(made, "Unchanged since it was written:" if earlier else "Written:", pushed)
    return 0


def _print(made: Made, head: str, pushed: str) -> None:
    """Last of all: a reader such as `head` may close the pipe, and loses nothing that is written."""
    try:
        print(
            made.printed,
            f"\n{head}",
            *(f"  {path}" for path in made.paths),
            *filter(None, [pushed]),
            sep="\n",
            flush=True,
        )
    except BrokenPipeError:
        # Python flushes the stream once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _make(options: argparse.Namespace, out: Path) -> Made:
    """Analyse and write."""
    study = load_csv(options.study) if options.study.is_file() else load_study(options.study)
    result = ablation(
        study,
        baseline=options.baseline,
        resamples=options.resamples,
        seed=options.seed,
        cluster=options.cluster,
        ladder=options.ladder,
    )
    clear(out)
    return Made(to_terminal(result), list(_write(study, result, out)))


def _default_out(study: Path) -> Path:
    return study.parent / f"{study.stem}_analysis" if study.is_file() else study / "analysis"


def _write(study: Study, result: Ablation, out: Path) -> Iterator[Path]:
    (out / "tables").mkdir(parents=True, exist_ok=True)
    (out / "figures").mkdir(exist_ok=True)
    numbers = out / "analysis.json"
    numbers.write_text(json.dumps(to_json(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    yield numbers
    words = caption(result)
    texts = []
    for table in tables(result):
        texts.append(to_markdown(table, words))
        path = out / "tables" / table.name
        path.with_suffix(".md").write_text(texts[-1], encoding="utf-8")
        path.with_suffix(".tex").write_text(to_latex(table, words), encoding="utf-8")
    yield out / "tables"
    figures = draw_figures(result, out / "figures")
    yield out / "figures"
    yield write_report(study, out, tables=texts, figures=figures)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    options.add_argument("study", type=Path, help="folder with the runs of one study, or a CSV of turns")
    options.add_argument(
        "--out", type=Path, help="where to write (default: STUDY/analysis, or beside the CSV)"
    )
    options.add_argument("--baseline", help='strategy that gains are measured against (default: "direct")')
    options.add_argument(
        "--resamples", type=_positive, default=10_000, help="bootstrap resamples (default: 10000)"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    options.add_argument(
        "--cluster",
        choices=("sample", "task"),
        default="sample",
        help="unit that is independent (default: sample)",
    )
    options.add_argument(
        "--ladder",
        action="append",
        default=[],
        metavar="STEM",
        help="strategies STEM1, STEM2, ... differ in the number of candidates, as best_of and bon do",
    )
    options.add_argument(
        "--wandb",
        action="store_true",
        help="push tables, figures and findings to wandb, into the group of the study",
    )
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError(f"{number} is too few; give at least 100")
    return number


if __name__ == "__main__":
    sys.exit(main())
