"""The findings of an analysis as HTML: sentences, tables and figures that stand in its folder."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.webpage import data_uri

__all__ = ["figures", "sentences", "tables"]


def sentences(numbers: Mapping[str, Any]) -> str:
    """The sentence of each strategy, as the wording gate chose it."""
    items = (
        f"<li><strong>{html.escape(name)}</strong> {html.escape(text)}</li>"
        for name, text in numbers.get("sentences", {}).items()
    )
    return "".join(items) or "<li>The analysis states no sentences.</li>"


def tables(folder: Path) -> str:
    """Every Markdown file of `folder`; HTML inside them is shown, not obeyed."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md")))
    return "".join(f'<section class="table" tabindex="0">{_rendered(text)}</section>' for text in texts)


def _rendered(text: str) -> str:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        # the page's policy allows no style on elements
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "right"
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def figures(folder: Path) -> str:
    """Every PNG of `folder`, inside the page."""
    return "".join(_figure(path) for path in sorted(folder.glob("*.png")))


def _figure(path: Path) -> str:
    caption = html.escape(path.stem.replace("_", " ").capitalize())
    return f'<figure><img src="{data_uri(path)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
