"""How much memory a device has left, and whether a call failed because it had too little."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imug_tts.contracts import ConfigurationError

__all__ = ["free_bytes", "give_back_caches", "is_out_of_memory"]

_MEMINFO: Final = Path("/proc/meminfo")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_WORDS: Final = ("out of memory", "not enough memory", "can't allocate memory")
"""What RuntimeErrors of PyTorch say when an allocation fails, on a GPU and on a CPU."""


def free_bytes(device: str) -> int | None:
    """Bytes that models can still allocate on a device; None where that cannot be known.

    On a GPU, what PyTorch holds in its cache counts as free. On a CPU the limits of control groups count,
    e.g. those of a job of SLURM. Imports torch and begins to use the GPU if the device is one.

    Raises:
        ConfigurationError: there is no such GPU.
    """
    kind = device.partition(":")[0]
    if kind == "cuda":
        return _free_on_gpu(device)
    return _free_ram() if kind == "cpu" else None


def give_back_caches(device: str) -> None:
    """Let go of memory that no object holds any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda") and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or what caused it, says that an allocation failed."""
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
    """What each control group of this process (version 2) still allows; pages of files can be dropped."""
    if not _OWN_CGROUP.is_file():
        return
    own = [line for line in _OWN_CGROUP.read_text().splitlines() if line.startswith("0::")]
    folder = _CGROUPS / "".join(own).removeprefix("0::").lstrip("/")
    for each in (folder, *folder.parents):
        limit, used = each / "memory.max", each / "memory.current"
        if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
            stats = dict(line.split() for line in (each / "memory.stat").read_text().splitlines())
            yield int(most) - int(used.read_text()) + int(stats.get("inactive_file", 0))
