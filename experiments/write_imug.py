"""Write a synthetic benchmark in the format of IMUG-Bench with its own content, of any size, for dry runs.

python experiments/write_imug.py --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from imug_tts.contracts import ConfigurationError


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    style = argparse.ArgumentDefaultsHelpFormatter
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=style)
    options.add_argument("--out", type=Path, required=True, help="folder into which data/ is written")
    options.add_argument(
        "--samples", type=int, default=97, help="number of samples; 3113 is the size of the release"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the samples")
    options.add_argument("--image-size", type=int, default=64, help="width of the input images in pixels")
    return options


def main() -> None:
    """Parse the command line, write the files, and print their folder."""
    command = parser()
    args = command.parse_args()

    from imug_tts.benchmarks.imug.synthetic import synthetic_samples
    from imug_tts.benchmarks.imug.writing import write_data

    try:
        data = write_data(args.out, synthetic_samples(args.samples, args.seed, args.image_size))
    except (ConfigurationError, FileExistsError) as error:
        command.error(str(error))
    print(f"{args.samples} samples in {data}")


if __name__ == "__main__":
    main()
