"""Small checkpoints are written from the command line, and never over anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.tiny_checkpoint import main, names
from imug_tts.backbones.janus import JanusBackbone


def test_a_checkpoint_is_written_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    identities = []
    for folder, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert main(["janus", "--out", str(tmp_path / folder), "--seed", seed]) == 0
        identities.append(JanusBackbone(folder=tmp_path / folder).identity)
    assert identities[0] == identities[1] != identities[2]
    printed = capsys.readouterr().out
    assert "model.safetensors" in printed
    assert f"{tmp_path / 'three'}: 2.0 MB in 7 files" in printed


def test_a_folder_that_is_not_empty_and_an_unknown_model_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["janus", "--out", str(tmp_path)])
    assert "is not an empty folder; give a new one, or remove it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["janis", "--out", str(tmp_path / "new")])
    assert "there is no small checkpoint of 'janis'; did you mean janus?" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert {"janus", "emu3"} <= set(names())
