"""The journal: completed calls are found again, also after damage at the end of its files."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.contracts import Candidate, Cost, StorageError
from imug_tts.dialogue import Image, Text
from imug_tts.runs import Journal, JournalWarning

COST = Cost(calls=1, prompt_tokens=7, new_tokens=3, seconds=0.25)
candidates = st.builds(
    Candidate,
    output=st.none() | st.builds(Text, st.text()),
    finish=st.sampled_from(["stop", "length", "refused"]),
    thought=st.none() | st.text(),
    p_yes=st.none() | st.floats(0, 1),
    cost=st.builds(Cost, calls=st.just(1), seconds=st.floats(0, 1e6)),
)


def picture(value: int) -> Image:
    return Image.from_pixels(np.full((4, 4, 3), value, dtype=np.uint8))


def only_segment(folder: Path) -> Path:
    (segment,) = (folder / "calls").iterdir()
    return segment


@given(calls=st.dictionaries(st.text("abcdef0123456789", min_size=4, max_size=8), candidates, min_size=1))
def test_what_is_appended_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, calls: dict[str, Candidate]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    writer = Journal(folder)
    writer.append(calls.items())
    writer.close()
    reader = Journal(folder)
    assert {call_id: reader.get(call_id) for call_id in calls} == calls


def test_images_are_files_named_by_their_content(tmp_path: Path) -> None:
    image = picture(9)
    Journal(tmp_path).append([("a", Candidate(output=image, cost=COST))])
    stored = Journal(tmp_path).get("a")
    assert stored is not None
    assert isinstance(stored.output, Image)
    assert stored.output.read() == image.read()
    assert (tmp_path / "images" / image.sha256[:2] / f"{image.sha256}.png").read_bytes() == image.read()


def test_a_call_whose_image_is_gone_counts_as_never_made(tmp_path: Path) -> None:
    image = picture(9)
    journal = Journal(tmp_path)
    journal.append([("a", Candidate(output=image))])
    journal.image_path(image.sha256).unlink()
    assert Journal(tmp_path).get("a") is None


def test_a_torn_last_line_is_ignored_without_a_word(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([("a", Candidate(output=Text("one"))), ("b", Candidate(output=Text("two")))])
    segment = only_segment(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-5])
    again = Journal(tmp_path)
    assert again.get("a") == Candidate(output=Text("one"))
    assert again.get("b") is None


def test_a_damaged_line_is_quarantined_named_once_and_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([(name, Candidate(output=Text(name * 9))) for name in "abc"])
    segment = only_segment(tmp_path)
    segment.write_bytes(segment.read_bytes().replace(b"bbbbbbbbb", b"bbbbXbbbb"))
    with pytest.warns(JournalWarning, match=rf"{segment.name}, line 2: damaged"):
        damaged = Journal(tmp_path)
    assert damaged.get("b") is None
    assert damaged.get("a") is not None
    assert damaged.get("c") is not None
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert b"bbbbXbbbb" in kept.read_bytes()
    Journal(tmp_path)  # a second look at the same damage says nothing (warnings are errors here)


def test_two_journals_share_one_folder(tmp_path: Path) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append([("a", Candidate(output=Text("one")))])
    second.append([("b", Candidate(output=Text("two")))])
    assert first.get("b") is None
    first.refresh()
    second.refresh()
    assert first.get("b") is not None
    assert second.get("a") is not None


def test_a_journal_without_a_folder_lives_in_memory() -> None:
    journal = Journal()
    image = picture(1)
    journal.append([("a", Candidate(output=image))])
    assert journal.get("a") == Candidate(output=image)


def test_large_images_are_left_to_the_files(tmp_path: Path) -> None:
    journal, large, small = Journal(tmp_path), Image.from_bytes(b"x" * 100_000), Image.from_bytes(b"x")
    journal.append([("a", Candidate(output=large)), ("b", Candidate(output=small))])
    light = journal.with_large_images_on_disk(Candidate(output=large)).output
    assert isinstance(light, Image)
    assert (light, light.read()) == (large, b"x" * 100_000)
    assert light.source == journal.image_path(large.sha256)
    for kept in (Candidate(output=small), Candidate(output=Text("x")), Candidate(output=None)):
        assert journal.with_large_images_on_disk(kept) is kept


def test_a_full_disk_is_said_and_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    program = f"""
import resource, signal
from pathlib import Path
from imug_tts.contracts import Candidate
from imug_tts.dialogue import Text
from imug_tts.contracts import StorageError
from imug_tts.runs import Journal
journal = Journal(Path({str(tmp_path)!r}))
journal.append([("a", Candidate(output=Text("kept")))])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
try:
    journal.append([("b", Candidate(output=Text("x" * 1000)))])
except StorageError as error:
    print(error)
assert journal.get("b") is None
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "is full" in done.stdout
    again = Journal(tmp_path)
    assert again.get("a") == Candidate(output=Text("kept"))
    assert again.get("b") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot write to .*file.*output=DIR"):
        Journal(tmp_path / "file" / "journal")


def test_what_another_process_appends_is_seen_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)
    monkeypatch.setattr("imug_tts.calls.journal._LOOK_AGAIN_S", 0.05)
    first.append([("a", Candidate(output=Text("one")))])
    time.sleep(0.06)
    assert second.get("a") == Candidate(output=Text("one"))
    first.append([("b", Candidate(output=Text("two")))])
    time.sleep(0.06)
    assert second.get("b") == Candidate(output=Text("two"))
    assert first.get("b") == Candidate(output=Text("two"))
