"""The official data files: what is written is read, from any place and with well-meant differences."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imug_tts.benchmarks.imug import Imug
from imug_tts.benchmarks.imug.reading import find_data, read_data
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Modality, Part, Question, Sample, Text
from imug_tts.jsonl import DataError
from imug_tts.scoring.mcq import DYNAMIC
from tests.benchmarks.imug_files import (
    BENCHMARK,
    DYNAMICS,
    GRID_FILE,
    IMAGES,
    PERSON,
    SAMPLES,
    as_hub_snapshot,
    edit,
    keys_of,
    problems_of,
    rewritten,
    write_small,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def test_what_is_written_is_read(data: Path) -> None:
    found = read_data(data)
    assert found.samples == SAMPLES
    assert keys_of(found.samples) == keys_of(SAMPLES)


def test_the_root_holds_the_data_or_is_the_data(data: Path, tmp_path: Path) -> None:
    assert find_data(data) == find_data(data.parent) == data
    with pytest.raises(ConfigurationError, match=r"no benchmark.jsonl in .*benchmark.root=DIR"):
        find_data(tmp_path / "elsewhere")


def printable(excluded: str) -> st.SearchStrategy[str]:
    """One character that str.isprintable accepts: of the Unicode kinds C and Z, only the space."""
    return st.characters(
        codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ", exclude_characters=excluded
    )


# Names of folders and files: no separator, and not of dots alone.
some = st.text(printable("/\\"), max_size=4)
names = st.builds("{}{}{}".format, some, printable("/\\."), some)
characters = st.characters(codec="utf-8")
tricky = st.just("one\u2028two\u0085three\r\nfour")
texts = st.text(characters, max_size=20) | tricky
letters = st.sampled_from(["A", "B,C", "A-G", "AB", "is B"])


@st.composite
def questions(draw: st.DrawFn, number: int, earlier: list[Modality]) -> Question:
    parts: list[Part] = draw(st.lists(texts.map(Text) | st.just(PERSON), max_size=3))
    parts.insert(draw(st.integers(0, len(parts))), Text("something"))
    key: dict[str, Any]
    drawn = [turn for turn, modality in enumerate(earlier, 1) if modality == "image"]
    if draw(st.booleans()):
        kinds = [{"ref_turn": turn, "ref_type": "output"} for turn in drawn]
        kinds += [{"ref_turn": number, "ref_type": "input"}] if PERSON in parts else []
        references = draw(st.lists(st.sampled_from(kinds), max_size=3)) if kinds else []
        points = draw(st.lists(texts, min_size=1, max_size=3))
        key = {"evaluation_points": points, "references": references}
        return Question(number=number, modality="image", parts=tuple(parts), key=key)
    if draw(st.booleans()) and drawn:
        key = {"answer": draw(letters) + DYNAMIC, "ref_turns": drawn}
    else:
        key = {"answer": draw(letters), "ref_turns": []}
    return Question(number=number, modality="text", parts=tuple(parts), key=key)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    asked: list[Question] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        asked.append(draw(questions(number, [question.modality for question in asked])))
    return Sample(
        sample_id=draw(names),
        sample_class="temporal_causal",
        domain="Botany",
        task=draw(names),
        system_prompt=draw(st.none() | st.text(characters, min_size=1, max_size=20) | tricky),
        questions=tuple(asked),
    )


@settings(max_examples=25)
@given(st.lists(samples(), min_size=1, max_size=3, unique_by=lambda sample: (sample.task, sample.sample_id)))
def test_any_samples_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, written: list[Sample]
) -> None:
    found = read_data(write_data(tmp_path_factory.mktemp("any"), written))
    assert found.samples == tuple(written)
    assert keys_of(found.samples) == keys_of(tuple(written))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\n" + text.replace(b"\n", b"\n \t\n\n"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b'"sample_id": "1"', b'"sample_id": 1'),
        lambda text: text.replace(b'"subdomain"', b'"category"'),
        lambda text: text.replace(b'"turn"', b'"source": {"web": null}, "turn"'),
    ],
    ids=["BOM", "CRLF", "blank lines", "no last newline", "number as id", "category", "other keys"],
)
def test_what_is_well_meant_is_read(data: Path, change: Callable[[bytes], bytes]) -> None:
    assert read_data(rewritten(data, change)).samples == SAMPLES


def test_a_line_separator_within_a_string_ends_no_line(data: Path) -> None:
    rewritten(data, lambda text: text.replace(b"Add a hat.", "Add\u2028a hat.".encode()))
    assert read_data(data).samples[0].questions[1].parts == (Text("Add\u2028a hat."),)


@pytest.mark.parametrize("keys", [["text", "image"], ["image", "text"]])
def test_one_part_may_hold_text_and_image_in_its_own_order(data: Path, keys: list[str]) -> None:
    def join(record: dict[str, Any]) -> None:
        text, image = record["tasks"][0]["input"]
        both = text | image
        record["tasks"][0]["input"] = [{key: both[key] for key in keys}]

    edit(data / BENCHMARK, 1, join)
    assert [part.modality for part in read_data(data).samples[0].questions[0].parts] == keys


def first_image(data: Path) -> Path:
    return sorted((data / "images").iterdir())[0]


def test_an_empty_image_is_named(data: Path) -> None:
    first_image(data).write_bytes(b"")
    (problem,) = problems_of(data)
    assert problem.endswith("the file is empty")


def test_links_may_not_lead_out_of_the_folder(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(PERSON.read())
    image = first_image(data)
    image.unlink()
    image.symlink_to(outside)
    (problem,) = problems_of(data)
    assert re.search(f"line 1, .*it is a link to a place outside of {data}", problem)
    image.unlink()
    inside = data / "kept.png"
    outside.rename(inside)
    image.symlink_to(inside)
    assert read_data(data).samples == SAMPLES


def test_a_folder_of_images_elsewhere_is_outside(data: Path, tmp_path: Path) -> None:
    (data / "images").rename(tmp_path / "elsewhere")
    (data / "images").symlink_to(tmp_path / "elsewhere")
    assert "is a link to a place outside of" in problems_of(data)[0]


def test_files_of_a_hub_snapshot_are_links_to_its_blobs(data: Path, tmp_path: Path) -> None:
    snapshot = as_hub_snapshot(data, tmp_path / "hub")
    assert read_data(find_data(snapshot)).samples == SAMPLES


def test_the_identity_is_that_of_the_lines_and_not_of_the_place(data: Path, tmp_path: Path) -> None:
    identity = Imug(root=data).identity
    elsewhere = shutil.copytree(data, tmp_path / "copy" / "data")
    assert Imug(root=elsewhere.parent, domains=["Apparel"]).identity == identity
    for file in (BENCHMARK, IMAGES, DYNAMICS, GRID_FILE):
        changed = shutil.copytree(data, tmp_path / file.replace("/", "_"))
        (changed / file).write_bytes((changed / file).read_bytes() + b"\n")
        assert Imug(root=changed).identity != identity


def test_the_identity_is_also_that_of_the_images(data: Path) -> None:
    identity = Imug(root=data).identity
    (data / "images" / "unused.png").write_bytes(PERSON.read())
    assert Imug(root=data).identity == identity
    first, second = sorted((data / "images").glob("[A-Z]*"))
    second.write_bytes(Image.from_pixels(np.full((6, 8, 3), 201, np.uint8)).read())
    changed = Imug(root=data, domains=["Apparel"]).identity
    assert changed != identity
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert Imug(root=data).identity not in (identity, changed)


def test_images_that_vanish_before_they_are_hashed_are_named(data: Path) -> None:
    benchmark = Imug(root=data)
    benchmark.samples()
    gone = first_image(data)
    gone.unlink()
    with pytest.raises(DataError, match=rf"images/{re.escape(gone.name)}: it cannot be read"):
        assert benchmark.identity


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (8, 6)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (encoded("WEBP"), "it is WebP; servers and judges take PNG and JPEG"),
        (encoded("GIF"), "it is GIF"),
        (encoded("BMP"), "it is BMP"),
        (encoded("TIFF"), "it is TIFF"),
        (encoded("AVIF"), "it is AVIF"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "it is a Git LFS pointer .*git lfs pull",
        ),
        (b"<!DOCTYPE html><title>404</title>", "it is HTML"),
        (b"\x89PN", "it is neither PNG nor JPEG"),
        (b"words", "it is neither PNG nor JPEG"),
    ],
)
def test_an_image_that_no_judge_takes_is_named_before_anything_is_paid(
    data: Path, content: bytes, complaint: str
) -> None:
    first_image(data).write_bytes(content)
    (problem,) = problems_of(data)
    key = re.escape(f"{BENCHMARK}, line 1, tasks[0].input[1].image: is '{first_image(data).name}'")
    assert re.match(f"{key}; {complaint}", problem)


def test_a_jpeg_may_be_called_png(data: Path) -> None:
    first_image(data).write_bytes(encoded("JPEG"))
    assert read_data(data).samples[0].questions[0].parts[1] == Image.from_bytes(encoded("JPEG"))


def test_images_are_not_read_before_they_are_asked_for(data: Path) -> None:
    part = read_data(data).samples[0].questions[0].parts[1]
    assert isinstance(part, Image)
    first_image(data).unlink()
    with pytest.raises(FileNotFoundError):
        part.read()


def test_a_benchmark_that_is_there_is_not_overwritten(data: Path) -> None:
    with pytest.raises(FileExistsError, match="another folder"):
        write_small(data.parent)
