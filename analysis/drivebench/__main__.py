"""Print the tables of DriveBench runs, and compare several: python -m analysis.drivebench [NAME=]FOLDER ...

    python -m analysis.drivebench runs/drivebench/direct-1a2b3c4d
    python -m analysis.drivebench student=runs/student distilled=runs/distilled teacher=runs/teacher

A folder is a run, or contains several runs that differ only in a seed (of training or of answering); these
are averaged.
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
    """Return the parser of the command's options."""
    options = argparse.ArgumentParser(
        prog="python -m analysis.drivebench", description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "groups", nargs="+", metavar="[NAME=]FOLDER", help="a run, or a folder of runs of one model"
    )
    options.add_argument(
        "--baseline", metavar="NAME", help="differences are to this group (default: the first)"
    )
    options.add_argument(
        "--cluster", choices=("scene", "frame"), default="scene", help="clusters of the intervals"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return the exit status: 0, or 2 if the runs cannot be used."""
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
