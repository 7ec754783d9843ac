"""Train the pocket model from scratch: `python experiments/train_pocket.py --out runs/pocket --seed 0`.

Started again with the same --out, a run that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True, help="folder of the run")
    options.add_argument("--seed", type=int, default=0, help="of weights and data")
    options.add_argument("--steps", type=int, default=3400, help="optimizer steps in all")
    options.add_argument(
        "--processes", type=int, default=2, help="data-parallel processes of one thread each"
    )
    options.add_argument("--rows", type=int, default=8, help="token trees per process and step")
    options.add_argument("--save-every-s", type=float, default=60.0, help="seconds between checkpoints")
    options.add_argument(
        "--play-dialogues", type=int, default=80, help="played per process in the verifier phase"
    )
    return options


def main() -> None:
    """Parse the command line and train."""
    arguments = parser().parse_args()

    from experiments.pocket_training.trainer import TrainConfig, train

    train(TrainConfig(**vars(arguments)))


if __name__ == "__main__":
    main()
