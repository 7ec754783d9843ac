"""`python -m analysis.drivebench [NAME=]FOLDER ...`: the tables of DriveBench runs, one or several compared.

    python -m analysis.drivebench runs/drivebench/direct-1a2b3c4d
    python -m analysis.drivebench student=runs/student distilled=runs/distilled teacher=runs/teacher

A folder holds a run, or several that differ in a seed (of training or of answering) and are averaged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.drivebench.grades import Group, read_group
from analysis.drivebench.tables import show
from analysis.records import StudyError

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m analysis.drivebench", description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument("groups", nargs="+", metavar="[NAME=]FOLDER", help="a run, or several of one model")
    options.add_argument(
        "--baseline", metavar="NAME", help="differences are to this group (default: the first)"
    )
    options.add_argument(
        "--cluster", choices=("scene", "frame"), default="scene", help="what is resampled whole"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; returns 0, or 2 when the runs cannot be used."""
    options = parser().parse_args(arguments)
    try:
        groups = [_group(argument) for argument in options.groups]
        show(groups, baseline=options.baseline, cluster=options.cluster, numbers=options.json)
    except (StudyError, OSError) as error:
        print(f"analysis.drivebench: {error}", file=sys.stderr)
        return 2
    return 0


def _group(argument: str) -> Group:
    name, found, folder = argument.partition("=")
    return read_group(name, Path(folder)) if found else read_group(Path(argument).name, Path(argument))


if __name__ == "__main__":
    sys.exit(main())
