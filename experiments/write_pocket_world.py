"""Write pocket-world samples in the official IMUG-Bench file layout.

python experiments/write_pocket_world.py --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.official import write_official
from imug_tts.contracts import ConfigurationError


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    defaults = PocketWorld()
    style = argparse.ArgumentDefaultsHelpFormatter
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=style)
    options.add_argument("--out", type=Path, required=True, help="folder into which data/ is written")
    options.add_argument("--split", default=defaults.split, help="train, validation or test")
    options.add_argument("--seed", type=int, default=defaults.seed, help="seed of the samples")
    options.add_argument(
        "--num-samples", type=int, default=defaults.num_samples, help="number of samples over all classes"
    )
    options.add_argument("--classes", nargs="+", default=list(defaults.classes), help="classes to write")
    return options


def main() -> None:
    """Parse the command line, write the files, and print their folder."""
    command = parser()
    args = command.parse_args()
    try:
        benchmark = PocketWorld(
            split=args.split, seed=args.seed, num_samples=args.num_samples, classes=args.classes
        )
        data = write_official(benchmark, args.out)
    except (ConfigurationError, FileExistsError) as error:
        command.error(str(error))
    print(f"{len(benchmark.samples())} samples in {data}")


if __name__ == "__main__":
    main()
