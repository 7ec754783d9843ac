"""Write a small folder in the form of DriveBench, of made-up content, to try everything without the data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from imug_tts.contracts import ConfigurationError


def main() -> None:
    """Parse the command line, write the files, and say where they are."""
    from imug_tts.benchmarks.drivebench.kinds import Setting
    from imug_tts.benchmarks.drivebench.synthetic import write_synthetic

    corrupted = [setting for setting in get_args(Setting) if setting not in ("clean", "NoImage")]
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets data/")
    parser.add_argument("--frames", type=int, default=8, help="five questions each; two frames are a scene")
    parser.add_argument("--seed", type=int, default=0, help="seed of the content")
    parser.add_argument("--image-size", type=int, default=64, help="width of the images in pixels")
    parser.add_argument("--settings", nargs="*", default=[], choices=corrupted, help="corrupted images too")
    parser.add_argument("--predictions", action="store_true", help="records have answers (pred)")
    args = parser.parse_args()
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
        parser.error(str(error))
    print(f"{args.frames} frames, {5 * args.frames} questions in {questions}")


if __name__ == "__main__":
    main()
