"""The findings of an analysis as HTML: sentences, tables and figures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.webpage import data_uri
from analysis.wording import TIERS

__all__ = ["figure", "legend", "sentences", "table"]

_TERMS = {
    "own history": ("Own history", "the model's own earlier answers"),
    "gold": ("Gold history", "the benchmark's reference answers in their place"),
    "decay": ("Decay", "the fall of scores over the turns of a dialogue"),
    "gap": ("Exposure gap", "the score on gold history minus that on own history"),
    "step score": (
        "Step score",
        "whether the turn's request was carried out on the previous image, even if that image has errors",
    ),
    "own pictures": ("Skill lost on own pictures", "the gap of the step score"),
    "damage counted": ("Damage counted again", "an earlier error that lowers the score of every later turn"),
    "logit": ("Logit scale", "a scale on which a loss counts the same near full marks as far from them"),
    "dynamic": (
        "Static and dynamic questions",
        "questions about what was asked for, and about what the model itself drew",
    ),
    "MDE": ("MDE", "the smallest effect that a study of this size detects with 80 % power"),
    "[": (
        "In brackets",
        "95 % intervals, not adjusted for multiple tests; the sentences are adjusted for the number of "
        "strategies",
    ),
}
"""Definitions of terms: a piece of text -> (term, meaning). A definition is shown if a finding contains the
text.
"""
_ON_IMUG = (
    "On IMUG-Bench",
    "the judge compares an image with the earlier images that the turn refers to (on own history, the "
    "model's "
    "own images), so the gap is closer to lost skill than on benchmarks that count earlier damage again",
)


def legend(numbers: Mapping[str, Any]) -> str:
    """The definitions of the tiers and of the terms in the findings, as HTML; empty without findings."""
    tiers = sorted(set(numbers.get("tiers", {}).values()))
    if not tiers:
        return ""
    meanings = [(f"Tier {tier}", TIERS[tier]) for tier in tiers]
    spoken = " ".join([*(meaning for _, meaning in meanings), *numbers["sentences"].values()])
    meanings += [meaning for word, meaning in _TERMS.items() if word in spoken]
    if "A" in tiers and str(numbers.get("benchmark")).partition(":")[0] == "imug":
        meanings.append(_ON_IMUG)
    return "".join(f"<div><dt>{html.escape(t)}</dt><dd>{html.escape(m)}</dd></div>" for t, m in meanings)


def sentences(numbers: Mapping[str, Any]) -> str:
    """The finding of each strategy, as HTML list items."""
    statements = {arm["strategy"]: arm["finding"]["statements"] for arm in numbers.get("arms", ())}
    tiers = numbers.get("tiers", {})
    items = (
        _finding(name, tiers.get(name), statements.get(name, [text]))
        for name, text in numbers.get("sentences", {}).items()
    )
    return "".join(items) or "<li>The analysis states no sentences.</li>"


def _finding(name: str, tier: str | None, texts: Sequence[str]) -> str:
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in texts)
    shown = f"<small>Tier {html.escape(tier)}</small>" if tier else ""
    return f"<li><div><strong>{html.escape(name)}</strong>{shown}</div><div>{paragraphs}</div></li>"


def table(text: str, *, is_open: bool) -> str:
    """A Markdown table as HTML below its heading; HTML inside the table is escaped."""
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
    """A PNG as an HTML figure that embeds the image."""
    caption = html.escape(path.stem.replace("_", " ").capitalize())
    image = f'<div class="wide" tabindex="0"><img src="{data_uri(path)}" alt="{caption}"></div>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
