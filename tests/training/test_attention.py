"""The mean map of attention and its own backward pass, against maps and gradients that autograd makes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from imug_tts.training import attention
from imug_tts.training.attention import Rows, attend, mean_map

TOKENS, HEADS, KEY_HEADS, WIDTH = 11, 6, 2, 5
SCALING = 0.7
TEXT = torch.tensor([0, 3, 4, 9, 10])


def states(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value."""
    drawn = torch.Generator().manual_seed(0)
    heads = (HEADS, KEY_HEADS, KEY_HEADS)
    query, key, value = (torch.randn(1, n, TOKENS, WIDTH, generator=drawn).to(dtype) for n in heads)
    return query, key, value


def masks() -> dict[str, Tensor | None]:
    """No mask, one that leaves out a key, and the same one as numbers that are added."""
    allowed = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
    allowed[:, 1] = False
    allowed[1, 1] = True
    added = torch.zeros(TOKENS, TOKENS, dtype=torch.float64).masked_fill(~allowed, -1.7e308)
    return {"causal": None, "boolean": allowed[None, None], "added": added[None, None]}


def plain(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """The weights of all heads, (1, heads, tokens, tokens)."""
    allowed = torch.ones(TOKENS, TOKENS).tril() > 0 if mask is None else mask
    if allowed.dtype != torch.bool:
        allowed = allowed == 0
    scores = query @ key.repeat_interleave(HEADS // KEY_HEADS, dim=1).transpose(2, 3) * SCALING
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)


@pytest.mark.parametrize("largest", [1, 1 << 23], ids=["rows one by one", "four blocks"])
@pytest.mark.parametrize("of_text", [False, True])
@pytest.mark.parametrize("name", masks())
def test_maps_and_gradients_are_those_of_autograd(
    name: str, of_text: bool, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_WEIGHTS", largest)
    mask = masks()[name]
    query, key, _ = (one.requires_grad_() for one in states())
    found = mean_map(query, key, mask, SCALING, Rows.of(TEXT) if of_text else None)
    expected = plain(query, key, mask).mean(dim=1)[:, TEXT if of_text else torch.arange(TOKENS)]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    given = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = torch.autograd.grad(found, (query, key), given, retain_graph=True)
    for one, other in zip(own, torch.autograd.grad(expected, (query, key), given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)
    for one, other in zip(own, torch.autograd.grad(found, (query, key), given), strict=True):
        assert torch.equal(one, other)  # of a second backward pass over the same graph


@pytest.mark.parametrize("name", masks())
def test_the_output_beside_a_map_is_that_of_sdpa(name: str) -> None:
    mask = masks()[name]
    query, key, value = states()
    output, mean = attend(query, key, value, mask, SCALING)
    torch.testing.assert_close(mean, mean_map(query, key, mask, SCALING), rtol=1e-12, atol=1e-15)
    expected = scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=SCALING, enable_gqa=True
    )
    torch.testing.assert_close(output, expected.transpose(1, 2))


def test_maps_of_bfloat16_are_in_float32_and_their_gradients_in_bfloat16() -> None:
    query, key, _ = (one.requires_grad_() for one in states(torch.bfloat16))
    found = mean_map(query, key, None, SCALING)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(1, TOKENS))
    expected = plain(query.double(), key.double(), None).mean(dim=1)
    torch.testing.assert_close(found, expected.float(), rtol=0.05, atol=0.01)
    given = torch.autograd.grad(found.square().sum(), (query, key))
    wanted = torch.autograd.grad(expected.square().sum(), (query, key))
    for one, other in zip(given, wanted, strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.02)
