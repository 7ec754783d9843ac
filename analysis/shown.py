"""An analysis as an object: its tables and figures display themselves in a notebook."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Generic, TypeVar

from analysis.ablation import Ablation, Cluster, ablation
from analysis.figures import draw_figures
from analysis.layout import Table, to_html, to_latex, to_markdown, to_text
from analysis.long_csv import load_csv
from analysis.names import short_name
from analysis.records import load_study
from analysis.tables import caption, tables
from analysis.terminal import to_terminal

__all__ = ["Analysis", "Findings", "Named", "ShownFigure", "ShownTable"]

T = TypeVar("T")
_FORMATS: Final = ("png", "pdf")


class Named(Mapping[str, T], Generic[T]):
    """Tables, figures or findings, by name. The KeyError of an unknown name lists the known names."""

    def __init__(self, kind: str, items: Mapping[str, T]) -> None:
        self._kind = kind
        self._items = items

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            close = difflib.get_close_matches(str(name), self._items, n=1, cutoff=0.6)
            advice = f"did you mean {close[0]!r}? There" if close else "there"
            raise KeyError(f"there is no {self._kind} {name!r}; {advice} are: {', '.join(self._items)}")
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"{self._kind}s: {', '.join(self._items)}"


class Findings(Named[str]):
    """What is shown of each strategy; prints itself in full."""

    def __init__(self, items: Mapping[str, str]) -> None:
        super().__init__("finding", items)

    def __repr__(self) -> str:
        return "\n".join(f"{strategy}: {sentence}" for strategy, sentence in self.items())


@dataclass(frozen=True)
class ShownTable:
    """A table of an analysis. Displays itself in a notebook, and prints as text of at most 120 columns."""

    table: Table
    caption: str

    @property
    def header(self) -> tuple[str, ...]:
        return self.table.header

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The cells as the table shows them: the first names the row."""
        return self.table.rows

    def to_markdown(self) -> str:
        return to_markdown(self.table, self.caption)

    def to_latex(self) -> str:
        """A floating table to \\input; its document loads booktabs, siunitx and graphicx."""
        return to_latex(self.table, self.caption)

    def _repr_html_(self) -> str:
        return to_html(self.table, self.caption)

    def __repr__(self) -> str:
        return to_text(self.table)


@dataclass(frozen=True, repr=False)
class ShownFigure:
    """A figure of an analysis. Displays itself in a notebook."""

    name: str
    images: Mapping[str, bytes]
    """The figure as a file of each format, "png" and "pdf"."""

    def save(self, path: str | Path) -> None:
        """Write the figure; the ending of the path, .png or .pdf, chooses the format.

        Raises:
            ValueError: another ending.
        """
        ending = Path(path).suffix.removeprefix(".")
        if ending not in self.images:
            raise ValueError(f"{path}: a figure is saved as .png or .pdf, not as {ending!r}")
        Path(path).write_bytes(self.images[ending])

    def _repr_png_(self) -> bytes:
        return self.images["png"]

    def __repr__(self) -> str:
        return f"figure {self.name}, which a notebook shows; save(path) writes it as .png or .pdf"


class Analysis:
    """The numbers of a study, its tables, figures and findings. A notebook shows the main table.

    >>> analysis = Analysis.of("runs/study")                     # doctest: +SKIP
    >>> analysis.tables["T2_by_turn"]                            # doctest: +SKIP
    >>> analysis.figures["scores_over_turns"].save("turns.pdf")  # doctest: +SKIP
    """

    def __init__(self, result: Ablation) -> None:
        self.result = result
        """Every number, with its interval."""

    @classmethod
    def of(
        cls,
        study: str | Path,
        *,
        runs: Iterable[Path] | None = None,
        notes: Sequence[str] = (),
        baseline: str | None = None,
        resamples: int = 10_000,
        seed: int = 0,
        cluster: Cluster = "sample",
        ladder: Sequence[str] = (),
    ) -> Analysis:
        """Analyse the stored runs of a study, or a long CSV, as `python -m analysis` does.

        Args:
            study: the folder of the study, whoever made it, or the CSV.
            runs: folders of runs; by default every run of the folder.
            notes: sentences to stand above the tables, before those of the analysis.
            baseline: the arm that gains are measured against; by default "direct".
            resamples: of the bootstrap; `seed` is its seed.
            cluster: the unit that is independent, "sample" or "task".
            ladder: stems of strategies that differ in the number of candidates alone.

        Raises:
            StudyError: the runs cannot be analysed as they are; says where, why, and what to do.
        """
        path = Path(study)
        loaded = load_csv(path) if path.is_file() else load_study(path, runs)
        loaded = replace(loaded, warnings=(*notes, *loaded.warnings))
        return cls(
            ablation(
                loaded, baseline=baseline, resamples=resamples, seed=seed, cluster=cluster, ladder=ladder
            )
        )

    @cached_property
    def tables(self) -> Named[ShownTable]:
        """The tables by name, in reading order; the first is the main table."""
        words = caption(self.result)
        return Named("table", {table.name: ShownTable(table, words) for table in tables(self.result)})

    @cached_property
    def figures(self) -> Named[ShownFigure]:
        """The figures by name. They are drawn when the first is asked for."""
        with TemporaryDirectory() as folder:
            paths = draw_figures(self.result, Path(folder))
            read = {path.name: path.read_bytes() for path in paths}
        names = dict.fromkeys(path.stem for path in paths)
        found = {name: {ending: read[f"{name}.{ending}"] for ending in _FORMATS} for name in names}
        return Named("figure", {name: ShownFigure(name, images) for name, images in found.items()})

    @property
    def findings(self) -> Findings:
        """What is shown of each strategy, in a sentence, by its label in the tables."""
        return Findings({arm.strategy: arm.finding.sentence for arm in self.result.arms})

    @property
    def warnings(self) -> Sequence[str]:
        """What a reader must know before the numbers."""
        return self.result.warnings

    def _repr_html_(self) -> str:
        result = self.result
        head = f"Ablation: {short_name(result.backbone)} on {short_name(result.benchmark)}"
        notes = "".join(f"<p>Note: {escape(note)}</p>" for note in self.warnings)
        found = "".join(f"<li>{escape(arm)}: {escape(said)}</li>" for arm, said in self.findings.items())
        main = next(iter(self.tables.values()))._repr_html_() if self.tables else ""
        more = f"More in <code>.tables</code>: {', '.join(self.tables)}; and in <code>.figures</code>."
        return f"<h3>{escape(head)}</h3>{notes}{main}<ul>{found}</ul><p><small>{more}</small></p>"

    def __str__(self) -> str:
        """The report that `python -m analysis` prints."""
        return to_terminal(self.result)

    def __repr__(self) -> str:
        arms = ", ".join(self.findings)
        return f"Analysis of {arms}: print it, or look at .tables ({', '.join(self.tables)}) and .figures"
