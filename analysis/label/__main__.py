"""`python -m analysis.label STUDY --out labels`: draw image turns for labelling by hand, blind to the
strategy.

Send `label.html` (and `images/`, if it exists) to the labellers and keep `key.csv`. Merge their exported
labels with `python -m analysis.label STUDY --merge labels.csv --key labels/key.csv --out
runs_with_human.csv`, and analyse the result with `python -m analysis runs_with_human.csv --out DIR`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.label.draw import draw, write_labelling
from analysis.label.merge import merge
from analysis.names import separated
from analysis.records import StudyError, load_study


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw or merge; returns the exit status: 0, or 2 if the study or the labels cannot be used."""
    options = parser().parse_args(arguments)
    try:
        if options.merge is None:
            _draw(options)
        else:
            merged = merge(options.study, options.merge, options.key or options.merge.with_name("key.csv"))
            merged.write(options.out)
            print(f"{merged.num_labelled} labelled turns; written: {options.out}")
    except (StudyError, OSError) as error:
        print(f"analysis.label: {error}", file=sys.stderr)
        return 2
    return 0


def _draw(options: argparse.Namespace) -> None:
    study = load_study(options.study)
    strategies = [name.strip() for name in separated(options.strategies, ",")] if options.strategies else None
    items = draw(study, num_turns=options.n, seed=options.seed, strategies=strategies)
    page, key = write_labelling(items, options.out)
    print(
        f"{len(items)} images to label: {page}",
        f"key of items to strategies (do not send it to the labellers): {key}",
        sep="\n",
    )


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m analysis.label",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("study", type=Path, help="folder with the runs of one study, e.g. runs/demo")
    options.add_argument(
        "--out", type=Path, required=True, help="folder to draw into, or the CSV to merge into"
    )
    options.add_argument(
        "--n",
        type=_positive,
        default=100,
        help="turns to draw, each labelled for every strategy (default: 100)",
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the random sample (default: 0)")
    options.add_argument(
        "--strategies",
        help="names of arms to draw from, as tables show them, with commas between (default: all)",
    )
    options.add_argument(
        "--merge", type=Path, metavar="LABELS.csv", help="the CSV that the labelling page exported"
    )
    options.add_argument(
        "--key", type=Path, help="key.csv that was written with the page (default: beside LABELS.csv)"
    )
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
