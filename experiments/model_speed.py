"""Memory, speed and time to the first token of a model in this process, one question at a time."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from imug_tts.contracts import Local, Request

__all__ = ["Speed", "measured"]


class Speed(NamedTuple):
    """Memory and speed of a model that answers one request at a time."""

    device: str
    questions: int
    weights_gb: float
    """Memory of the loaded weights, in 10^9 bytes."""
    peak_gb: float
    """Peak memory in 10^9 bytes. GPU: PyTorch's peak on each GPU, summed. CPU: the peak of the process."""
    tokens_per_s: float
    """New tokens divided by the time of whole answers, which includes image processing and prefill."""
    first_token_s: float
    """Mean time of answers that are limited to one token."""

    def __str__(self) -> str:
        return (
            f"{self.device}, {self.questions} questions one at a time: {self.weights_gb:.2f} GB of weights, "
            f"{self.peak_gb:.2f} GB at most{'' if self.on_gpu else ' in this process'}, "
            f"{self.tokens_per_s:.1f} tokens/s, {self.first_token_s:.2f} s to the first token"
        )

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


def measured(model: Local, requests: Sequence[Request]) -> Speed:
    """Measure a model on requests that it answers one at a time, each once in full and once with one token.

    Raises:
        BackboneError: a call failed.
    """
    model.generate(requests[:1])  # not measured: loads the weights and compiles kernels
    _forget_peak(model.device)
    firsts, wholes, tokens = [], [], 0
    for request in requests:
        one = replace(request, sampling=replace(request.sampling, max_tokens=1))
        firsts.append(_timed(model, one)[0])
        seconds, new = _timed(model, request)
        wholes.append(seconds)
        tokens += new
    return Speed(
        device=model.device,
        questions=len(requests),
        weights_gb=model.memory.weights / 1e9,
        peak_gb=_peak_bytes(model.device) / 1e9,
        tokens_per_s=tokens / sum(wholes),
        first_token_s=fmean(firsts),
    )


def _timed(model: Local, request: Request) -> tuple[float, int]:
    """Return seconds and new tokens of a call. The text of the answer exists, so the GPU has finished."""
    before = time.perf_counter()
    [[candidate]] = model.generate([request])
    return time.perf_counter() - before, candidate.cost.new_tokens


def _forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)


def _peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
