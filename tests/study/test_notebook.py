"""The notebooks of docs/ run as they stand, in a kernel, and show what they speak of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of the notebook, with what each has put out."""
    notebook: Any = nbformat.read(NOTEBOOKS / "study.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    home = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, resources={"metadata": {"path": str(home)}}, timeout=600).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str) -> str:
    """What a cell displays of a kind of data, e.g. "text/html"."""
    return "".join(out["data"][kind] for out in cell.outputs if kind in out.get("data", {}))


def test_the_strategy_of_the_notebook_is_in_its_table(executed: list[Any]) -> None:
    main = shown(executed[-3], "text/html")
    assert ">better_of_two<" in main
    assert ">direct<" in main
    assert "gain over direct" in main


def test_every_turn_is_scored_and_the_figure_is_a_picture(executed: list[Any]) -> None:
    standing = shown(executed[-5], "text/html")
    assert standing.count("<tr>") == 1 + 4
    assert shown(executed[-1], "image/png")


def test_it_is_kept_without_outputs() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not [cell for cell in cells if cell.outputs or cell.execution_count]
