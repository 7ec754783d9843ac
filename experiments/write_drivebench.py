"""Write a small data folder in the layout of DriveBench with made-up content, for trials without the data.

python experiments/write_drivebench.py --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from imug_tts.contracts import ConfigurationError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    from imug_tts.benchmarks.drivebench.kinds import Setting

    corrupted = [setting for setting in get_args(Setting) if setting not in ("clean", "NoImage")]
    style = argparse.ArgumentDefaultsHelpFormatter
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=style)
    add = options.add_argument
    add("--out", type=Path, required=True, help="folder in which data/ is written")
    add("--frames", type=int, default=8, help="number of frames; each has five questions")
    add("--seed", type=int, default=0, help="seed of the content")
    add("--image-size", type=int, default=64, help="width of the images in pixels")
    add("--settings", nargs="*", default=[], choices=corrupted, help="corruptions to write images for")
    add("--predictions", action="store_true", help="write a recorded answer (pred) to each record")
    return options


def main() -> None:
    """Parse the command line, write the files, and print where they are."""
    from imug_tts.benchmarks.drivebench.synthetic import write_synthetic

    command = parser()
    args = command.parse_args()
    try:
        questions = write_synthetic(
            args.out,
            args.frames,
            seed=args.seed,
            image_size=args.image_size,
            settings=args.settings,
            predictions=args.predictions,
        )
    except (ConfigurationError, FileExistsError) as error:
        command.error(str(error))
    print(f"{args.frames} frames, {5 * args.frames} questions in {questions}")


if __name__ == "__main__":
    main()
