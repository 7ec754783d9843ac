"""How Sphinx builds the site: `make docs`. Pages join by themselves; warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from experiments.reference_pages.components import components_page  # noqa: E402
from experiments.reference_pages.python_api import as_rst, python_api  # noqa: E402 - the repository is no installed package
from imug_tts import __version__  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "imug_tts"
author = "The imug_tts authors"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**/.ipynb_checkpoints"]
suppress_warnings = ["mystnb.unknown_mime_type"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/study runs the notebook
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # the page would fetch them from the network

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"

html_theme = "pydata_sphinx_theme"
html_title = "imug_tts"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "header_links_before_dropdown": 4,
    "navigation_depth": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app: Sphinx) -> None:
    app.connect("source-read", _generate)
    app.connect("autodoc-process-docstring", _in_rst, priority=400)  # before napoleon reads it


def _generate(_: Sphinx, page: str, source: list[str]) -> None:
    """Pages of what is installed here, plugins included; those in the repository are of this package."""
    if page == "reference/components":
        source[0] = components_page()
    elif page == "reference/python":
        source[0] += python_api()


def _in_rst(_: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)
