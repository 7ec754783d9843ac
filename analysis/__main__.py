"""`python -m analysis STUDY`: tables, figures, every number and a report of a study or a long CSV."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.ablation import Ablation, ablation
from analysis.figures import draw_figures
from analysis.layout import to_latex, to_markdown
from analysis.long_csv import load_csv
from analysis.numbers import to_json
from analysis.output_cache import Outputs, delete_outputs, fingerprint, load_outputs, save_outputs
from analysis.records import Study, StudyError, load_study
from analysis.report import write as write_report
from analysis.tables import caption, tables
from analysis.terminal import to_terminal
from analysis.wandb_push import PushError, push


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 if the study cannot be read or a file cannot be
    written.
    """
    options = parser().parse_args(arguments)
    pushes = vars(options).pop("wandb")  # not part of the fingerprint: pushing changes no number
    out = options.out or _default_out(options.study)
    try:
        wanted = fingerprint(options)
        cached = load_outputs(out, wanted)
        made = cached or _make(options, out)
        if cached is None:
            save_outputs(out, wanted, made)
        pushed = push(options.study, out) if pushes else ""
    except (StudyError, PushError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    _print(made, "Unchanged since it was written:" if cached else "Written:", pushed)
    return 0


def _print(made: Outputs, head: str, pushed: str) -> None:
    """Print what the analysis found and where it was written.

    This is the last step: a reader such as `head` may close the pipe early, and by then all files are
    written.
    """
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


def _make(options: argparse.Namespace, out: Path) -> Outputs:
    """Analyse the study, write all files into `out`, and return what was printed and which paths were
    written.
    """
    study = load_csv(options.study) if options.study.is_file() else load_study(options.study)
    result = ablation(
        study,
        baseline=options.baseline,
        resamples=options.resamples,
        seed=options.seed,
        cluster=options.cluster,
        ladder=options.ladder,
    )
    delete_outputs(out)
    return Outputs(to_terminal(result), list(_write(study, result, out)))


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
    options.add_argument("--baseline", help='strategy against which gains are computed (default: "direct")')
    options.add_argument(
        "--resamples", type=_positive, default=10_000, help="bootstrap resamples (default: 10000)"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    options.add_argument(
        "--cluster",
        choices=("sample", "task"),
        default="sample",
        help="cluster of the standard errors: rows of different clusters are independent (default: sample)",
    )
    options.add_argument(
        "--ladder",
        action="append",
        default=[],
        metavar="STEM",
        help="strategies named STEM1, STEM2, ... differ only in the number of candidates, as in best_of_2",
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
