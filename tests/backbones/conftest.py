"""Small checkpoints in the layouts of released models, written once per test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.tiny_checkpoint import writer_of


@pytest.fixture(scope="session")
def tiny_bagel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written("bagel", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_janus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written("janus", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_emu3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written("emu3", tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_composite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written("composite", tmp_path_factory)


def _written(name: str, folders: pytest.TempPathFactory) -> Path:
    folder = folders.mktemp(name)
    writer_of(name)(folder, 0)
    return folder
