"""Exact sampling with one random stream per row, so that a row does not depend on its batch.

`random_stream` turns a seed of the engine into a random stream. `RowSampler` samples one token per row.
`GumbelNoise` does the same inside transformers' `generate(do_sample=False, logits_processor=[noise])`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["GumbelNoise", "RowSampler", "guided", "random_stream"]


def random_stream(seed: int, purpose: str = "", device: str = "cpu") -> torch.Generator:
    """The random stream of one candidate.

    `purpose` separates the streams of one seed, e.g. "text" and "image". Keep the device "cpu": then the
    noise is the same on all devices.
    """
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class RowSampler:
    """Samples one token for each row, each row with its own random stream.

    The arg max of logits / T plus Gumbel noise is an exact sample of softmax(logits / T). A temperature of 0
    is greedy and uses no noise. `top_k` keeps only the most likely tokens (0: all); `top_p` below 1 keeps the
    smallest set of tokens with this probability.
    """

    def __init__(
        self,
        streams: Sequence[torch.Generator],
        temperature: float | Sequence[float],
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> None:
        each = [temperature] * len(streams) if isinstance(temperature, int | float) else temperature
        self._rows = list(zip(streams, map(float, each), strict=True))
        self._top_p, self._top_k = top_p, top_k

    def pick(self, logits: Tensor) -> Tensor:
        """The sampled token ids, shape (rows,), for logits of shape (rows, width)."""
        return self.perturbed(logits).argmax(-1)

    def perturbed(self, logits: Tensor) -> Tensor:
        """Perturbed logits, shape (rows, width), whose arg max is the sample; computed in float32 or
        wider.
        """
        wide = logits if logits.dtype == torch.float64 else logits.float()
        return torch.stack([self._row(*row, one) for row, one in zip(self._rows, wide, strict=True)])

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows except these."""
        self._rows = [self._rows[row] for row in rows]

    def _row(self, stream: torch.Generator, temperature: float, logits: Tensor) -> Tensor:
        if temperature == 0:
            return logits
        uniform = torch.rand(logits.shape, generator=stream, dtype=torch.float64, device=stream.device)
        noise = -torch.log(-torch.log(uniform.clamp_min(1e-300)))
        return self._likely(logits / temperature) + noise.to(logits)

    def _likely(self, logits: Tensor) -> Tensor:
        """The logits with those outside of the top-k and top-p sets set to -inf."""
        if 0 < self._top_k < len(logits):
            logits = logits.masked_fill(logits < logits.topk(self._top_k).values[-1], float("-inf"))
        if self._top_p >= 1:
            return logits
        ordered, places = logits.sort(descending=True, stable=True)
        shares = ordered.softmax(-1)
        outside = shares.cumsum(-1) - shares >= self._top_p
        return logits.masked_fill(torch.zeros_like(outside).scatter(-1, places, outside), float("-inf"))


class GumbelNoise:
    """A logits processor for transformers' `generate` with do_sample=False, with one random stream per
    row.
    """

    def __init__(self, streams: Sequence[torch.Generator], temperature: float, top_p: float = 1.0) -> None:
        self._sampler = RowSampler(streams, temperature, top_p)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The perturbed scores, shape (rows, width), whose arg max is the sample."""
        return self._sampler.perturbed(scores)


def guided(full: Tensor, without: Tensor, scale: float) -> Tensor:
    """The logits of classifier-free guidance: `without` + scale * (full - without)."""
    return without + scale * (full - without)
