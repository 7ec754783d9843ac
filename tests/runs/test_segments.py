"""Records in several segments are read, and merged, as one file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.records import line_of, merge_turns, read_turns, segment_files, with_digest
from imug_tts.runs import Share
from imug_tts.strategies import Direct
from imug_tts.testing.runs import records, run
from imug_tts.testing.toys import ToyBackbone


def cut_up(folder: Path, *segments: list[int]) -> list[bytes]:
    """Move the dialogues of a finished run (4 turns each) into segments; returns the lines as they were."""
    lines = (folder / "turns.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "turns.jsonl").unlink()
    (folder / "turns").mkdir()
    for number, dialogues in enumerate(segments):
        text = b"".join(line for d in dialogues for line in lines[4 * d : 4 * d + 4])
        (folder / "turns" / f"host-9-{number}.jsonl").write_bytes(text)
    return lines


def bytes_of(folder: Path) -> list[bytes]:
    return [line_of(line.record) for line in read_turns(folder)]


def test_segments_are_read_in_planned_order_and_merged_byte_for_byte(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    lines = cut_up(tmp_path, [4, 0], [5, 3, 1], [2])
    assert bytes_of(tmp_path) == lines
    merge_turns(tmp_path, segment_files(tmp_path))
    assert (tmp_path / "turns.jsonl").read_bytes() == b"".join(lines)
    assert not list((tmp_path / "turns").iterdir())


def test_of_a_dialogue_played_again_the_newest_whole_records_count(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    lines = cut_up(tmp_path, [0, 1, 2, 3, 4, 5])
    (tmp_path / "turns" / "a-1-7.jsonl").write_bytes(b"".join(lines[4:8]))
    (tmp_path / "turns" / "a-1-8.jsonl").write_bytes(b"".join(lines[8:11]) + lines[11][:50])
    torn: list[str] = []
    places = [line.place for line in read_turns(tmp_path, on_torn=torn.append)]
    assert [place.rpartition("/")[2] for place in places[4:12]] == [
        *(f"a-1-7.jsonl, line {number}" for number in range(1, 5)),
        *(f"host-9-0.jsonl, line {number}" for number in range(9, 13)),
    ]
    assert torn == [f"{tmp_path}/turns/a-1-8.jsonl, line 4"]


def test_a_run_goes_on_from_segments_and_ends_in_one_file(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    before = records(tmp_path)
    cut_up(tmp_path, [1, 5], [2])
    backbone = ToyBackbone()
    summary = run(tmp_path, Direct(), backbone)
    assert (summary.scored, summary.spent.calls) == (24, 0)
    assert not backbone.asked
    assert records(tmp_path) == before
    assert not (tmp_path / "turns").exists()


def test_a_run_that_goes_on_under_other_versions_names_both(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_bytes())
    now = manifest.pop("versions")
    del manifest["digest"]
    for torch in ("1.0", now["torch"]):
        path.write_text(json.dumps(with_digest({**manifest, "versions": {**now, "torch": torch}})))
        cut_up(tmp_path, [1, 5], [2])
        run(tmp_path, Direct())
        manifest = json.loads(path.read_bytes())
        assert (manifest.pop("versions"), len(manifest.pop("digest"))) == (now, 64)
        assert [versions["torch"] for versions in manifest["earlier_versions"]] == ["1.0"]


def test_segments_that_hold_everything_are_merged_by_the_next_start(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    before = (tmp_path / "turns.jsonl").read_bytes()
    cut_up(tmp_path, [1, 5, 0], [2, 4, 3])
    (tmp_path / "summary.json").unlink()
    assert run(tmp_path, Direct()).scored == 24
    assert (tmp_path / "turns.jsonl").read_bytes() == before
    assert (tmp_path / "summary.json").exists()


def test_dialogues_of_a_living_worker_are_left_to_it(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    cut_up(tmp_path, [0, 1, 2, 3])
    process = {"host": "elsewhere", "pid": 1, "namespace": 0, "started": "1", "since": 0}
    about = json.dumps({**process, "name": "elsewhere-1-9"})
    (tmp_path / "turns" / "elsewhere-1-9.worker").write_text(about)
    (tmp_path / "turns" / "00004.0.claim").write_text(about)
    summary = run(tmp_path, Direct())
    assert (summary.scored, summary.elsewhere, summary.missing) == (20, 4, 0)
    assert len(list(read_turns(tmp_path))) == 20
    os.utime(tmp_path / "turns" / "elsewhere-1-9.worker", (0, 0))
    assert run(tmp_path, Direct()).scored == 24
    assert not (tmp_path / "turns").exists()


@pytest.mark.parametrize("dialogues", [1, 6, 256, 257, 3113])
@pytest.mark.parametrize("share", [Share(), Share(shard=2, shards=3)])
def test_blocks_hold_every_dialogue_once_and_begin_with_the_own(dialogues: int, share: Share) -> None:
    blocks = list(share.blocks(dialogues))
    assert sorted(index for _, block in blocks for index in block) == list(range(dialogues))
    assert len(blocks) <= 256
    assert all(share.block_of(index, dialogues) == name for name, block in blocks for index in block)
    own = [int(name) % 3 == 2 for name, _ in blocks]
    assert share.shard is None or own == sorted(own, reverse=True)


@pytest.mark.parametrize(
    ("shard", "shards", "said"),
    [(None, 0, "shards is 0"), (2, 2, "shard is 2.*must be 0 to 1"), (-1, 2, "shard is -1")],
)
def test_a_share_that_cannot_be_is_refused(shard: int | None, shards: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Share(shard=shard, shards=shards)


def test_the_segment_of_a_worker_that_came_while_records_are_merged_is_left_to_it(tmp_path: Path) -> None:
    run(tmp_path, Direct())
    cut_up(tmp_path, [0, 1, 2, 3])
    about = {"host": "elsewhere", "pid": 1, "namespace": 0, "started": "1", "since": 0}
    (tmp_path / "turns" / "host-9-0.worker").write_text(json.dumps(about))
    assert run(tmp_path, Direct()).scored == 24
    assert segment_files(tmp_path)[0].stem == "host-9-0"
    assert len(list(read_turns(tmp_path))) == 24
