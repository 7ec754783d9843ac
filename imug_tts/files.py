"""Writes files atomically, so that a kill or a full disk never leaves an incomplete file."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError, StorageError

__all__ = [
    "FOLDER_NAME",
    "link_or_write",
    "plain_name",
    "size",
    "storage_errors",
    "unfinished",
    "write_atomically",
    "write_pieces",
]

FOLDER_NAME: Final = r"^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$"
"""The pattern of a name that users give to a folder, e.g. that of a study."""
_NO_LINKS: Final = frozenset(
    [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK]
)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Convert an OSError into a StorageError that names the folder and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "free some space and run the same command again; completed calls are kept"
        else:
            advice = "choose a folder that can be written with output=DIR"
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}; {advice}") from error


def plain_name(name: str) -> str:
    """Return the name if it is a valid name of one file or folder, without a path.

    Raises:
        ConfigurationError: it is not.
    """
    if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
        raise ConfigurationError(f"{name!r} cannot name a file or folder: it is empty or leads elsewhere")
    return name


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it; creates its folder.

    Raises:
        StorageError: the file could not be written.
    """
    write_pieces(path, (data,))


def unfinished(folder: Path) -> Iterator[Path]:
    """The files of a folder that a process was writing atomically, or was killed while it wrote."""
    return folder.glob(".*.tmp")


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file as `write_atomically` does, in pieces.

    Raises:
        StorageError: the file could not be written.
    """
    # The temporary name is unique to this thread, also among machines that share the disk.
    writer = f"{os.uname().nodename}-{threading.get_native_id()}"
    temporary = path.with_name(f".{path.name}.{writer}.tmp")
    with storage_errors(path.parent):
        try:
            descriptor = _create(temporary)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _create(temporary)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(pieces)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def link_or_write(source: Path, path: Path, content: Callable[[], bytes]) -> None:
    """Make `path` a hard link to the file `source`; write `content()` to it if links are impossible.

    Warns once if links are impossible. Leaves an existing `path` as it is. The folder of `path` must exist.

    Raises:
        StorageError: the file could not be written.
    """
    try:
        # Linking a symbolic link would copy its target path, which may be relative.
        os.link(source.resolve() if source.is_symlink() else source, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in _NO_LINKS:
            _warn_of_copies(error.strerror)
        write_atomically(path, content())


@cache
def _warn_of_copies(reason: str) -> None:
    """Warn once per reason, and not for each of thousands of images."""
    warnings.warn(
        f"images are copied, because hard links are impossible here ({reason}), so each takes its space "
        "twice; keep the study and its data on one disk that has hard links",
        stacklevel=3,
    )


def size(count: float) -> str:
    """Return a number of bytes as text with a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
