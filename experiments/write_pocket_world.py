"""Write pocket-world samples in the official IMUG-Bench file layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.official import write_official
from imug_tts.contracts import ConfigurationError


def main() -> None:
    """Parse the command line, write the files, and print their folder."""
    defaults = PocketWorld()
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--out", type=Path, required=True, help="folder into which data/ is written")
    parser.add_argument("--split", default=defaults.split, help="train, validation or test")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of the samples")
    parser.add_argument(
        "--num-samples", type=int, default=defaults.num_samples, help="number of samples over all classes"
    )
    parser.add_argument("--classes", nargs="+", default=list(defaults.classes), help="classes to write")
    args = parser.parse_args()
    try:
        benchmark = PocketWorld(
            split=args.split, seed=args.seed, num_samples=args.num_samples, classes=args.classes
        )
        data = write_official(benchmark, args.out)
    except (ConfigurationError, FileExistsError) as error:
        parser.error(str(error))
    print(f"{len(benchmark.samples())} samples in {data}")


if __name__ == "__main__":
    main()
