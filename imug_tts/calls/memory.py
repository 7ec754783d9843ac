"""Free memory of devices, and whether a call failed for lack of memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError

__all__ = ["free_bytes", "free_caches", "is_out_of_memory"]

_MEMINFO: Final = Path("/proc/meminfo")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_WORDS: Final = ("out of memory", "not enough memory", "can't allocate memory")
"""Parts of the messages of PyTorch's RuntimeErrors for failed allocations, on a GPU and on a CPU."""


def free_bytes(device: str) -> int | None:
    """Return the bytes that models can still allocate on a device; None if that cannot be determined.

    On a GPU, PyTorch's cache counts as free. On a CPU the limits of control groups count, e.g. those of a
    SLURM job. Imports torch, and initializes the GPU if the device is one.

    Raises:
        ConfigurationError: the GPU does not exist.
    """
    kind = device.partition(":")[0]
    if kind == "cuda":
        return _free_on_gpu(device)
    return _free_ram() if kind == "cpu" else None


def free_caches(device: str) -> None:
    """Release cached memory that no object uses any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda") and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one of its causes, reports a failed allocation."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__
    return False


def _free_on_gpu(device: str) -> int | None:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
        raise ConfigurationError(f"there is no device {device}; PyTorch finds here: {there}")
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _free_ram() -> int | None:
    if not _MEMINFO.is_file():
        return None
    lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    return min([available, *_left_in_cgroups()])


def _left_in_cgroups() -> Iterator[int]:
    """Yield the bytes that each control group (version 2) of this process still allows."""
    if not _OWN_CGROUP.is_file():
        return
    own = [line for line in _OWN_CGROUP.read_text().splitlines() if line.startswith("0::")]
    folder = _CGROUPS / "".join(own).removeprefix("0::").lstrip("/")
    for each in (folder, *folder.parents):
        limit, used = each / "memory.max", each / "memory.current"
        if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
            stats = dict(line.split() for line in (each / "memory.stat").read_text().splitlines())
            # Pages of the file cache count as used but can be reclaimed.
            yield int(most) - int(used.read_text()) + int(stats.get("inactive_file", 0))
