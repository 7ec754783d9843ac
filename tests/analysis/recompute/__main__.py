"""`python -m tests.analysis.recompute STUDY [ANALYSIS.JSON]`: does an analysis say what its records say?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.analysis.recompute.whole import check


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.recompute", description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a study, analysed before")
    parser.add_argument("numbers", type=Path, nargs="?", help="default: STUDY/analysis/analysis.json")
    options = parser.parse_args(arguments)
    found, count = check(options.study, options.numbers or options.study / "analysis" / "analysis.json")
    for difference in found:
        print(difference)
    print(f"{count} numbers computed again; {len(found)} differ by more than 1e-7")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
