"""The synthetic benchmark: of any size in the official form, of the official size in the official numbers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from imug_tts.benchmarks.imug.reading import read_data
from imug_tts.benchmarks.imug.synthetic import FULL_SIZE, synthetic_samples
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Sample
from imug_tts.scoring.mcq import DYNAMIC
from tests.benchmarks.imug_files import keys_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def full() -> tuple[Sample, ...]:
    return tuple(synthetic_samples(FULL_SIZE, image_size=8))


def test_at_full_size_it_has_the_numbers_of_the_release(full: tuple[Sample, ...]) -> None:
    questions = [question for sample in full for question in sample.questions]
    assert (len(full), len(questions)) == (3113, 12034)
    assert len({sample.domain for sample in full}) == 19
    assert len({(sample.domain, sample.task) for sample in full}) == 97
    assert {len(sample.questions) for sample in full} == {2, 3, 4, 5, 6}
    dynamic = Counter(q.number for q in questions if DYNAMIC in q.key.get("answer", ""))
    assert dynamic == {2: 111, 3: 55, 4: 264, 5: 184, 6: 105}
    grids = Counter(s.task for s in full if any("grid" in q.key for q in s.questions))
    assert grids == {"cubes_coloring": 10, "cubes_completion": 7, "cubes_synthesis": 7}
    assert len({sample.name for sample in full}) == 3113


@pytest.mark.parametrize("size", [1, 20, 97])
def test_any_size_is_read_as_it_was_written(tmp_path: Path, size: int) -> None:
    samples = tuple(synthetic_samples(size, seed=3, image_size=8))
    data = read_data(write_data(tmp_path, samples))
    assert data.samples == samples
    assert keys_of(data.samples) == keys_of(samples)


def test_more_samples_than_the_release_go_round_again(full: tuple[Sample, ...]) -> None:
    names = [sample.name for sample in synthetic_samples(FULL_SIZE + 40, image_size=8)]
    assert len(set(names)) == FULL_SIZE + 40
    assert names[:FULL_SIZE] == [sample.name for sample in full]


def test_few_samples_are_spread_over_the_tasks() -> None:
    assert len({(sample.domain, sample.task) for sample in synthetic_samples(97, image_size=8)}) >= 90


def test_a_sample_depends_on_its_name_and_the_seed_alone(full: tuple[Sample, ...]) -> None:
    few = {sample.name: sample for sample in synthetic_samples(60, image_size=8)}
    many = {sample.name: sample for sample in full}
    other = {sample.name: sample for sample in synthetic_samples(60, seed=2, image_size=8)}
    assert few == {name: many[name] for name in few} != other
    assert few.keys() == other.keys()


def test_images_are_as_wide_as_asked() -> None:
    parts = [part for s in synthetic_samples(40, image_size=48) for q in s.questions for part in q.parts]
    images = [part for part in parts if isinstance(part, Image)]
    assert images
    assert all(
        image.read().startswith(b"\xff\xd8") and image.pixels().shape == (36, 48, 3) for image in images
    )


@pytest.mark.parametrize(("size", "image_size"), [(0, 64), (3, 7), (3, 10_000)])
def test_numbers_out_of_range_are_refused(size: int, image_size: int) -> None:
    with pytest.raises(ConfigurationError, match=str(size if size < 1 else image_size)):
        synthetic_samples(size, image_size=image_size)


def write(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "experiments/write_imug.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_command(tmp_path: Path) -> None:
    done = write("--out", str(tmp_path), "--samples", "5", "--image-size", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"5 samples in {tmp_path / 'data'}\n"
    again = write("--out", str(tmp_path), "--samples", "5")
    assert again.returncode == 2
    assert "another folder" in again.stderr


def test_the_full_size_is_read_fast(tmp_path: Path, full: tuple[Sample, ...]) -> None:
    """A bound with room for a slow machine that does other work; the figure itself is about 1 s."""
    data = write_data(tmp_path, full)
    start = time.process_time()
    assert len(read_data(data).samples) == FULL_SIZE
    assert time.process_time() - start < 6
