"""Write a small checkpoint with random weights in a released model's layout, to try a study without a
download.

    python experiments/tiny_checkpoint.py NAME --out FOLDER [--seed N]

    python experiments/tiny_checkpoint.py janus --out tiny/janus
    python experiments/run.py backbone=janus backbone.folder=tiny/janus benchmark=pocket_world +dry_run=true

Its answers and images are nonsense; it only shows that everything runs.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from imug_tts.knobs import nearest
from imug_tts.testing import checkpoints

__all__ = ["main", "names", "writer_of"]


def names() -> list[str]:
    """The models that have a small checkpoint."""
    modules = [module.name for module in pkgutil.iter_modules(checkpoints.__path__)]
    files = {name: Path(checkpoints.__path__[0], f"{name}.py") for name in modules}
    return [name for name in modules if f"def write_tiny_{name}(" in files[name].read_text(encoding="utf-8")]


def writer_of(name: str) -> Callable[[Path, int], None]:
    """The function that writes the small checkpoint of a model."""
    module = import_module(f"{checkpoints.__name__}.{name}")
    writer: Callable[[Path, int], None] = getattr(module, f"write_tiny_{name}")
    return writer


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("name", metavar="NAME", help=f"the model: {', '.join(names())}")
    options.add_argument("--out", type=Path, required=True, help="folder to write into; new or empty")
    options.add_argument("--seed", type=int, default=0, help="seed of the random weights")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    if options.name not in names():
        command.error(f"there is no small checkpoint of {options.name!r}; {nearest(options.name, names())}")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        command.error(f"{options.out} is not an empty folder; give a new one, or remove it")
    from transformers.utils import logging

    options.out.mkdir(parents=True, exist_ok=True)
    writer = writer_of(options.name)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    writer(options.out, options.seed)
    _report(options.out)
    return 0


def _report(folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in files:
        print(f"{file.relative_to(folder)}  {file.stat().st_size:,} bytes")
    print(f"{folder}: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} files")


if __name__ == "__main__":
    sys.exit(main())
