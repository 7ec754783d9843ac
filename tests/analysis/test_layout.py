"""Tables as LaTeX really compile, and hostile names stay names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.ablation import ablation
from analysis.layout import Table, to_latex, to_markdown, to_text
from analysis.long_csv import load_csv
from analysis.tables import caption, tables
from tests.analysis.tables_of_turns import Effect, make_rows, write_csv

DATA = Path(__file__).parent / "data"
HOSTILE = Table(
    name="T9_hostile",
    title="Names & signs: 100 % of #1 \\ ~ ^ {x}",
    header=("strategy", "score", "gain", "mixed"),
    rows=(
        ("best_of_4[a=1,b=x|y]+<cot>", "82.1", "+3.0 [1.2, 4.8]***", "84.7 / 86.2"),
        ("$\\input{secret}$", "-", "-", "-"),
        ("plain", "7.25", "-0.5 [-1.0, 0.0]", "n/a"),
    ),
    notes=("A note_with *stars*.",),
)


def test_numbers_stand_in_columns_of_siunitx_with_their_intervals_beside() -> None:
    latex = to_latex(HOSTILE, "A caption.")
    assert r"S[table-format=2.2]S[table-format=+1.1]@{\,}l" in latex
    assert r"82.1 & +3.0 & {[}1.2, 4.8{]}***" in latex
    assert r"\textbackslash{}input" in latex


def test_markdown_rows_have_as_many_cells_as_the_header() -> None:
    rows = [line for line in to_markdown(HOSTILE).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_text_is_at_most_120_columns_wide() -> None:
    wide = Table(name="T", title="wide", header=("a", *"bcdefgh"), rows=(("x" * 30, *(7 * ["y" * 25])),))
    assert max(map(len, to_text(wide).splitlines())) <= 120


@pytest.mark.skipif(
    shutil.which("pdflatex") is None and not os.environ.get("CI"),
    reason="pdflatex is not installed: apt install texlive-latex-recommended texlive-science",
)
def test_every_table_compiles(tmp_path: Path) -> None:
    effects = {"direct": Effect(), "cot": Effect(decay=0.03), "bon2": Effect(), "bon4": Effect(level=0.8)}
    rows = make_rows(effects, num_samples=40)
    for row in rows[::3]:
        row["human_score"] = row["score"]
    found = [HOSTILE]
    for path in (DATA / "tiny.csv", write_csv(tmp_path / "runs.csv", rows)):
        result = ablation(load_csv(path), resamples=200)
        found += tables(result)
    body = "\n\\clearpage\n".join(to_latex(table, caption(result)) for table in found)
    head = r"\documentclass{article}\usepackage{booktabs,siunitx,graphicx}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:].decode(errors="replace")
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
