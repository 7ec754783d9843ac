"""A model that cannot fit is refused when the server starts, before its weights are loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from experiments import serve
from imug_tts.calls.devices import DEVICES
from imug_tts.testing.checkpoints.janus import write_tiny_janus


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_janus(tmp_path / "janus")
    monkeypatch.setattr(DEVICES, "capacity", lambda device: 1000)
    monkeypatch.setattr(
        sys, "argv", ["serve.py", "backbone=janus", f"backbone.folder={tmp_path / 'janus'}", "port=0"]
    )
    assert serve.main() == 2
    said = capsys.readouterr()
    assert "the weights of JanusBackbone take about" in said.err
    assert "cpu has 1.0 kB free" in said.err
    assert "/infer" not in said.out
