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

_SIDE_PX: Final = 1024
"""Assumed side of an image of a model that declares none."""
_BYTES_PER_PIXEL: Final = 1.5
"""Assumed bytes of a pixel in a PNG; drawings of few colours take less."""
_LOOKED_AT: Final = 200
_FOLDERS: Final = 256
"""Number of folders in which a journal stores its images."""


def image_bytes(journal: Path) -> float | None:
    """Mean size of the images in a journal in bytes, from a sample; None if there are none."""
    folders = (journal / "images").glob("*")
    files = chain.from_iterable(folder.glob("*.png") for folder in folders)
    sizes = [file.stat().st_size for file in islice(files, _LOOKED_AT)]
    return mean(sizes) if sizes else None


def disk_summary(journal: Path, images: int, most_of_a_run: int, side_px: int | None) -> str:
    """A message with the disk space and files that the images need, in total and per folder, and what is
    free.

    Args:
        side_px: the longest side of an image that the model declares; None if it declares none.
    """
    known = image_bytes(journal)
    side = side_px or _SIDE_PX
    each = known or _BYTES_PER_PIXEL * side * side
    there = next(path for path in (journal, *journal.absolute().parents) if path.exists())
    free, files = shutil.disk_usage(there).free, os.statvfs(there).f_favail
    whose = "the size that the model declares" if side_px else "as the model declares no size"
    how = "the mean of this journal" if known else f"a guess for {side} x {side} pixels, {whose}"
    fits = "" if images * each < free and images < (files or images + 1) else "; THAT DOES NOT FIT"
    return (
        f"disk of {journal.parent}: up to {images:,} image files, {size(images * each)} at {size(each)} each "
        f"({how}); free: {size(free)} and {files:,} files{fits}\n"
        f"names in one folder: up to {most_of_a_run:,} in a run's images/, and the references shown; about "
        f"{-(-images // _FOLDERS):,} in each of the journal's {_FOLDERS}; those of runs are links to these"
    )
