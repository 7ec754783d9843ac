"""Check a folder of IMUG-Bench data, and count its content.

    python experiments/check_data.py benchmark.root=DIR
    python experiments/check_data.py benchmark.root=DIR decode=true              also decodes input images
    python experiments/check_data.py benchmark.root=DIR 'benchmark.domains=[Botany]'      counts a selection

Exit status: 0 if the data are valid, 2 with a list of the problems.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.command import compose, guarded
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import component, knob

if TYPE_CHECKING:
    from imug_tts.dialogue import Image, Question, Sample


@component
class CheckSettings:
    """The knobs of `check_data.py`."""

    decode: bool = knob("Whether to decode every input image too.", default=False)


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("check_data", __doc__ or "", sys.argv[1:], CheckSettings)
    if config is None:
        return 0
    from imug_tts.benchmarks.imug import Imug

    settings = assemble.build_settings(CheckSettings, config, ("benchmark",))
    benchmark = assemble.build_benchmark(config["benchmark"])
    if not isinstance(benchmark, Imug):
        raise ConfigurationError(
            f"there are no files of {config['benchmark']['name']}; choose benchmark=imug"
        )
    samples = benchmark.samples()
    if settings.decode:
        _decode(samples)
    print("\n".join(_report(samples)))
    print(f"\n{benchmark.data.folder} is valid ({benchmark.identity})")
    return 0


def _report(samples: Sequence[Sample]) -> Iterator[str]:
    tasks = {(sample.domain, sample.task) for sample in samples}
    domains = {sample.domain for sample in samples}
    questions = [question for sample in samples for question in sample.questions]
    yield f"{len(samples)} samples, {len(questions)} turns, {len(domains)} domains, {len(tasks)} tasks"
    yield from _table("class", samples, lambda sample, _: sample.sample_class)
    yield from _table("domain", samples, lambda sample, _: sample.domain)
    yield from _table("turn", samples, lambda _, question: str(question.number))
    yield ""
    dynamic = Counter(question.number for question in questions if _is_dynamic(question))
    by_turn = ", ".join(f"{count} at turn {number}" for number, count in sorted(dynamic.items()))
    yield f"dynamic questions: {dynamic.total()}" + (f" ({by_turn})" if dynamic else "")
    yield f"input images: {len(_images(samples))}"
    references = [len(question.key.get("references", ())) for question in questions]
    yield f"image turns judged beside references: {sum(map(bool, references))} ({sum(references)} references)"
    with_grid = [sum("grid" in question.key for question in sample.questions) for sample in samples]
    yield f"samples with grid truth: {sum(map(bool, with_grid))} ({sum(with_grid)} turns)"


def _table(
    title: str, samples: Iterable[Sample], group_of: Callable[[Sample, Question], str]
) -> Iterator[str]:
    """The lines of a table: samples and turns by modality, for each group."""
    in_group: dict[str, set[str]] = {}
    turns: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        for question in sample.questions:
            group = group_of(sample, question)
            in_group.setdefault(group, set()).add(sample.name)
            turns[group, question.modality] += 1
    width = max(map(len, [title, *in_group]), default=0)
    yield f"\n{title:<{width}}  samples   turns    text   image"
    for group, names in sorted(in_group.items()):
        text, image = turns[group, "text"], turns[group, "image"]
        yield f"{group:<{width}}  {len(names):7}{text + image:8}{text:8}{image:8}"


def _is_dynamic(question: Question) -> bool:
    from imug_tts.scoring.mcq import DYNAMIC

    return DYNAMIC in question.key.get("answer", "")


def _images(samples: Iterable[Sample]) -> dict[str, Image]:
    """The input images by file; a file that several turns use counts once."""
    from imug_tts.dialogue import Image

    parts = (part for sample in samples for question in sample.questions for part in question.parts)
    return {str(part.source): part for part in parts if isinstance(part, Image)}


def _decode(samples: Sequence[Sample]) -> None:
    from imug_tts.jsonl import DataError

    problems = []
    for file, image in _images(samples).items():
        try:
            image.pixels()
        except (OSError, ValueError) as error:
            problems.append(f"{file}: it cannot be decoded ({error})")
    if problems:
        raise DataError("the benchmark", problems)


if __name__ == "__main__":
    sys.exit(main())
