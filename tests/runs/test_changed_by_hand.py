"""Files of a run that somebody changed between invocations: named with file and line, and never used."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.records import StudyError, load_study
from experiments.standing import standing_of
from imug_tts.calls import Budget
from imug_tts.contracts import ConfigurationError
from imug_tts.records import RecordError, read_turns
from imug_tts.strategies import Direct
from imug_tts.testing.runs import records, run
from imug_tts.testing.toys import ToyBackbone


def played(study: Path, name: str = "run", **knobs: int) -> Path:
    run(study / name, Direct(), journal=study / "journal", budget=Budget(**knobs) if knobs else None)
    return study / name


def a_better_score(folder: Path) -> None:
    path = folder / "turns.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = re.sub(r'"score":0\.\d+', '"score":1.0', lines[2])
    path.write_text("".join(lines))


def formatted_anew(folder: Path) -> None:
    """A score is changed with a program that writes JSON in its own way."""
    path = folder / "turns.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = json.dumps(json.loads(lines[2]) | {"score": 1.0}) + "\n"
    path.write_text("".join(lines))


def turns_of_another_arm(folder: Path) -> None:
    """The label, the history and the seed of the arm are the same; its budget is another."""
    other = played(folder.parent, "other", images=1)
    shutil.copy(other / "turns.jsonl", folder / "turns.jsonl")
    shutil.rmtree(other)


CHANGES: dict[Callable[[Path], None], str] = {
    a_better_score: "turns.jsonl, line 3: damaged (changed after it was written",
    formatted_anew: "turns.jsonl, line 3: damaged (changed after it was written",
    turns_of_another_arm: "a record of another run: arm is 'direct#",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_records_are_named_by_all_and_replayed_by_the_next_invocation(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = played(tmp_path)
    before = records(folder)
    change(folder)
    with pytest.raises(StudyError, match=re.escape(CHANGES[change])) as refused:
        load_study(tmp_path)
    assert re.search(r"turns\.jsonl, line [13]: ", str(refused.value))
    standing = standing_of(folder)
    assert CHANGES[change] in standing.damaged[0]
    assert standing.done < standing.planned
    model = ToyBackbone()
    with pytest.warns(UserWarning, match=re.escape(CHANGES[change])):
        run(folder, Direct(), model, journal=tmp_path / "journal")
    assert not model.asked
    assert records(folder) == before
    assert load_study(tmp_path).records
    assert not standing_of(folder).damaged


@pytest.mark.parametrize(
    ("key", "value"),
    [("oracle", True), ("backbone", "toy:better"), ("planned", []), ("judges", [{"layer": "none"}])],
)
def test_a_changed_manifest_is_refused_by_all(tmp_path: Path, key: str, value: object) -> None:
    folder = played(tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    said = r"manifest\.json.* damaged \(changed after it was written: its digest does not fit\)"
    with pytest.raises(StudyError, match=said):
        load_study(tmp_path)
    with pytest.raises(RecordError, match=said):
        standing_of(folder)
    with pytest.raises(ConfigurationError, match=said):
        run(folder, Direct(), journal=tmp_path / "journal")


def test_a_manifest_may_be_formatted_anew(tmp_path: Path) -> None:
    folder = played(tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1, sort_keys=True))
    assert load_study(tmp_path).records


def test_a_summary_of_another_run_changes_no_number(tmp_path: Path) -> None:
    folder = played(tmp_path)
    before = load_study(tmp_path).records
    summary = folder / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"scored": 1, "scores": {"image": 1.0}}))
    again = run(folder, Direct(), journal=tmp_path / "journal")
    assert (again.scored, again.scores["image"] < 1) == (24, True)
    assert load_study(tmp_path).records == before
    assert standing_of(folder).done == 24


def test_a_journal_that_was_cut_in_the_middle_costs_only_the_calls_that_are_gone(tmp_path: Path) -> None:
    folder = played(tmp_path)
    before = records(folder)
    [segment] = (tmp_path / "journal" / "calls").glob("*.journal")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:5], lines[5][:40] + b"\n", *lines[6:]]))
    (folder / "turns.jsonl").unlink()
    model = ToyBackbone()
    with pytest.warns(UserWarning, match=r"\.journal, line 6: damaged; .*its call is made again"):
        run(folder, Direct(), model, journal=tmp_path / "journal")
    assert len(model.asked) == 1
    assert records(folder) == before


def test_a_segment_that_was_deleted_is_counted_as_missing_and_replayed(tmp_path: Path) -> None:
    folder = played(tmp_path)
    before = records(folder)
    lines = (folder / "turns.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "turns").mkdir(exist_ok=True)
    (folder / "turns.jsonl").unlink()
    for name, part in {"a-1": lines[:12], "b-2": lines[12:]}.items():
        (folder / "turns" / f"{name}.jsonl").write_bytes(b"".join(part))
    (folder / "turns" / "b-2.jsonl").unlink()
    assert standing_of(folder).done == 12
    assert len(load_study(tmp_path).planned) - len(load_study(tmp_path).records) == 12
    run(folder, Direct(), journal=tmp_path / "journal")
    assert records(folder) == before


def test_lines_and_manifests_of_earlier_versions_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    folder = played(tmp_path)
    before = [line.record for line in read_turns(folder)]
    turns, manifest = folder / "turns.jsonl", folder / "manifest.json"
    turns.write_text(re.sub(r',"crc":"\w+"', "", turns.read_text()))
    stored = json.loads(manifest.read_text())
    del stored["digest"]
    manifest.write_text(json.dumps(stored))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [line.record for line in read_turns(folder)] == before
        assert run(folder, Direct(), journal=tmp_path / "journal").scored == 24
