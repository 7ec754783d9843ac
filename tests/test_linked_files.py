"""Files are hard-linked where links are possible, and copied elsewhere."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import pytest

from imug_tts.contracts import StorageError
from imug_tts.files import link_or_write


def test_a_file_is_linked_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(b"held")
    link_or_write(tmp_path / "held", tmp_path / "linked", lambda: b"read")
    assert (tmp_path / "linked").samefile(tmp_path / "held")


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "blob").write_bytes(b"held")
    (tmp_path / "snapshot" / "held").symlink_to("../blob")
    link_or_write(tmp_path / "snapshot" / "held", tmp_path / "linked", lambda: b"read")
    assert not (tmp_path / "linked").is_symlink()
    assert (tmp_path / "linked").read_bytes() == b"held"


def test_without_a_link_the_content_is_written(tmp_path: Path) -> None:
    link_or_write(tmp_path / "gone", tmp_path / "written", lambda: b"read")
    assert (tmp_path / "written").read_bytes() == b"read"


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"old")
    link_or_write(tmp_path / "held", tmp_path / "there", lambda: b"new")
    assert (tmp_path / "there").read_bytes() == b"old"


def test_a_full_or_closed_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write to"):
        link_or_write(tmp_path / "gone", tmp_path / "file" / "written", lambda: b"read")


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_that_links_are_impossible_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(held: Path, path: Path) -> None:
        raise OSError(number, f"{os.strerror(number)}, as this test has it")

    monkeypatch.setattr(os, "link", refuse)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for name in "abc":
            link_or_write(tmp_path / "held", tmp_path / name, lambda: b"read")
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"read"] * 3
    assert len(said) == 1
    assert "hard links are impossible here" in str(said[0].message)
    assert os.strerror(number) in str(said[0].message)
