"""Speed of models in this process against transformers' own code, on checkpoints with random weights.

python experiments/speed.py janus_best_of_8 janus_second_turn emu3_best_of_8 emu3_second_turn
python experiments/speed.py bagel_best_of_8 bagel_second_turn
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from imug_tts.contracts import Request
from imug_tts.dialogue import Image, Message, Text

if TYPE_CHECKING:
    from imug_tts.backbones.bagel import BagelBackbone
    from imug_tts.backbones.native.autoregressive import Autoregressive

__all__ = [
    "bagel_best_of_8",
    "bagel_second_turn",
    "dialogue",
    "emu3_best_of_8",
    "emu3_second_turn",
    "janus_best_of_8",
    "janus_second_turn",
    "second_turn_share",
    "speedup",
]

CANDIDATES = 8
SIZE = {"width": 256, "layers": 4}
"""Size of the language models: 3 M parameters, so that most of the time is spent in matrix products."""
SENTENCE = "Draw a small red boat on a lake in the evening, and keep everything else as it was before. "


def dialogue(turns: int, pixels: int, text: str = SENTENCE * 2) -> tuple[Message, ...]:
    """A history of image turns that ends with the user message of the last turn."""
    generator = torch.Generator().manual_seed(0)
    shape = (pixels, pixels, 3)
    history = []
    for number in range(turns):
        history.append(Message("user", (Text(f"{text}Turn {number}."),)))
        drawn = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8).numpy()
        history.append(Message("assistant", (Image.from_pixels(drawn),)))
    return tuple(history[:-1])


def speedup(
    backbone: Autoregressive | BagelBackbone, plain: Callable[[], object], history: Sequence[Message]
) -> float:
    """Time of 8 separate calls of the plain code divided by one request for 8 candidates with an empty
    cache.
    """
    torch.set_num_threads(1)  # more threads than idle cores take many times as long
    _warm_up(backbone, history[:1])
    request = Request(history=tuple(history), modality="image", seeds=tuple(range(CANDIDATES)))
    ours = _seconds(lambda: backbone.generate([request]))
    return sum(_seconds(plain) for _ in range(CANDIDATES)) / ours


def second_turn_share(backbone: Autoregressive | BagelBackbone, history: Sequence[Message]) -> float:
    """Share of the second turn's prompt tokens that came from the cache.

    A turn draws 4 candidates in one request and asks the model itself about each. The candidates of one
    request have one prefill, which counts once.
    """
    torch.set_num_threads(1)
    first = _turn(backbone, history[:1])
    before = backbone.prefill_counts
    _turn(backbone, (*history[:1], Message("assistant", (first,)), history[2]))
    after = backbone.prefill_counts
    reused, computed = after.reused - before.reused, after.computed - before.computed
    return reused / (reused + computed)


def _turn(backbone: Autoregressive | BagelBackbone, history: Sequence[Message]) -> Image:
    """Draw 4 candidates, check each; returns the first."""
    drawing = Request(history=tuple(history), modality="image", seeds=(1, 2, 3, 4))
    drawn = [candidate.output for candidate in backbone.generate([drawing])[0]]
    question = Message("user", (Text("Does the image show what was asked? Answer yes or no."),))
    for image in drawn:
        assert isinstance(image, Image)
        asked = (*history, Message("assistant", (image,)), question)
        backbone.generate([Request(history=asked, modality="text", seeds=(1,), form="yes_no")])
    assert isinstance(drawn[0], Image)
    return drawn[0]


def _warm_up(backbone: Autoregressive | BagelBackbone, history: Sequence[Message]) -> None:
    backbone.generate([Request(history=tuple(history), modality="image", seeds=(0,))])


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@cache
def _folder(name: str) -> Path:
    """The folder of the model's checkpoint; it exists until the process ends."""
    from experiments.tiny_checkpoint import writer_of

    held = tempfile.TemporaryDirectory()
    _HELD.append(held)
    sizes: dict[str, dict[str, int]] = {"janus": {"grid": 8}, "emu3": {"side": 64}}
    writer: Any = writer_of(name)
    writer(Path(held.name), 0, **SIZE, **sizes[name])
    return Path(held.name)


_HELD: list[tempfile.TemporaryDirectory[str]] = []


def _janus() -> Autoregressive:
    from imug_tts.backbones.janus import JanusBackbone

    return JanusBackbone(folder=_folder("janus"))


def _emu3() -> Autoregressive:
    from imug_tts.backbones.emu3 import Emu3Backbone

    return Emu3Backbone(folder=_folder("emu3"), context_images=None)


def janus_second_turn() -> float:
    return second_turn_share(_janus(), dialogue(2, 32))


def emu3_second_turn() -> float:
    return second_turn_share(_emu3(), dialogue(2, 64))


def janus_best_of_8() -> float:
    """Speedup over `generate(generation_mode="image")` on prompts of the same length; it ignores the
    images.
    """
    from transformers import JanusForConditionalGeneration, JanusProcessor

    history = dialogue(6, 32)
    model: Any = JanusForConditionalGeneration.from_pretrained(_folder("janus"))
    processor: Any = JanusProcessor.from_pretrained(_folder("janus"))
    config = model.generation_config
    config.do_sample, config.guidance_scale = True, 5.0
    config.generation_kwargs = {"boi_token_id": processor.tokenizer.boi_token_id}

    def plain() -> None:
        inputs = _inputs(processor, history, generation_mode="image")
        tokens = model.generate(**inputs, generation_mode="image", generation_config=config)
        model.decode_image_tokens(tokens)

    return speedup(_janus(), plain, history)


def emu3_best_of_8() -> float:
    """Speedup over `generate` with the images of the history, a negative prompt and a grammar of rows."""
    from transformers import Emu3ForConditionalGeneration, Emu3Processor

    side, history = 8, dialogue(6, 64)
    model: Any = Emu3ForConditionalGeneration.from_pretrained(_folder("emu3"))
    untyped: Any = Emu3Processor
    processor: Any = untyped.from_pretrained(_folder("emu3"))
    mapping = model.vocabulary_mapping

    def plain() -> None:
        inputs = _inputs(processor, history, head=f"<|image start|>{side}*{side}<|image token|>")
        without = processor(
            text=[""], return_for_image_generation=True, image_area=(8 * side) ** 2, return_tensors="pt"
        )
        start = inputs["input_ids"].shape[1]

        def allowed(_batch: int, ids: torch.Tensor) -> list[int]:
            is_end = (len(ids) - start) % (side + 1) == side
            return [mapping.eol_token_id] if is_end else mapping.image_tokens

        tokens = model.generate(
            **inputs,
            max_new_tokens=side * (side + 1) + 3,
            do_sample=True,
            top_k=2048,
            guidance_scale=3.0,
            negative_prompt_ids=without["input_ids"],
            negative_prompt_attention_mask=without["attention_mask"],
            prefix_allowed_tokens_fn=allowed,
        )
        model.decode_image_tokens(image_tokens=tokens[:, start:], height=side, width=side)

    return speedup(_emu3(), plain, history)


def bagel_second_turn() -> float:
    with _one_thread(), tempfile.TemporaryDirectory() as folder:
        return second_turn_share(_bagel(Path(folder), prefix_cache_gib=8.0), dialogue(2, 32))


def bagel_best_of_8() -> float:
    """Return the speedup of Best-of-8 in one call over 8 calls that each read all turns, as BAGEL's code
    does.

    The small model also gains from larger matrices. At full size a GPU needs about as long for each image of
    a batch as for a single one, so only the time of reading the turns is saved: see `docs/guides/bagel.md`.
    """
    history = dialogue(6, 32, "Move the house to the left. ")
    with _one_thread(), tempfile.TemporaryDirectory() as folder:
        bagel = _bagel(Path(folder), prefix_cache_gib=0.0)
        return speedup(bagel, lambda: _warm_up(bagel, history), history)


def _bagel(folder: Path, prefix_cache_gib: float) -> BagelBackbone:
    from imug_tts.backbones.bagel import BagelBackbone
    from imug_tts.testing.checkpoints.bagel import write_tiny_bagel

    write_tiny_bagel(folder)
    return BagelBackbone(folder=folder, prefix_cache_gib=prefix_cache_gib)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A context with one torch thread: small matrices are slower on several threads if other processes use
    the CPUs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _inputs(processor: Any, history: Sequence[Message], head: str = "", **words: Any) -> Any:
    """The processor's model inputs for a history."""
    from imug_tts.backbones.native.history import chat_of
    from imug_tts.backbones.native.images import to_pillow

    chat = chat_of(history)
    text = processor.apply_chat_template(chat.messages, add_generation_prompt=True) + head
    pictures = [to_pillow(image) for image in chat.images]
    return processor(text=text, images=pictures, return_tensors="pt", **words)
