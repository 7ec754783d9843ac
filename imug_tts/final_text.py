"""Removes reasoning and control tokens from a model's reply."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["final_text"]

_NAMES: Final = r"think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad|seed:think"
_FORMS: Final = (
    (rf"<(?:{_NAMES})>", rf"</(?:{_NAMES})>"),
    ("◁think▷", "◁/think▷"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
)
"""Start and end of a block of reasoning, with the tags of vLLM's reasoning parsers."""
_BLOCKS: Final = [re.compile(f"{start}.*?{end}", re.DOTALL | re.IGNORECASE) for start, end in _FORMS]
_START: Final = re.compile("|".join(start for start, _ in _FORMS), re.IGNORECASE)
_END: Final = re.compile("|".join(end for _, end in _FORMS), re.IGNORECASE)

_CHANNEL: Final = re.compile(r"<\|channel\|>")
_FINAL_CHANNEL: Final = re.compile(r"<\|channel\|>\s*final\b(?:(?!<\|message\|>).)*<\|message\|>", re.DOTALL)
_CHANNEL_END: Final = re.compile(r"<\|(?:end|return|start|channel|call)\|>")
_BARE_CHANNELS: Final = re.compile(r"\s*analysis(?=[A-Z])")
"""Channels of a server that removes the control tokens: "analysisThe user ...assistantfinalYes"."""
_ANSWER: Final = re.compile(
    r"<answer>(.*?)(?:</answer>|\Z)|<\|begin_of_(?:box|solution)\|>(.*?)(?:<\|end_of_(?:box|solution)\|>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"<\|[A-Za-z_]+\|>|</?s>|<end_of_turn>")
_BOXED: Final = re.compile(r"\$?\\boxed\{(?:\\text\{)?([^{}]*)\}{1,2}\$?")


def final_text(reply: str) -> str:
    """Return the text of a reply after its reasoning; the whole reply if it has no reasoning.

    Returns an empty text if a block of reasoning never ends, because the reply was cut off before its answer.
    An end tag without a start tag ends reasoning that began with the reply. If the reply marks its answer
    (`<answer>`, a box), only the marked text is returned.
    """
    text = _without_blocks(_last_channel(reply))
    answers = [first or second for first, second in _ANSWER.findall(text)]
    if answers:
        text = "\n".join(answers)
    return _BOXED.sub(r"\1", _CONTROL.sub("", text)).strip()


def _last_channel(text: str) -> str:
    """Return the text of the last final channel; the whole reply if it has no channels."""
    if _CHANNEL.search(text):
        finals = list(_FINAL_CHANNEL.finditer(text))
        return _CHANNEL_END.split(text[finals[-1].end() :])[0] if finals else ""
    if _BARE_CHANNELS.match(text):
        return text.rpartition("assistantfinal")[2] if "assistantfinal" in text else ""
    return text


def _without_blocks(text: str) -> str:
    for block in _BLOCKS:
        text = block.sub("\n", text)
    ends = list(_END.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    return "" if _START.search(text) else text
