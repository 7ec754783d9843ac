"""The parts of the pocket model: stock weights, decoder, prefix cache, vocabulary, image tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.backbones.pocket.decoder import Rows
from imug_tts.backbones.pocket.folder import DamagedFolder, load_generator
from imug_tts.backbones.pocket.generator import Options, PocketGenerator, Sampled
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.backbones.pocket.prefix_cache import PrefixCache, Span
from imug_tts.backbones.pocket.vocabulary import BOS, DRAW, UnknownWord, Vocabulary
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.plans import plan_words


@pytest.fixture(scope="module")
def generator() -> PocketGenerator:
    return load_generator(WEIGHTS, torch.float64, cache_bytes=1 << 28)


@pytest.fixture(scope="module")
def tokenizer() -> ImageTokenizer:
    return ImageTokenizer.load(WEIGHTS / "image_tokenizer.safetensors")


@pytest.fixture(scope="module")
def llama() -> Any:
    from transformers import LlamaForCausalLM

    loaded: Any = LlamaForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float64)
    return loaded.eval()


def prompt_of(dialogue: Dialogue, vocabulary: Vocabulary, tokenizer: ImageTokenizer) -> list[list[int]]:
    """A dialogue up to its last request, in pieces."""
    pieces = [[BOS]]
    turns = [turn for turn in dialogue.turns if isinstance(turn, ImageTurn)]
    for turn in turns[:-1]:
        pieces[-1] += layout.request(vocabulary, turn.request)
        pieces.append(layout.image(vocabulary, tokenizer.encode(world.render(turn.gold))))
    pieces[-1] += layout.request(vocabulary, turns[-1].request)
    return pieces


@pytest.fixture(scope="module")
def prompts(generator: PocketGenerator, tokenizer: ImageTokenizer) -> list[list[list[int]]]:
    dialogues = [make_dialogue("validation", 5, index) for index in range(12)]
    return [prompt_of(dialogue, generator.vocabulary, tokenizer) for dialogue in dialogues]


def flat(prompt: Sequence[Sequence[int]]) -> list[int]:
    return [token for piece in prompt for token in piece]


def test_stock_generate_draws_the_same_pictures(
    llama: Any, generator: PocketGenerator, prompts: list[list[list[int]]]
) -> None:
    """Plain `transformers` with the grammar as a token filter and no sampling."""
    vocabulary = generator.vocabulary
    drawn = generator.draw([Sampled(prompt) for prompt in prompts])
    for prompt, pictures in zip(prompts, drawn, strict=True):
        ids = torch.tensor([[*flat(prompt), DRAW]])
        start = ids.shape[1]

        def allowed(_: int, so_far: torch.Tensor, start: int = start) -> list[int]:
            first = vocabulary.first_id(len(so_far) - start)
            return list(range(first, first + vocabulary.num_codes))

        said = llama.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=vocabulary.num_cells,
            do_sample=False,
            prefix_allowed_tokens_fn=allowed,
        )
        assert said[0, start:].tolist() == vocabulary.image_ids(pictures[0])


def test_hidden_states_are_those_of_the_stock_model(
    llama: Any, generator: PocketGenerator, prompts: list[list[list[int]]]
) -> None:
    spans = generator.decoder.prefill(prompts)
    opening = torch.full((2 * len(prompts), 1), DRAW)
    states = Rows(generator.decoder, spans, forks=2, max_tokens=1).advance(opening)[:, 0]
    for number, prompt in enumerate(prompts):
        with torch.inference_mode():
            stock = llama.model(torch.tensor([[*flat(prompt), DRAW]])).last_hidden_state[0, -1]
        assert torch.allclose(
            states[2 * number], stock, atol=1e-5
        )  # transformers rounds rotations to float32
        assert torch.equal(states[2 * number], states[2 * number + 1])


def test_prefixes_are_computed_once(prompts: list[list[list[int]]]) -> None:
    generator = load_generator(WEIGHTS, torch.float64, cache_bytes=1 << 28)
    generator.decoder.prefill(prompts)
    before = generator.decoder.counters.prefilled_tokens
    assert before == sum(len(flat(prompt)) for prompt in prompts)
    generator.decoder.prefill(prompts)
    assert generator.decoder.counters.prefilled_tokens == before
    assert generator.decoder.counters.cached_tokens >= before
    assert generator.decoder.counters.forward_seconds > 0


def test_a_tiny_cache_gives_the_same_pictures(
    generator: PocketGenerator, prompts: list[list[list[int]]]
) -> None:
    jobs = [Sampled(prompt, seeds=(1, 2), temperature=1.0) for prompt in prompts]
    assert load_generator(WEIGHTS, torch.float64, cache_bytes=1).draw(jobs) == generator.draw(jobs)


def test_the_cache_drops_what_was_not_used_for_longest() -> None:
    values = torch.zeros(1, 2, 1, 1, 1, dtype=torch.float64)
    cache = PrefixCache(limit_bytes=2 * values.nbytes)
    for token in (1, 2):
        cache.put([token], Span(None, values, 1))
    assert cache.get([1]) is not None
    cache.put([3], Span(None, values, 1))
    assert [cache.get([token]) is None for token in (1, 2, 3)] == [False, True, False]


def test_greedy_decoding_is_the_same_in_any_company(
    generator: PocketGenerator, prompts: list[list[list[int]]]
) -> None:
    together = generator.plan([Sampled(prompt) for prompt in prompts])
    assert together == [generator.plan([Sampled(prompt)])[0] for prompt in prompts]


def test_answers_are_among_the_options(generator: PocketGenerator, prompts: list[list[list[int]]]) -> None:
    vocabulary = generator.vocabulary
    asked = layout.question(vocabulary, "what is at b2 ? A ash B ice")[:-1]
    offered = tuple((vocabulary.id_of[v], vocabulary.id_of[k]) for k, v in (("A", "ash"), ("B", "ice")))
    jobs = [Options([*prompt, asked], offered, seed, 1.0) for prompt in prompts for seed in range(3)]
    assert {(answer.value, answer.letter) for answer in generator.answer(jobs)} <= {
        (value, letter) for value, _ in offered for _, letter in offered
    }


def test_pictures_survive_the_tokenizer(tokenizer: ImageTokenizer) -> None:
    states = np.random.default_rng(0).integers(0, len(world.STATES), (200, world.NUM_CELLS))
    for scene in states.tolist():
        codes = tokenizer.encode(world.render(tuple(scene)))
        assert world.parse(tokenizer.decode(codes)) == tuple(scene)
    large = world.render(tuple(range(16))).repeat(3, 0).repeat(3, 1)
    assert tokenizer.encode(large) == tokenizer.encode(world.render(tuple(range(16))))
    with pytest.raises(ValueError, match="height x width x 3"):
        tokenizer.encode(np.zeros((4, 4), np.uint8))


def test_the_vocabulary_covers_the_world_and_nothing_else(generator: PocketGenerator, tmp_path: Path) -> None:
    vocabulary = generator.vocabulary
    for index in range(60):
        for turn in make_dialogue("validation", 6, index).turns:
            assert vocabulary.encode(turn.request)
            if isinstance(turn, ImageTurn):
                plan = vocabulary.encode(plan_words(turn.operations, turn.gold_before))
                assert vocabulary.encode(vocabulary.decode(plan)) == plan
    assert len(vocabulary.encode("move the red star to b2")) == 3
    with pytest.raises(UnknownWord, match="'violin'"):
        vocabulary.encode("draw a violin")
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_a_folder_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(DamagedFolder, match="cannot be read"):
        load_generator(tmp_path, torch.float64, cache_bytes=1)
