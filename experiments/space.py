"""The size of a study's images, on disk and in requests to servers."""

from __future__ import annotations

import os
import shutil
from itertools import chain, islice
from pathlib import Path
from statistics import mean
from typing import Final

from imug_tts.files import size

__all__ = ["disk_summary", "image_bytes"]

_GUESS: Final = 1_500_000
"""Assumed bytes of a PNG of 1024 x 1024 pixels."""
_LOOKED_AT: Final = 200
_FOLDERS: Final = 256
"""Number of folders in which a journal stores its images."""


def image_bytes(journal: Path) -> float | None:
    """Mean size of the images in a journal in bytes, from a sample; None if there are none."""
    folders = (journal / "images").glob("*")
    files = chain.from_iterable(folder.glob("*.png") for folder in folders)
    sizes = [file.stat().st_size for file in islice(files, _LOOKED_AT)]
    return mean(sizes) if sizes else None


def disk_summary(journal: Path, images: int, most_of_a_run: int) -> str:
    """A message with the disk space and files that the images need, in total and per folder, and what is
    free.
    """
    known = image_bytes(journal)
    each = known or _GUESS
    there = next(path for path in (journal, *journal.absolute().parents) if path.exists())
    free, files = shutil.disk_usage(there).free, os.statvfs(there).f_favail
    how = "the mean so far" if known else "a guess, as there are none yet"
    fits = "" if images * each < free and images < (files or images + 1) else "; THAT DOES NOT FIT"
    return (
        f"disk of {journal.parent}: up to {images:,} image files, {size(images * each)} at {size(each)} each "
        f"({how}); free: {size(free)} and {files:,} files{fits}\n"
        f"names in one folder: up to {most_of_a_run:,} in a run's images/, and the references shown; about "
        f"{-(-images // _FOLDERS):,} in each of the journal's {_FOLDERS}; those of runs are links to these"
    )
