"""Writing files so that a kill or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError, StorageError

__all__ = ["exclusive", "link_or_write", "plain_name", "storage_errors", "write_atomically"]

_SOFT: Final = ".lock.soft"
"""The file that stands in for a lock on a disk that has none; unlike `.lock`, it is there only while held."""

_NO_LOCKS: Final = frozenset([errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP])


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
                file.write(data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def link_or_write(held: Path, path: Path, content: Callable[[], bytes]) -> None:
    """Make `path` a hard link to the file `held`, or a file of its content where links are impossible.

    A file that is there already is left as it is; the folder of `path` must be there.

    Raises:
        StorageError: the file could not be written.
    """
    try:
        # The system call would link to a symbolic link itself, which may be relative.
        os.link(held.resolve() if held.is_symlink() else held, path)
    except FileExistsError:
        return
    except OSError:
        write_atomically(path, content())


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; the kernel lets go when the process ends, however it ends.

    Lustre and NFS may have no file locks; there a file that names the process takes their place.

    Raises:
        ConfigurationError: another process holds it.
        StorageError: the folder cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        release = _lock(folder) or _soft_lock(folder)
    try:
        yield
    finally:
        release()


def _lock(folder: Path) -> Callable[[], None] | None:
    """Lock the folder; returns how to release it, or None on a disk without locks."""
    from filelock import FileLock, Timeout  # imports asyncio, which a command's help does without

    path = folder / ".lock"
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
        path.write_text(_HOLDER.format(pid=os.getpid()), encoding="utf-8")
    except Timeout:
        raise ConfigurationError(_in_use(folder, path)) from None
    except OSError as error:
        lock.release()
        if error.errno not in _NO_LOCKS:
            raise
        # The text is the same for all runs of a study, so that it is shown once.
        found = f"the disk of {folder.parent} has no file locks ({error.strerror})"
        warnings.warn(f"{found}; files named {_SOFT} stand in for them", stacklevel=2)
        return None
    return lock.release


def _soft_lock(folder: Path) -> Callable[[], None]:
    """Make the file that stands in for a lock; returns how to release it.

    A file whose process ran on this machine and is gone is replaced.
    """
    path = folder / _SOFT
    _remove_stale(path)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(_HOLDER.format(pid=os.getpid()))
    except FileExistsError:
        raise ConfigurationError(f"{_in_use(folder, path)}; if that process is gone, remove {path}") from None
    return lambda: path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    held = _read(path)
    pid = held.split(" ")[0]
    if not pid.isdecimal() or held != _HOLDER.format(pid=pid) or _is_running(int(pid)):
        return
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    path.replace(aside)
    if _read(aside) == held:
        aside.unlink()
    else:  # another process replaced it in between, and this is the new one
        aside.replace(path)


def _in_use(folder: Path, path: Path) -> str:
    pid, host, *_ = [*_read(path).split(), "unknown", "unknown"]
    return (
        f"{folder} is in use by another process (pid {pid} on {host}); "
        "wait for it, or choose another output=DIR"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _pid_namespace() -> int:
    """What tells the containers of one host apart, which count their processes from 1 each; 0 if unknown."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


_HOLDER: Final = f"{{pid}} {os.uname().nodename} {_pid_namespace()}\n"
"""What a lock's file says of the process that holds it."""
