"""`make docs` builds the whole documentation strictly and without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from experiments.reference_pages.python_api import (
    as_rst,
    knob_fields,
    public_bases,
    public_modules,
    public_names,
)
from imug_tts.contracts import Judge, Strategy
from imug_tts.judges import ClipScoreJudge
from imug_tts.strategies import BestOfN

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SHELVES = ("start", "guides", "concepts", "reference")
OUTSIDE = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=\"(?:https?:)?//|<link\b[^>]*\bhref=\"(?:https?:)?//"
)
NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; no address outside this machine can be reached while it is made."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-n", "-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder / "html")],
        env=os.environ | NOWHERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def sources() -> list[Path]:
    """The pages, each as the name of its file below docs/ without a suffix."""
    found = [path for suffix in ("*.md", "*.ipynb") for path in DOCS.rglob(suffix)]
    return sorted(path.relative_to(DOCS).with_suffix("") for path in found)


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_is_on_a_shelf_and_in_the_site(site: Path) -> None:
    assert [page for page in sources() if not (site / page).with_suffix(".html").exists()] == []
    assert [shelf for shelf in SHELVES if not (site / shelf / "index.html").exists()] == []


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    found = {path.name: OUTSIDE.findall(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert {name: links for name, links in found.items() if links} == {}


@pytest.mark.parametrize("module", [*public_modules()])
def test_every_public_name_is_on_the_page_of_the_python_api(site: Path, module: str) -> None:
    page = text_of(site / "reference" / "python.html")
    missing = [name for name in public_names(module) if not re.search(rf"\b{name}\b", page)]
    assert missing == []


def test_docstrings_keep_their_examples_and_lose_no_sign() -> None:
    docstring = [
        "Say `a*b` *now*.",
        "",
        "    x = n_ * 2",
        "",
        "Of form_ and n | m.",
        "",
        "a    of b",
        "c    d",
    ]
    assert as_rst(docstring) == [
        "Say ``a*b`` *now*.",
        *("", "::", "", "        x = n_ * 2", ""),
        "Of form\\_ and n \\| m.",
        *("", "::", "", "    a    of b", "    c    d"),
    ]


def test_a_class_is_shown_with_bases_of_public_names_and_with_its_knobs() -> None:
    assert Judge not in ClipScoreJudge.__bases__
    assert public_bases(ClipScoreJudge.__bases__) == [Judge]
    assert public_bases(BestOfN.__bases__) == [Strategy]
    assert public_bases([object]) == [object]
    assert ":param n: Number of candidates. Default: ``4``." in [*knob_fields(BestOfN)]
    assert [*knob_fields(object)] == []
