"""The findings of an analysis as HTML: sentences, tables and figures that stand in its folder."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.webpage import data_uri
from analysis.wording import TIERS

__all__ = ["figure", "legend", "sentences", "table"]

_TERMS = {
    "own history": "Own history: the model's own earlier answers.",
    "gold": "Gold history: the benchmark's reference answers in their place.",
    "decay": "Decay: the fall of scores over the turns of a dialogue.",
    "gap": "Exposure gap: the score on gold history less that on own history.",
    "own pictures": "Skill lost on own pictures: the gap of the step score, which asks whether each turn's "
    "request was carried out on the picture before. Damage counted again: an earlier error that lowers the "
    "score of every later turn.",
    "logit": "Logit scale: a loss weighs the same there near full marks and far from them.",
    "MDE": "MDE: the smallest effect that a study of this size finds in four cases of five.",
    "[": "In brackets: 95 % intervals, each taken alone; what the sentences state is adjusted for the number "
    "of strategies.",
}
"""What words of the sentences mean, by a piece of text that they hold."""


def legend(numbers: Mapping[str, Any]) -> str:
    """What the words of the sentences mean: each tier among them, and each term that they use."""
    tiers = sorted(set(numbers.get("tiers", {}).values()))
    if not tiers:
        return ""
    meanings = [f"Tier {tier}: {TIERS[tier]}." for tier in tiers]
    spoken = " ".join([*meanings, *numbers["sentences"].values()])
    meanings += [meaning for word, meaning in _TERMS.items() if word in spoken]
    return html.escape(" ".join([*meanings, *_of_benchmark(numbers)]))


def _of_benchmark(numbers: Mapping[str, Any]) -> Iterator[str]:
    """What the gap is on IMUG-Bench, whose judge sees references that a model drew itself."""
    if "A" in numbers["tiers"].values() and str(numbers.get("benchmark")).partition(":")[0] == "imug":
        yield (
            "On IMUG-Bench the judge compares an image with the earlier images that the turn refers to, on "
            "own history the model's own: the gap is nearer to lost skill than on benchmarks that count "
            "earlier damage again."
        )


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
    image = f'<div class="wide" tabindex="0"><img src="{data_uri(path)}" alt="{caption}"></div>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
