"""What a step of Drive-KD costs, beside what it cannot do without.

The ideal is one forward and one backward pass of the student and one forward pass of each distinct teacher,
without the last layer that nobody imitates, all with sdpa. Drive-KD adds the maps, a backward pass for each
capability, and the projection of gradients.

Student and teacher are InternVL3 with random weights. For the time, they are InternVL3-1B and 8B with six
images of 256 tokens, made smaller: the student has 4 of 14 heads, the teacher 8 of 28, each as wide as the
real ones, there are 488 tokens of 1,640, and half the layers, 12 and 14. So a token has as many attention
weights for each weight of a layer as in the real models, the teacher's layer has 15 times the weights of the
student's, and both have a vision encoder of 3.4 times the products of the student's layers, as InternViT-300M
has; it is not trained. One thing differs: the work that does not grow with the tokens (inner products of
gradients, Python) counts 3.4 times as much as in the real models.

For the memory, the numbers of heads are the real ones, 14 and 28, and a token has half as many attention
weights for each number that a layer keeps of it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypedDict

import torch
from torch import Tensor

from imug_tts.testing.checkpoints.internvl3 import write_tiny_internvl3
from imug_tts.training.distiller import Distiller
from imug_tts.training.encoding import Sample
from imug_tts.training.losses import label_loss
from imug_tts.training.method import CAPABILITIES, LABELS, Method
from imug_tts.training.models import Reader, load_student, load_teacher

__all__ = ["drive_kd_step_over_ideal", "map_memory_over_full"]

_CPU = torch.device("cpu")
_IMAGES = 6
_ANSWER = 32
_REPEATS = 5
_SUMMED: Final = Method(projection="none", reweight=False)
"""The losses of Drive-KD with one backward pass for all of them."""


def drive_kd_step_over_ideal() -> float:
    """Return the CPU seconds of Drive-KD's gradient of a record divided by those of the ideal, on one thread.

    Everything is measured in turn, and the least of five each counts. Prints to standard error what the maps
    take, which is the gradient of the summed losses less the ideal, and what the separate backward passes
    take with the projection, which is the rest.
    """
    torch.set_num_threads(1)
    setting = _setting(_FOR_TIME)
    works = (setting.ideal, partial(_gradient, setting, _SUMMED), partial(_gradient, setting, Method()))
    rounds = [[_seconds(work) for work in works] for _ in range(_REPEATS)]
    ideal, summed, whole = (min(one[place] for one in rounds) for place in range(len(works)))
    parts = (
        f"maps {(summed - ideal) / ideal:.3f}, backward passes and projection {(whole - summed) / ideal:.3f}"
    )
    print(f"  over the ideal of {ideal:.2f} s: {parts}", file=sys.stderr)
    return whole / ideal


def map_memory_over_full() -> float:
    """Return the peak tensor memory of one forward and backward pass, divided by the peak if the attention
    maps of all heads are kept.

    Both make one backward pass of the sum of the four losses, so they differ only in the maps.
    """
    setting = _setting(_FOR_MEMORY)
    return _peak(partial(_gradient, setting, _SUMMED)) / _peak(setting.with_all_maps)


@dataclass(frozen=True)
class _Setting:
    distiller: Distiller
    teacher: Reader
    sample: Sample

    def ideal(self) -> None:
        """Make one forward and backward pass of the student, and one forward pass of the teacher."""
        with torch.no_grad():
            self.teacher.see(self.sample, {})
        loss = label_loss(self.distiller.student.see(self.sample, {}), self.sample.answers)
        torch.autograd.grad(loss, list(self.distiller.trained().values()), allow_unused=True)

    def with_all_maps(self) -> None:
        """Compute the losses from the eager attention of transformers, with one backward pass."""
        student, teacher = self.distiller.student.model, self.teacher.model
        with _eager(student), _eager(teacher):
            with torch.no_grad():
                theirs = self._maps(teacher)[0]
            own, logits = self._maps(student)
            loss = torch.nn.functional.cross_entropy(logits, self.sample.answers)
            block = (~self.sample.is_image)[:, None] & self.sample.is_image
            losses = [loss, _distance(own[0][block], theirs[0][block])]
            losses += [_distance(own[-2][block], theirs[-1][block])]
            width = len(theirs) - len(own) + 2  # the teacher is without its last layer
            for layer, one in enumerate(own[:-1]):
                losses.append(_distance(one, torch.stack(theirs[layer : layer + width]).mean(dim=0)))
            whole = torch.stack(losses).sum()
            torch.autograd.grad(whole, list(self.distiller.trained().values()), allow_unused=True)

    def _maps(self, model: Any) -> tuple[list[Tensor], Tensor]:
        out = model(
            **self.sample.inputs, use_cache=False, output_attentions=True, logits_to_keep=self.sample.places
        )
        return [one.mean(dim=1)[0] for one in out.attentions], out.logits[0]


class _Sizes(TypedDict):
    """Of a language model: its layers, their width, heads and inner width."""

    layers: int
    width: int
    heads: int
    inner: int


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """Sizes of student and teacher; six images of grid ** 2 tokens each, and a text with its answer."""

    grid: int
    text: int
    vision: tuple[int, int]
    student: _Sizes
    teacher: _Sizes


_FOR_TIME: Final = _Shape(
    grid=8,
    text=104,
    vision=(12, 304),
    student={"layers": 12, "width": 256, "heads": 4, "inner": 1392},
    teacher={"layers": 14, "width": 1024, "heads": 8, "inner": 5408},
)
_FOR_MEMORY: Final = _Shape(
    grid=11,
    text=192,
    vision=(2, 16),
    student={"layers": 4, "width": 448, "heads": 14, "inner": 2432},
    teacher={"layers": 5, "width": 896, "heads": 28, "inner": 4736},
)


def _setting(shape: _Shape) -> _Setting:
    method = Method()
    with tempfile.TemporaryDirectory() as folder:
        student, teacher = Path(folder, "student"), Path(folder, "teacher")
        write = partial(write_tiny_internvl3, grid=shape.grid, vision=shape.vision, initializer_range=0.02)
        write(student, 0, **shape.student)
        write(teacher, 1, **shape.teacher)
        reader = load_student(student, method, dtype=torch.float32, device=_CPU, train_vision=False)
        imitated = load_teacher(teacher, method.signals, needs_logits=False, dtype=torch.float32, device=_CPU)
    sample = _sample(reader.model.config, shape)
    return _Setting(Distiller(method, reader, dict.fromkeys(CAPABILITIES, imitated)), imitated, sample)


def _gradient(setting: _Setting, method: Method) -> None:
    """The gradient of the record by a method with the signals of Drive-KD."""
    weights = dict.fromkeys((LABELS, *CAPABILITIES), 1.0)
    distiller = replace(setting.distiller, method=method)
    distiller.gradient(setting.sample, "reasoning", weights, random.Random(0))


def _sample(config: Any, shape: _Shape) -> Sample:
    """Return a sample of six images followed by random text tokens; the last tokens are the answer."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(10, 250, (shape.text,), generator=generator)
    ids = torch.cat([torch.full((_IMAGES * shape.grid**2,), config.image_token_id), text])
    pixels = torch.randn(_IMAGES, 3, 8 * shape.grid, 8 * shape.grid, generator=generator)
    places = torch.arange(len(ids) - _ANSWER, len(ids))
    inputs = {"input_ids": ids[None], "pixel_values": pixels}
    return Sample(inputs, ids == config.image_token_id, places - 1, ids[places])


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().mean()


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
    try:
        yield
    finally:
        from imug_tts.training.maps import MAPS

        model.set_attn_implementation({"text_config": MAPS, "vision_config": "sdpa"})


def _seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of `work`, in seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _peak(work: Callable[[], object]) -> float:
    """Return the peak memory, in bytes, of tensors that `work` allocates."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    held = most = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most
