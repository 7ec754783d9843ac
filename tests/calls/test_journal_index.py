"""The journal's index: calls of a large journal are found, and every line is checked when it is read."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import pytest

from imug_tts.calls import Journal, JournalWarning
from imug_tts.calls.journal_index import Places
from imug_tts.contracts import Candidate
from imug_tts.dialogue import Text

CALLS = 3000
"""Of some 400 bytes each, which are worth an index."""


def call_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def candidate(number: int) -> Candidate:
    return Candidate(output=Text(f"answer {number} " + "x" * 300))


def write(folder: Path, numbers: range) -> Path:
    """A segment of these calls."""
    journal = Journal(folder)
    journal.append((call_id(number), candidate(number)) for number in numbers)
    journal.close()
    return max((folder / "calls").iterdir())


def index_of(segment: Path) -> Path:
    return segment.parents[1] / "index" / f"{segment.stem}.index"


def check_all_known(folder: Path, numbers: range) -> None:
    journal = Journal(folder)
    assert all(journal.get(call_id(number)) == candidate(number) for number in numbers)
    assert journal.get(call_id(-1)) is None


def test_the_first_start_makes_an_index_and_the_next_one_uses_it(tmp_path: Path) -> None:
    segments = [write(tmp_path, range(CALLS)), write(tmp_path, range(CALLS, 2 * CALLS))]
    check_all_known(tmp_path, range(2 * CALLS))
    made = [index_of(segment).stat().st_ino for segment in segments]
    check_all_known(tmp_path, range(2 * CALLS))
    assert [index_of(segment).stat().st_ino for segment in segments] == made


def test_a_small_segment_has_no_index(tmp_path: Path) -> None:
    segment = write(tmp_path, range(20))
    check_all_known(tmp_path, range(20))
    assert not index_of(segment).exists()


def test_what_was_appended_after_the_index_was_made_is_known_too(tmp_path: Path) -> None:
    segment = write(tmp_path, range(CALLS))
    Journal(tmp_path)
    more = write(tmp_path, range(CALLS, CALLS + 10))
    with segment.open("ab") as file:
        file.write(more.read_bytes() + b"0123abcd torn")
    more.unlink()
    check_all_known(tmp_path, range(CALLS + 10))


@pytest.mark.parametrize("damage", ["cut", "byte", "empty", "other"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: str) -> None:
    index = index_of(write(tmp_path, range(CALLS)))
    Journal(tmp_path)
    whole = index.read_bytes()
    damaged = {
        "cut": whole[:-7],
        "byte": whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
        "empty": b"",
        "other": b"something else",
    }
    index.write_bytes(damaged[damage])
    check_all_known(tmp_path, range(CALLS))
    assert index.read_bytes() == whole


def test_an_index_of_another_segment_is_made_anew(tmp_path: Path) -> None:
    first, second = write(tmp_path, range(CALLS)), write(tmp_path, range(CALLS, 2 * CALLS))
    Journal(tmp_path)
    right = index_of(second).read_bytes()
    index_of(second).write_bytes(index_of(first).read_bytes())
    check_all_known(tmp_path, range(2 * CALLS))
    assert index_of(second).read_bytes() == right


def test_a_segment_cut_shorter_than_its_index_is_read_anew(tmp_path: Path) -> None:
    segment = write(tmp_path, range(CALLS))
    Journal(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[: CALLS - 100]))
    check_all_known(tmp_path, range(CALLS - 100))
    assert Journal(tmp_path).get(call_id(CALLS - 1)) is None


def test_a_line_damaged_after_the_index_was_made_is_quarantined_when_it_is_asked_for(tmp_path: Path) -> None:
    segment = write(tmp_path, range(CALLS))
    Journal(tmp_path)
    segment.write_bytes(segment.read_bytes().replace(b"answer 7 ", b"answer 8 "))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        journal = Journal(tmp_path)
    with pytest.warns(JournalWarning, match=rf"{segment.name}, line 8: damaged; kept in .*quarantine"):
        assert journal.get(call_id(7)) is None
    assert journal.get(call_id(8)) == candidate(8)
    assert Journal(tmp_path).get(call_id(7)) is None  # without another word
    journal.append([(call_id(7), candidate(7))])
    assert journal.get(call_id(7)) == candidate(7)
    assert Journal(tmp_path).get(call_id(7)) == candidate(7)


def test_of_a_call_made_twice_the_newest_line_counts(tmp_path: Path) -> None:
    write(tmp_path, range(CALLS))
    later = Candidate(output=Text("later"))
    journal = Journal(tmp_path)
    journal.append([(call_id(5), later)])
    assert journal.get(call_id(5)) == later
    assert Journal(tmp_path).get(call_id(5)) == later


def test_long_lines_are_read_whole(tmp_path: Path) -> None:
    long = Candidate(output=Text("long"), thought="x" * 100_000)
    Journal(tmp_path).append([(call_id(1), long), (call_id(2), candidate(2))])
    again = Journal(tmp_path)
    assert again.get(call_id(1)) == long
    assert again.get(call_id(2)) == candidate(2)


def test_many_recent_calls_are_folded_into_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imug_tts.calls.journal_index._FOLD_AT", 50)
    places = Places()
    keys = [hashlib.md5(bytes([n % 120])).digest() for n in range(180)]
    for number, key in enumerate(keys):
        places.add(key, number % 3, number * 10)
    for number, key in enumerate(keys[120:], 120):
        assert next(places.of(key)) == (number % 3, number * 10)
    assert list(places.of(b"0" * 16)) == []
