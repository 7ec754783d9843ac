"""Writing files so that a kill or a full disk never leaves half of one."""

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
    "link_or_write",
    "plain_name",
    "size",
    "storage_errors",
    "unfinished",
    "write_atomically",
    "write_pieces",
]

_NO_LINKS: Final = frozenset(
    [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK]
)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that names the folder and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "free some space and start the same command again; finished calls are kept"
        else:
            advice = "choose a folder that can be written with output=DIR"
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}; {advice}") from error


def plain_name(name: str) -> str:
    """The name, if it can be that of one file or folder and of nothing outside.

    Raises:
        ConfigurationError: it cannot.
    """
    if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
        raise ConfigurationError(f"{name!r} cannot name a file or folder: it is empty or leads elsewhere")
    return name


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it; makes its folder.

    Raises:
        StorageError: the file could not be written.
    """
    write_pieces(path, (data,))


def unfinished(folder: Path) -> Iterator[Path]:
    """The files of a folder that a process was writing atomically, or was killed while it wrote."""
    return folder.glob(".*.tmp")


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file like `write_atomically`, piece by piece.

    Raises:
        StorageError: the file could not be written.
    """
    # No other thread, on this machine or on another that shares the disk, has this name.
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


def link_or_write(held: Path, path: Path, content: Callable[[], bytes]) -> None:
    """Make `path` a hard link to the file `held`, or a file of its content where links are impossible.

    That links are impossible is said once. A file that is there already is left as it is; the folder of
    `path` must be there.

    Raises:
        StorageError: the file could not be written.
    """
    try:
        # The system call would link to a symbolic link itself, which may be relative.
        os.link(held.resolve() if held.is_symlink() else held, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in _NO_LINKS:
            _warn_of_copies(error.strerror)
        write_atomically(path, content())


@cache
def _warn_of_copies(reason: str) -> None:
    """Say it once, and not of thousands of images."""
    warnings.warn(
        f"images are copied, because hard links are impossible here ({reason}), so each takes its space "
        "twice; keep the study and its data on one disk that has hard links",
        stacklevel=3,
    )


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
