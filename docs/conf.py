"""How Sphinx builds the site: `make docs`. Pages join by themselves; warnings are errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from experiments.reference_pages.components import component_pages  # noqa: E402
from experiments.reference_pages.python_api import as_rst, knob_fields, public_bases, python_api  # noqa: E402 - the repository is no installed package
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
autodoc_type_aliases = {"Analysis": "analysis.shown.Analysis"}  # imported for type checkers alone

# `-n` makes every name without a target an error, except these.
nitpick_ignore_regex = [
    # Names of other packages: their pages are on the network, which the build does not use.
    ("py:class", r"(abc|collections|contextlib|dataclasses|pathlib|pydantic_core)\..*|(np|npt|pd)\..*|ABC"),
    ("py:(class|obj)", r"(analysis|imug_tts)\..*\.[A-Z]"),  # type variables
    (
        "py:class",
        r"ModelRole|Node|Path|Record",
    ),  # what they stand for is not looked up where a hint names an extra's class
    # Inside the package `analysis`, of which analysis.shown alone is public.
    ("py:(class|exc)", r"analysis\.ablation\.Ablation|analysis\.layout\.Table|StudyError"),
]

html_theme = "pydata_sphinx_theme"
html_title = "imug_tts"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
# Pages on no shelf have no shelf's navigation.
html_sidebars = {page.stem: [] for page in Path(__file__).parent.glob("*.md")}
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
    app.connect("autodoc-process-bases", _with_public_bases)
    app.connect("autodoc-skip-member", _without_constructor_of_knobs)


def _generate(__: Sphinx, page: str, source: list[str]) -> None:
    """Pages of what is installed here, plugins included; those in the repository are of this package."""
    folder, _, name = page.rpartition("/")
    if page == "reference/python":
        source[0] += python_api()
    elif folder == "reference":
        source[0] = component_pages().get(f"{name}.md", source[0])


def _in_rst(_: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)
    if what in {"attribute", "data", "property"}:
        lines.insert(0, "\\")  # without it napoleon takes the words before a colon for a type
    if isinstance(value, type):
        lines += ["", *knob_fields(value)]


def _with_public_bases(_: Sphinx, name: str, value: object, options: object, bases: list[type]) -> None:
    bases[:] = public_bases(bases)


def _without_constructor_of_knobs(
    _: Sphinx, what: str, name: str, value: Callable[..., object], skip: bool, options: object
) -> bool | None:
    """Leave out a constructor of pydantic, which takes anything: the class lists its knobs."""
    return True if name == "__init__" and "__dataclass_self__" in signature(value).parameters else None
