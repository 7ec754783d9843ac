"""Converts a dialogue to BAGEL's input: texts and images in order, each a piece of the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from imug_tts.dialogue import Image, Message, Text

__all__ = ["THINK_AND_ANSWER", "THINK_AND_DRAW", "Piece", "pieces"]

Piece = str | Image

# The model was trained with exactly these two sentences (inferencer.py): do not change them.
THINK_AND_ANSWER: Final = (
    "You should first think about the reasoning process in the mind and then provide the "
    "user with the answer. \n"
    "The reasoning process is enclosed within <think> </think> tags, i.e. "
    "<think> reasoning process here </think> answer here"
)
THINK_AND_DRAW: Final = (
    "You should first think about the planning process in the mind and then generate the image. \n"
    "The planning process is enclosed within <think> </think> tags, i.e. "
    "<think> planning process here </think> image here"
)


def pieces(history: Sequence[Message], form: Literal["chatml", "plain"]) -> list[Piece]:
    """The pieces of a history, which ends with the user's message.

    "chatml" writes roles as the BAGEL server of IMUG-Bench does. It ends with the opening of the assistant's
    message, which therefore is the text that text guidance drops. "plain" is each text and image without
    roles.
    """
    if form == "plain":
        return [part.text if isinstance(part, Text) else part for m in history for part in m.parts]
    return [*(piece for message in history for piece in _in_chatml(message)), "<|im_start|>assistant\n"]


def _in_chatml(message: Message) -> list[Piece]:
    """The pieces of one message; consecutive texts are joined until an image separates them."""
    made, text = list[Piece](), f"<|im_start|>{message.role}\n"
    for part in message.parts:
        if isinstance(part, Text):
            text += part.text
        else:
            made += [text, part] if text else [part]
            text = ""
    return [*made, text + "<|im_end|>\n"]
