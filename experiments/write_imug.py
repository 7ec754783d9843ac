"""Write a synthetic benchmark in the format of IMUG-Bench with its own content, of any size, for dry runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from imug_tts.contracts import ConfigurationError


def main() -> None:
    """Parse the command line, write the files, and print their folder."""
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--out", type=Path, required=True, help="folder into which data/ is written")
    parser.add_argument(
        "--samples", type=int, default=97, help="number of samples; 3113 is the size of the release"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples")
    parser.add_argument("--image-size", type=int, default=64, help="width of the input images in pixels")
    args = parser.parse_args()

    from imug_tts.benchmarks.imug.synthetic import synthetic_samples
    from imug_tts.benchmarks.imug.writing import write_data

    try:
        data = write_data(args.out, synthetic_samples(args.samples, args.seed, args.image_size))
    except (ConfigurationError, FileExistsError) as error:
        parser.error(str(error))
    print(f"{args.samples} samples in {data}")


if __name__ == "__main__":
    main()
