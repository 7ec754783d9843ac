"""`python -m tests.analysis.simulation`: coverage, familywise errors and power on studies of known truth."""

from __future__ import annotations

import argparse
import sys

from tests.analysis.simulation.suite import PARTS, outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.simulation", description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="studies for each part (default: 1000)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first study (default: 0)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    options = parser.parse_args()
    wrong = 0
    for outcome in outcomes(options.parts, options.studies, options.first_seed):
        print(outcome, flush=True)
        wrong += not outcome.is_right
    print(f"{wrong} outside of their bounds, with 2 standard errors of a share over so many studies")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
