"""Swapped history: turns are answered on another run's outputs, or the run is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Text
from imug_tts.runs import Transcript
from imug_tts.strategies import ChainOfThought, Direct
from imug_tts.testing.runs import ToyBenchmark, records, run
from imug_tts.testing.toys import ToyBackbone


def source(folder: Path, seed: int = 3) -> Transcript:
    """What a run of another strategy and seed answered."""
    run(folder, ChainOfThought(inner=Direct()), seed=seed)
    return Transcript.of_run(folder)


def test_later_turns_see_the_other_runs_outputs(tmp_path: Path) -> None:
    transcript, backbone = source(tmp_path / "source"), ToyBackbone()
    run(tmp_path / "swap", Direct(), backbone, history="swap", transcript=transcript)
    shown = {
        message.parts
        for request in backbone.asked
        for message in request.history
        if message.role == "assistant"
    }
    seen = {(part,) for (_, number), part in transcript.answers.items() if number < 4}
    assert shown == seen
    assert {record["history"] for record in records(tmp_path / "swap")} == {"swap"}
    assert {record["history_from"] for record in records(tmp_path / "swap")} == {transcript.identity}


def test_on_its_own_outputs_a_run_repeats_itself(tmp_path: Path) -> None:
    run(tmp_path / "own", Direct())
    transcript = Transcript.of_run(tmp_path / "own")
    run(tmp_path / "swap", Direct(), history="swap", transcript=transcript)
    own, swap = records(tmp_path / "own"), records(tmp_path / "swap")
    differing = {key for a, b in zip(own, swap, strict=True) for key in a if a[key] != b[key]}
    assert differing == {"history", "history_from"}


def test_a_transcript_has_every_answer(tmp_path: Path) -> None:
    transcript = source(tmp_path)
    assert len(transcript.answers) == 24
    name = ToyBenchmark().samples()[0].name
    image, text = transcript.answers[name, 1], transcript.answers[name, 2]
    assert isinstance(image, Image)
    assert Image.from_bytes(image.read()) == image
    assert isinstance(text, Text)


def test_a_source_that_lacks_a_turn_is_refused(tmp_path: Path) -> None:
    transcript = source(tmp_path / "source")
    name = ToyBenchmark().samples()[2].name
    answers = {key: part for key, part in transcript.answers.items() if key != (name, 3)}
    with pytest.raises(ConfigurationError, match=rf"lacks 1 of 18 .* turn 3 of {name}"):
        run(tmp_path / "swap", Direct(), history="swap", transcript=replace(transcript, answers=answers))


def test_a_last_turn_is_seen_by_nobody(tmp_path: Path) -> None:
    transcript = source(tmp_path / "source")
    answers = {key: part for key, part in transcript.answers.items() if key[1] < 4}
    summary = run(
        tmp_path / "swap", Direct(), history="swap", transcript=replace(transcript, answers=answers)
    )
    assert summary.missing == 0


def test_another_benchmark_is_refused(tmp_path: Path) -> None:
    transcript = source(tmp_path / "source")
    with pytest.raises(ConfigurationError, match="toy:2"):
        run(
            tmp_path / "swap",
            Direct(),
            benchmark=ToyBenchmark(identity="toy:2"),
            history="swap",
            transcript=transcript,
        )


def test_swap_without_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="history_from"):
        run(tmp_path, Direct(), history="swap")


def test_a_run_does_not_go_on_when_its_source_has_changed(tmp_path: Path) -> None:
    run(tmp_path / "swap", Direct(), history="swap", transcript=source(tmp_path / "a", seed=3))
    other = replace(source(tmp_path / "b", seed=4), run="a")
    with pytest.raises(ConfigurationError, match="history_from"):
        run(tmp_path / "swap", Direct(), history="swap", transcript=other)


@pytest.mark.parametrize("damage", ["no folder", "no manifest", "bad line"])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "source"
    if damage != "no folder":
        source(folder)
    if damage == "no manifest":
        (folder / "manifest.json").write_text(json.dumps({"run": "x"}))
    if damage == "bad line":
        lines = (folder / "turns.jsonl").read_text().split("\n")
        (folder / "turns.jsonl").write_text("\n".join([lines[0], "{", *lines[2:]]))
    with pytest.raises(ConfigurationError, match="line 2" if damage == "bad line" else str(folder)):
        Transcript.of_run(folder)
