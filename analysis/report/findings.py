"""The findings of an analysis as HTML: sentences, tables and figures that stand in its folder."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.webpage import data_uri
from analysis.wording import TIERS

__all__ = ["figure", "legend", "sentences", "table"]

_TERMS = (
    "Own history: the model's own earlier answers. In brackets: 95 % intervals. MDE: the smallest effect that "
    "a study of this size finds in four cases of five."
)
_GOLD = "Gold history: the benchmark's reference answers in their place. "


def legend(numbers: Mapping[str, Any]) -> str:
    """What the words of the sentences mean: each tier among them, and the terms."""
    tiers = sorted(set(numbers.get("tiers", {}).values()))
    if not tiers:
        return ""
    meanings = "".join(f"Tier {tier}: {TIERS[tier]}. " for tier in tiers)
    return html.escape(f"{meanings}{_GOLD if 'A' in tiers else ''}{_TERMS}")


def sentences(numbers: Mapping[str, Any]) -> str:
    """The sentence of each strategy, as the wording gate chose it."""
    items = (
        f"<li><strong>{html.escape(name)}</strong> {html.escape(text)}</li>"
        for name, text in numbers.get("sentences", {}).items()
    )
    return "".join(items) or "<li>The analysis states no sentences.</li>"


def table(text: str, *, is_open: bool) -> str:
    """A table in Markdown below its heading; HTML inside it is shown, not obeyed."""
    from markdown_it import MarkdownIt

    heading, _, rest = text.lstrip().partition("\n")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(rest)
    for token in tokens:
        # the page's policy allows no style on elements
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "right"
    body = markdown.renderer.render(tokens, markdown.options, {})
    title = markdown.renderInline(heading.lstrip("# "))
    return (
        f'<details class="table"{" open" if is_open else ""}><summary><h3>{title}</h3></summary>'
        f'<div class="wide" tabindex="0">{body}</div></details>'
    )


def figure(path: Path) -> str:
    """A PNG, inside the page."""
    caption = html.escape(path.stem.replace("_", " ").capitalize())
    return f'<figure><img src="{data_uri(path)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
