"""Files that are linked where links are possible."""

from __future__ import annotations

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
