"""Train the image tokenizer: an autoencoder, then a k-means codebook, then a decoder by least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import ImageTurn, make_dialogue

_LATENT, _NUM_CODES, _WARM_UP_STEPS, _BATCH = 24, 64, 250, 512


def _patches(seed: int, num_dialogues: int) -> torch.Tensor:
    """Return the cells of training pictures as floats in [0, 1], (cells, patch values).

    All occupied cells are returned, and a quarter as many cells of any kind, so that empty ones occur too.
    """
    dialogues = (make_dialogue("train", seed, index) for index in range(num_dialogues))
    scenes = [turn.gold for d in dialogues for turn in d.turns if isinstance(turn, ImageTurn)]
    cells = np.concatenate([world.to_patches(world.render(scene)) for scene in scenes])
    occupied = cells[[state != world.EMPTY for scene in scenes for state in scene]]
    pictures = np.concatenate([occupied, cells[: len(occupied) // 4]])
    return torch.from_numpy(pictures.reshape(len(pictures), -1).astype(np.float32) / 255)


def _nearest(latents: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    return ((codebook**2).sum(1) - 2 * latents @ codebook.T).argmin(1)


def _k_means(latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a codebook (codes, latent) by ten rounds of k-means.

    K-means starts from farthest-point sampling, so that rare cells get a code.
    """
    chosen = [int(torch.randint(len(latents), (1,), generator=generator))]
    distance = ((latents - latents[chosen[0]]) ** 2).sum(1)
    while len(chosen) < _NUM_CODES:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, ((latents - latents[chosen[-1]]) ** 2).sum(1))
    codebook = latents[chosen].clone()
    for _ in range(10):
        nearest = _nearest(latents, codebook)
        for code in range(_NUM_CODES):
            if bool((nearest == code).any()):
                codebook[code] = latents[nearest == code].mean(0)
    return codebook


def _encoder(data: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Train a linear autoencoder; return the matrix (patch values, latent) and the bias of its encoder."""
    width = data.shape[1]
    encoder = (torch.randn(width, _LATENT, generator=generator) / width**0.5).requires_grad_()
    decoder = (torch.randn(_LATENT, width, generator=generator) / _LATENT**0.5).requires_grad_()
    encoder_bias = torch.zeros(_LATENT, requires_grad=True)
    decoder_bias = data.mean(0).clone().requires_grad_()
    optimizer = torch.optim.Adam([encoder, decoder, encoder_bias, decoder_bias], lr=5e-3)
    for _ in range(_WARM_UP_STEPS):
        batch = data[torch.randint(len(data), (_BATCH,), generator=generator)]
        loss = (((batch @ encoder + encoder_bias) @ decoder + decoder_bias - batch) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.detach(), encoder_bias.detach()


def train_image_tokenizer(seed: int, num_dialogues: int = 600) -> ImageTokenizer:
    """Train a tokenizer that encodes and decodes every cell state exactly.

    The encoder is frozen before the codebook is made: an encoder that trains further merges rare cell states.

    Raises:
        RuntimeError: the tokenizer is not exact: two states share a code, or a decoded picture is read as
            another one.
    """
    generator = torch.Generator().manual_seed(seed)
    data = _patches(seed, num_dialogues)
    encoder, encoder_bias = _encoder(data, generator)
    latents = data @ encoder + encoder_bias
    codebook = _k_means(latents, generator)
    inputs = torch.nn.functional.pad(codebook[_nearest(latents, codebook)], (0, 1), value=1.0)
    solution = torch.linalg.lstsq(inputs.double(), data.double(), driver="gelsd").solution.float()
    return _pruned(encoder, encoder_bias, codebook, solution[:-1], solution[-1])


def _pruned(
    encoder: torch.Tensor,
    encoder_bias: torch.Tensor,
    codebook: torch.Tensor,
    decoder: torch.Tensor,
    decoder_bias: torch.Tensor,
) -> ImageTokenizer:
    """Keep only the codes that real cells use, and check that reading and drawing are exact."""
    full = ImageTokenizer(
        encoder=encoder.numpy(),
        encoder_bias=encoder_bias.numpy(),
        codebook=codebook.numpy(),
        decoder=decoder.numpy(),
        decoder_bias=decoder_bias.numpy(),
        grid=world.SIDE,
    )
    scenes = [tuple(range(16)), tuple(range(16, 32))]
    codes = [code for scene in scenes for code in full.encode(world.render(scene))]
    if len(set(codes)) != len(world.STATES):
        raise RuntimeError(f"only {len(set(codes))} codes for {len(world.STATES)} cell states; train longer")
    kept = replace(full, codebook=full.codebook[sorted(codes)])
    for scene in scenes:
        if world.parse(kept.decode(kept.encode(world.render(scene)))) != scene:
            raise RuntimeError("a decoded picture is read as another scene; train longer")
    return kept
