"""The pocket model's image tokenizer: a linear patch encoder, a codebook, and a decoder; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ImageTokenizer:
    """Maps each square patch linearly to a latent, the latent to its nearest code, and codes linearly to
    pixels.

    Shapes: encoder (patch values, latent), encoder_bias (latent,), codebook (codes, latent), decoder (latent,
    patch values), decoder_bias (patch values,).
    """

    encoder: Floats
    encoder_bias: Floats
    codebook: Floats
    decoder: Floats
    decoder_bias: Floats
    grid: int

    @classmethod
    def load(cls, path: Path) -> ImageTokenizer:
        """Read the safetensors file that `save` wrote."""
        from safetensors.numpy import load_file

        stored = load_file(path)
        grid = int(stored.pop("grid")[0])
        return cls(**stored, grid=grid)

    def save(self, path: Path) -> None:
        """Write the tokenizer as a safetensors file."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items() if name != "grid"}
        save_file({**arrays, "grid": np.array([self.grid])}, path)

    @property
    def num_codes(self) -> int:
        """Number of codes in the codebook."""
        return int(self.codebook.shape[0])

    @property
    def cell_px(self) -> int:
        """Side of a patch in pixels."""
        return int((self.encoder.shape[0] // 3) ** 0.5 + 0.5)

    def _patches(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        side, cell = self.grid * self.cell_px, self.cell_px
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"an image is height x width x 3, not {pixels.shape}")
        rows, columns = (((np.arange(side) + 0.5) * n // side).astype(int) for n in pixels.shape[:2])
        fitted = pixels[rows[:, None], columns[None]].reshape(self.grid, cell, self.grid, cell, 3)
        patches = fitted.transpose(0, 2, 1, 3, 4).reshape(self.grid**2, -1).astype(np.float64)
        scaled: NDArray[np.float64] = patches / 255
        return scaled

    def encode(self, pixels: NDArray[np.uint8]) -> list[int]:
        """The codes of an image in reading order. Images of other sizes are sampled at the nearest pixel.

        Raises ValueError if `pixels` is not a non-empty height x width x 3 array.
        """
        latents = self._patches(pixels) @ self.encoder.astype(np.float64) + self.encoder_bias
        codebook = self.codebook.astype(np.float64)
        distance = (codebook**2).sum(1) - 2 * latents @ codebook.T
        return [int(code) for code in distance.argmin(1)]

    def is_exact(self) -> bool:
        """Whether every code is recovered from its own decoded image."""
        pictures = ([code] * self.grid**2 for code in range(self.num_codes))
        return all(self.encode(self.decode(picture)) == picture for picture in pictures)

    def decode(self, codes: list[int]) -> NDArray[np.uint8]:
        """The pixels of an image: uint8 (grid * cell, grid * cell, 3)."""
        values = self.codebook[codes].astype(np.float64) @ self.decoder.astype(np.float64) + self.decoder_bias
        cell, grid = self.cell_px, self.grid
        patches = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8).reshape(grid, grid, cell, cell, 3)
        return np.ascontiguousarray(patches.transpose(0, 2, 1, 3, 4).reshape(grid * cell, grid * cell, 3))
