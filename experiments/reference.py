"""Print or write the reference: components, knobs, commands, files and outcomes, as the code declares them.

    python experiments/reference.py                        all components, those of installed plugins included
    python experiments/reference.py imug_tts               the components of one package alone
    python experiments/reference.py --into docs/reference  write all pages, of our own components

Exit status: 0, or 2 when there is no such package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from experiments.command import guarded
from experiments.reference_pages.commands import commands_page
from experiments.reference_pages.components import COMPONENT_PAGES, OWN, component_pages
from experiments.reference_pages.files import files_page
from experiments.reference_pages.outcomes import outcomes_page

__all__ = ["PAGES", "parser"]


def _own_components(page: str) -> str:
    return component_pages([OWN])[page]


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    **{name: partial(_own_components, name) for name in COMPONENT_PAGES},
    "commands.md": commands_page,
    "files.md": files_page,
    "outcomes.md": outcomes_page,
}
"""The pages of docs/reference that are written, by the name of their file."""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("packages", nargs="*", help="packages whose components are printed; all by default")
    options.add_argument("--into", type=Path, metavar="DIR", help="write all pages of the reference there")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the components, or write the pages."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    if options.into is None:
        print("\n\n".join(component_pages(options.packages).values()))
        return 0
    for name, page in PAGES.items():
        (options.into / name).write_text(page() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
